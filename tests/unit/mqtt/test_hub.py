"""Between connections: CONNECT, sessions that go on, take-over, clones, wills, restart."""

from typing import Any

import pytest

from drivers.mqtt.codec.packets import (
    PINGREQ,
    PINGRESP,
    Connack,
    Connect,
    Disconnect,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from drivers.mqtt.codec.properties import NO_PROPERTIES, Properties
from drivers.mqtt.codec.reasons import ReasonCode
from drivers.mqtt.hub import UNOPENED_MAX
from gateway.domain.errors import RefusedError
from gateway.domain.ports import Command, Outcome
from gateway.domain.records import AlarmPhase, Attestation, DeviceStatus
from tests.unit.mqtt.endpoint import COMMAND, V4, V5, VITALS, Endpoint, vitals

EXPIRES = Properties(session_expiry_interval=100)
MISMATCH = [("identity_mismatch", "mqtt", "mon-1")]
WILL = Will("devices/mon-1/status", b"power\nlost", 1)

# CONNECT, the code of 5.0, the code that 3.1.1 gets (None: closed without CONNACK), audited.
REFUSALS: dict[str, tuple[dict[str, Any], ReasonCode, ReasonCode | None, list[Any]]] = {
    "client id": (
        {"client_id": "mon-2"},
        ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
        ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
        MISMATCH,
    ),
    "user name": (
        {"user_name": "mon-2", "password": b"x"},
        ReasonCode.BAD_USER_NAME_OR_PASSWORD,
        ReasonCode.BAD_USER_NAME_OR_PASSWORD,
        MISMATCH,
    ),
    "will topic": (
        {"will": Will("devices/mon-2/status", b"")},
        ReasonCode.NOT_AUTHORIZED,
        ReasonCode.NOT_AUTHORIZED,
        MISMATCH,
    ),
    "will size": (
        {"will": Will("devices/mon-1/status", b" " * 5000)},
        ReasonCode.PACKET_TOO_LARGE,
        None,
        [],
    ),
}


@pytest.mark.parametrize("version", [V4, V5])
@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_connects_that_are_refused(name, version):
    fields, code_5, code_4, audited = REFUSALS[name]
    endpoint = Endpoint()
    live = endpoint.connected()
    client = endpoint.plug()
    client.send(Connect(**{"client_id": "mon-1", "version": version} | fields))
    code = code_5 if version == V5 else code_4
    assert client.take() == ([] if code is None else [Connack(reason_code=code)])
    assert client.ended()
    assert endpoint.admission.refusals == audited
    assert not live.ended()  # a CONNECT that is refused takes nothing over
    assert endpoint.statuses() == [("online", "connected")]
    assert len(endpoint.admission.live) == 1


def test_a_retained_will():
    endpoint = Endpoint()
    will = Will("devices/mon-1/status", b"", retain=True)
    client = endpoint.plug()
    client.send(Connect("mon-1", will=will))
    assert client.take() == [Connack(reason_code=ReasonCode.RETAIN_NOT_SUPPORTED)]
    endpoint.connected(Connect("mon-1", V4, will=will))


@pytest.mark.parametrize("version", [V4, V5])
def test_user_name_and_client_id_may_repeat_the_certificate(version):
    endpoint = Endpoint()
    client = endpoint.plug()
    client.send(Connect("mon-1", version, user_name="mon-1", password=b"ignored"))
    client.greeted()


def test_an_empty_client_id_is_assigned():
    endpoint = Endpoint()
    client = endpoint.plug()
    client.send(Connect(""))
    assert client.greeted().properties.assigned_client_identifier == "mon-1"
    older = endpoint.plug()
    older.send(Connect("", V4))
    assert older.greeted() == Connack()


def test_connack_says_what_is_not_available():
    endpoint = Endpoint()
    client = endpoint.plug()
    client.send(Connect("mon-1", keep_alive_s=30))
    assert client.greeted().properties == Properties(
        receive_maximum=256,
        retain_available=0,
        maximum_packet_size=16384,
        topic_alias_maximum=16,
        wildcard_subscription_available=0,
        subscription_identifiers_available=0,
        shared_subscription_available=0,
    )


# How a session begins, how it is resumed and after how long, and whether it is there.
RESUMPTIONS = [
    (Connect("mon-1", V4, clean_start=False), Connect("mon-1", V4, clean_start=False), 1, True),
    (Connect("mon-1", V4, clean_start=False), Connect("mon-1", V4, clean_start=True), 1, False),
    (Connect("mon-1", V4, clean_start=True), Connect("mon-1", V4, clean_start=False), 1, False),
    (Connect("mon-1", V4, clean_start=False), Connect("mon-1", V4, clean_start=False), 1001, False),
    (Connect("mon-1", properties=EXPIRES), Connect("mon-1", clean_start=False), 99, True),
    (Connect("mon-1", properties=EXPIRES), Connect("mon-1", clean_start=False), 101, False),
    (Connect("mon-1", properties=EXPIRES), Connect("mon-1", clean_start=True), 1, False),
    (Connect("mon-1"), Connect("mon-1", clean_start=False), 0, False),
    (Connect("mon-1", V4, clean_start=False), Connect("mon-1", clean_start=False), 1, True),
]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("first", "second", "after_s", "present"), RESUMPTIONS)
def test_session_present(first, second, after_s, present, restart):
    endpoint = Endpoint(session_expiry_s_max=1000)
    endpoint.connected(first).lose()
    if restart:
        endpoint.crash()
    endpoint.clock.advance(after_s)
    client = endpoint.plug()
    client.send(second)
    assert client.greeted().session_present is present


def test_a_session_of_a_killed_gateway_expires_from_its_next_start():
    endpoint = Endpoint()
    endpoint.connected(Connect("mon-1", properties=EXPIRES))
    endpoint.clock.advance(1000)
    endpoint.crash()
    endpoint.clock.advance(99)
    client = endpoint.plug()
    client.send(Connect("mon-1", clean_start=False))
    assert client.greeted().session_present


def test_the_session_expiry_is_capped_and_may_be_changed_by_disconnect():
    endpoint = Endpoint(session_expiry_s_max=50)
    client = endpoint.plug()
    client.send(Connect("mon-1", properties=EXPIRES))
    assert client.greeted().properties.session_expiry_interval == 50
    client.send(Disconnect(properties=Properties(session_expiry_interval=0)))
    assert endpoint.state("mqtt.session") == {}
    again = endpoint.plug()
    again.send(Connect("mon-1", clean_start=False))
    assert not again.greeted().session_present


def test_a_clean_start_forgets_what_the_disk_holds():
    endpoint = Endpoint()
    client = endpoint.connected(Connect("mon-1", properties=EXPIRES))
    client.publish(vitals(1), 2, 1)
    client.send(Subscribe(2, (Subscription(COMMAND, 1),)))
    client.lose()
    assert len(endpoint.state("mqtt.qos2")) == 1
    endpoint.crash()
    endpoint.connected(Connect("mon-1"))
    assert endpoint.state("mqtt.qos2") == {}
    assert endpoint.state("mqtt.session") == {}
    assert endpoint.commands.subscribed == {}


def test_what_could_not_be_removed_is_removed_later():
    endpoint = Endpoint()
    client = endpoint.connected()
    client.publish(vitals(1), 2, 1)
    endpoint.sink.automatic = Outcome.FULL
    client.take()
    client.send(Pubrel(1))
    assert client.take() == []  # its identifier isn't free before the removal is durable
    endpoint.tick(1)
    assert client.take() == []
    endpoint.sink.automatic = Outcome.COMMITTED
    endpoint.tick(1)
    assert client.take() == [Pubcomp(1)]
    assert endpoint.state("mqtt.qos2") == {}
    submitted = len(endpoint.sink.submissions)
    endpoint.tick(1)
    assert len(endpoint.sink.submissions) == submitted


def test_a_resumed_session_keeps_its_subscription():
    endpoint = Endpoint()
    client = endpoint.connected(Connect("mon-1", properties=EXPIRES))
    client.send(Subscribe(2, (Subscription(COMMAND, 1),)))
    client.lose()
    assert endpoint.commands.subscribed == {"mon-1": []}
    endpoint.crash()
    client = endpoint.connected(Connect("mon-1", clean_start=False, properties=EXPIRES))
    endpoint.commands.send(command(endpoint))
    [publish] = client.take()
    assert isinstance(publish, Publish)
    assert publish.qos == 1


# QoS 2 at each step of a crash (see drivers/mqtt/store.py)


def resumed(endpoint):
    return endpoint.connected(Connect("mon-1", V4, clean_start=False), version=V4)


def test_a_crash_before_the_commit():
    endpoint = Endpoint()
    client = resumed(endpoint)
    endpoint.sink.automatic = None
    client.publish(vitals(1), 2, 1)
    assert client.take() == []
    endpoint.crash()
    endpoint.sink.automatic = Outcome.COMMITTED
    client = resumed(endpoint)
    client.send(Publish(VITALS, vitals(1), 2, 1, dup=True))
    assert client.take() == [Pubrec(1)]
    assert endpoint.reports() == ["5f3a:1"]


@pytest.mark.parametrize("dup", [True, False])
def test_a_crash_after_the_commit(dup):
    endpoint = Endpoint()
    client = resumed(endpoint)
    client.publish(vitals(1), 2, 1)
    endpoint.crash()
    client = resumed(endpoint)
    client.send(Publish(VITALS, vitals(1), 2, 1, dup=dup))
    assert client.take() == [Pubrec(1)]
    assert endpoint.reports() == ["5f3a:1"]
    assert endpoint.count("duplicates", "mqtt") == 1
    client.send(Pubrel(1))
    assert client.take() == [Pubcomp(1)]
    assert endpoint.state("mqtt.qos2") == {}


def test_a_crash_after_the_release():
    endpoint = Endpoint()
    client = resumed(endpoint)
    client.publish(vitals(1), 2, 1)
    client.send(Pubrel(1))
    endpoint.crash()
    client = resumed(endpoint)
    client.send(Pubrel(1))
    assert client.take() == [Pubcomp(1)]
    client.publish(vitals(2), 2, 1)  # the identifier is used again
    assert client.take() == [Pubrec(1)]
    assert endpoint.reports() == ["5f3a:1", "5f3a:2"]


def test_a_crash_before_the_release_is_committed():
    endpoint = Endpoint()
    client = resumed(endpoint)
    client.publish(vitals(1), 2, 1)
    endpoint.sink.automatic = None
    client.take()
    client.send(Pubrel(1))
    assert client.take() == []
    endpoint.crash()
    endpoint.sink.automatic = Outcome.COMMITTED
    client = resumed(endpoint)
    client.send(Pubrel(1))
    assert client.take() == [Pubcomp(1)]


def test_a_device_that_lost_its_memory_loses_no_message():
    """It begins again at identifier 1, without clean start and without DUP."""
    endpoint = Endpoint()
    client = resumed(endpoint)
    client.publish(vitals(1), 2, 1)
    endpoint.crash()
    client = resumed(endpoint)
    client.publish(vitals(2), 2, 1)
    assert client.take() == [Pubrec(1)]
    assert endpoint.reports() == ["5f3a:1", "5f3a:2"]


def test_a_repetition_is_not_confirmed_before_its_original():
    endpoint = Endpoint(automatic=None)
    first = endpoint.plug()
    first.send(Connect("mon-1", V4, clean_start=False))
    first.publish(vitals(1), 2, 1)
    second = endpoint.plug()
    second.send(Connect("mon-1", V4, clean_start=False))
    second.send(Publish(VITALS, vitals(1), 2, 1, dup=True))
    endpoint.sink.settle(count=1)
    endpoint.sink.settle(Outcome.FAILED, count=1)  # the original
    endpoint.sink.settle()
    assert [type(packet) for packet in second.take()] == [Connack]
    assert second.ended()  # so that the device sends it again
    assert endpoint.reports() == []
    assert endpoint.state("mqtt.qos2") == {}


def test_a_release_is_not_confirmed_before_an_older_removal():
    endpoint = Endpoint()
    first = resumed(endpoint)
    first.publish(vitals(1), 2, 1)
    endpoint.sink.automatic = None
    first.send(Pubrel(1))
    second = endpoint.plug()
    second.send(Connect("mon-1", V4, clean_start=False))
    second.send(Pubrel(1))
    endpoint.sink.settle(Outcome.FAILED, count=1)  # the removal
    endpoint.sink.settle()
    assert [type(packet) for packet in second.take()] == [Connack]
    endpoint.sink.automatic = Outcome.COMMITTED
    endpoint.tick(1)
    assert second.take() == [Pubcomp(1)]
    assert endpoint.state("mqtt.qos2") == {}


# One place per device


@pytest.mark.parametrize("version", [V4, V5])
def test_take_over(version):
    endpoint = Endpoint()
    old = endpoint.connected(version=version)
    new = endpoint.connected()
    assert old.ended()
    assert old.take() == ([] if version == V4 else [Disconnect(ReasonCode.SESSION_TAKEN_OVER)])
    old.lose()
    new.publish(vitals(), 1, 1)
    assert new.take() == [Puback(1)]
    assert endpoint.statuses() == [("online", "connected"), ("online", "taken_over")]


def test_connections_without_connect_are_bounded_per_device():
    endpoint = Endpoint()
    waiting = [endpoint.plug() for _ in range(UNOPENED_MAX)]
    with pytest.raises(RefusedError):
        endpoint.plug()
    assert endpoint.admission.refusals == [("overloaded", "mqtt", "mon-1")]
    endpoint.plug("mon-2")
    waiting.pop().lose()
    endpoint.plug().send(Connect("mon-1"))
    endpoint.plug()
    with pytest.raises(RefusedError):
        endpoint.plug()
    assert endpoint.counters.gauges[("sessions", "mqtt")] == UNOPENED_MAX + 2
    assert len(endpoint.admission.live) == UNOPENED_MAX + 2


def test_a_device_that_connects_too_often_is_turned_away():
    endpoint = Endpoint(connects_per_device=3, connects_per_device_s=0.5)

    def come_and_go(device_id="mon-1"):
        client = endpoint.plug(device_id)
        client.send(Connect(device_id))
        client.lose()

    for _ in range(3):
        come_and_go()
    with pytest.raises(RefusedError):
        come_and_go()
    assert endpoint.admission.refusals == [("overloaded", "mqtt", "mon-1")]
    assert endpoint.admission.live == {}
    come_and_go("mon-2")  # the others don't notice
    endpoint.clock.advance(2.0)
    come_and_go()


A, B = "10.0.0.1:1000", "10.0.0.2:1000"


def alternate(endpoint, *peers):
    clients = []
    for peer in peers:
        client = endpoint.plug(peer=peer)
        client.send(Connect("mon-1"))
        clients.append(client)
    return clients


def test_a_clone_is_kept_out_and_let_in_again():
    endpoint = Endpoint(clone_suspension_s=600)
    *_, last_good, suspect = alternate(endpoint, A, B, A, B)
    assert suspect.take() == [Connack(reason_code=ReasonCode.BANNED)]
    assert last_good.take()[1:] == [Disconnect(ReasonCode.ADMINISTRATIVE_ACTION)]
    assert last_good.wire.aborted
    [alarm] = endpoint.alarms()
    assert alarm.phase is AlarmPhase.START
    assert (alarm.condition, alarm.bed) == ("clone_suspected", "B1")
    assert alarm.provenance.attestation is Attestation.GATEWAY
    assert endpoint.statuses()[-1] == ("offline", "suspended")
    # So that it is kept out on every transport, counted and audited as what it is.
    assert endpoint.admission.refusals == [("clone", "mqtt", "mon-1")]

    endpoint.crash()  # the suspension is remembered
    endpoint.tick(500)
    [client] = alternate(endpoint, A)
    assert client.take() == [Connack(reason_code=ReasonCode.BANNED)]
    endpoint.tick(100)
    assert endpoint.admission.refusals[-1] == ("suspended", "mqtt", "mon-1")
    [_, end] = endpoint.alarms()
    assert (end.phase, end.alarm_id) == (AlarmPhase.END, alarm.alarm_id)
    assert end.onset_us == alarm.onset_us < end.at_us
    endpoint.connected()
    assert endpoint.state("mqtt.suspended") == {}


def test_a_device_that_moves_is_no_clone():
    endpoint = Endpoint()
    alternate(endpoint, A, B, B, B, A, A)  # two moves
    endpoint.tick(61)
    alternate(endpoint, B, A)
    endpoint.tick(61)
    alternate(endpoint, B)
    assert endpoint.alarms() == []
    for peer in (A, B, A, B, A):  # it said goodbye each time
        client = endpoint.connected(peer=peer)
        client.send(Disconnect())
    assert endpoint.alarms() == []


# Last will


def details(endpoint):
    return [
        (record.reason, record.detail)
        for record in endpoint.sink.stored
        if isinstance(record, DeviceStatus) and record.state.name == "OFFLINE"
    ]


@pytest.mark.parametrize("version", [V4, V5])
def test_a_lost_connection_publishes_the_will(version):
    endpoint = Endpoint()
    client = endpoint.connected(Connect("mon-1", version, will=WILL))
    client.lose()
    assert details(endpoint) == [("last_will", "power\N{REPLACEMENT CHARACTER}lost")]


def test_without_a_will_there_is_none():
    endpoint = Endpoint()
    endpoint.connected().lose()
    endpoint.tick(1000)
    assert details(endpoint) == [("link_lost", "")]


def test_a_normal_disconnect_drops_the_will():
    endpoint = Endpoint()
    client = endpoint.connected(Connect("mon-1", will=WILL))
    client.send(Disconnect())
    assert details(endpoint) == [("disconnected", "")]


def test_disconnect_with_will():
    endpoint = Endpoint()
    client = endpoint.connected(Connect("mon-1", will=WILL))
    client.send(Disconnect(ReasonCode.DISCONNECT_WITH_WILL))
    assert [reason for reason, _ in details(endpoint)] == ["last_will"]


def test_a_killed_device_has_no_last_word():
    endpoint = Endpoint()
    client = endpoint.connected(Connect("mon-1", will=WILL))
    client.session.kill("revoked")
    assert client.wire.aborted
    assert details(endpoint) == [("revoked", "")]


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("revoked", ReasonCode.NOT_AUTHORIZED),
        ("expired", ReasonCode.NOT_AUTHORIZED),
        ("unknown_device", ReasonCode.NOT_AUTHORIZED),
        ("suspended", ReasonCode.ADMINISTRATIVE_ACTION),
        ("moved", ReasonCode.ADMINISTRATIVE_ACTION),
        ("gateway_stopped", ReasonCode.SERVER_SHUTTING_DOWN),
    ],
)
def test_who_is_killed_is_told_why_where_the_version_can(reason, code):
    endpoint = Endpoint()
    newer, older = endpoint.connected(), endpoint.plug("mon-2")
    older.send(Connect("mon-2", V4))
    older.greeted()
    for client in (newer, older):
        client.session.kill(reason)
        client.session.kill(reason)
        assert client.wire.aborted
    assert newer.take() == [Disconnect(code)]
    assert older.take() == []


def test_who_is_killed_before_connack_hears_nothing():
    endpoint = Endpoint(automatic=None)
    client = endpoint.plug()
    client.session.kill("revoked")
    client = endpoint.plug()
    client.send(Connect("mon-1"))
    client.session.kill("revoked")
    endpoint.sink.settle()
    assert client.take() == []
    assert client.wire.aborted


def delayed(delay_s, expiry_s=100):
    will = Will("devices/mon-1/status", b"gone", properties=Properties(will_delay_interval=delay_s))
    return Connect(
        "mon-1",
        clean_start=False,
        will=will,
        properties=Properties(session_expiry_interval=expiry_s),
    )


def test_a_delayed_will_comes_later():
    endpoint = Endpoint()
    endpoint.connected(delayed(30)).lose()
    assert details(endpoint) == [("link_lost", "")]
    endpoint.tick(29)
    assert details(endpoint) == [("link_lost", "")]
    endpoint.tick(1)
    assert details(endpoint) == [("link_lost", ""), ("last_will", "gone")]
    endpoint.tick(1000)
    assert len(details(endpoint)) == 2


def test_a_delayed_will_is_void_when_the_device_is_back():
    endpoint = Endpoint()
    endpoint.connected(delayed(30)).lose()
    endpoint.connected(delayed(30))
    endpoint.tick(31)
    assert details(endpoint) == [("link_lost", "")]


def test_a_will_is_delayed_no_longer_than_the_session_lives():
    endpoint = Endpoint()
    endpoint.connected(delayed(30, expiry_s=5)).lose()
    endpoint.tick(5)
    assert details(endpoint) == [("link_lost", ""), ("last_will", "gone")]
    endpoint.connected(delayed(30, expiry_s=0)).lose()
    assert details(endpoint)[-1] == ("last_will", "gone")


def test_take_over_publishes_an_undelayed_will():
    endpoint = Endpoint()
    endpoint.connected(Connect("mon-1", will=WILL))
    endpoint.connected()
    assert [reason for _, reason in endpoint.statuses()] == [
        "connected",
        "last_will",
        "taken_over",
    ]


# Commands


def command(endpoint, payload=b'{"do":"identify"}', left_s=60):
    return Command("mon-1", "c-1", payload, endpoint.clock.now_us() + left_s * 1_000_000)


def subscribed(endpoint, qos=1, version=V5, properties=NO_PROPERTIES):
    client = endpoint.connected(Connect("mon-1", version, properties=properties))
    client.send(Subscribe(2, (Subscription(COMMAND, qos),)))
    client.take()
    return client


@pytest.mark.parametrize("qos", [0, 1])
def test_a_command(qos):
    endpoint = Endpoint()
    client = subscribed(endpoint, qos)
    endpoint.commands.send(command(endpoint))
    [publish] = client.take()
    assert isinstance(publish, Publish)
    assert (publish.topic, publish.qos, publish.packet_id) == (COMMAND, qos, qos)
    expires_ms = (endpoint.clock.now_us() + 60_000_000) // 1000
    assert publish.payload == (
        b'{"v":1,"id":"c-1","expires":%d,"body":{"do":"identify"}}' % expires_ms
    )
    assert publish.properties == Properties(
        message_expiry_interval=60,
        response_topic=COMMAND + "/result",
        correlation_data=b"c-1",
    )
    if qos:
        client.send(Puback(1))
    client.publish(b'{"v":1,"id":"c-1","result":"done"}', 1, 1, COMMAND + "/result")
    assert client.take() == [Puback(1)]
    assert endpoint.commands.answers == [("mon-1", "c-1", "done")]
    assert endpoint.reports() == []


def test_a_repeated_answer_counts_once():
    endpoint = Endpoint()
    client = subscribed(endpoint)
    for _ in range(2):
        client.publish(b'{"v":1,"id":"c-1","result":"done"}', 2, 1, COMMAND + "/result")
    assert client.take() == [Pubrec(1), Pubrec(1)]
    assert len(endpoint.commands.answers) == 1


MALFORMED_ANSWERS = [
    b"",
    b"{",
    b"[]",
    b'{"v":1,"id":"","result":"x"}',
    b'{"v":1,"id":"\\u0007","result":"x"}',
    b'{"v":1,"id":"c","result":"' + b"x" * 4096 + b'"}',
]


@pytest.mark.parametrize("payload", MALFORMED_ANSWERS)
def test_a_malformed_answer(payload):
    endpoint = Endpoint()
    client = endpoint.connected()
    client.publish(payload, 1, 1, COMMAND + "/result")
    assert client.take() == [Puback(1, ReasonCode.PAYLOAD_FORMAT_INVALID)]
    assert endpoint.commands.answers == []
    assert len(endpoint.aside.kept) == 1


UNDELIVERABLE = [("mon-1", "c-1", "undeliverable")]


def test_commands_that_can_not_be_written():
    endpoint = Endpoint()
    client = subscribed(endpoint)
    endpoint.commands.send(command(endpoint, left_s=-1))
    assert endpoint.commands.answers == UNDELIVERABLE
    client.session.peer_reads(reads=False)
    endpoint.commands.send(command(endpoint))
    assert endpoint.commands.answers == UNDELIVERABLE * 2
    assert client.take() == []


def test_commands_respect_what_the_client_can_take():
    endpoint = Endpoint()
    client = subscribed(endpoint, properties=Properties(receive_maximum=2, maximum_packet_size=400))
    endpoint.commands.send(command(endpoint, b"x" * 400))
    assert endpoint.commands.answers == UNDELIVERABLE
    for _ in range(3):
        endpoint.commands.send(command(endpoint))
    assert [packet.packet_id for packet in client.take()] == [1, 2]
    assert endpoint.commands.answers == UNDELIVERABLE * 2
    client.send(Puback(1))
    endpoint.commands.send(command(endpoint))
    assert [packet.packet_id for packet in client.take()] == [3]


def test_a_command_never_overtakes_connack():
    endpoint = Endpoint()
    subscribed(endpoint, properties=EXPIRES).lose()
    endpoint.sink.automatic = None
    client = endpoint.plug()
    client.send(Connect("mon-1", clean_start=False, properties=EXPIRES))
    endpoint.commands.send(command(endpoint))
    assert client.take() == []
    endpoint.sink.settle()
    assert [type(packet) for packet in client.take()] == [Connack, Publish]


def test_unsubscribe_and_disconnect_end_commands():
    endpoint = Endpoint()
    client = subscribed(endpoint)
    client.send(Unsubscribe(3, (COMMAND, "other")))
    [unsuback] = client.take()
    assert unsuback.reason_codes == (ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED)
    endpoint.commands.send(command(endpoint))
    assert client.take() == []
    client = subscribed(endpoint)
    client.send(Disconnect())
    endpoint.commands.send(command(endpoint))
    assert client.take() == []
    assert endpoint.commands.subscribed == {"mon-1": []}


def test_a_command_that_is_not_json_travels_as_base64():
    endpoint = Endpoint()
    client = subscribed(endpoint, version=V4)
    endpoint.commands.send(command(endpoint, b"\xff\x00"))
    [publish] = client.take()
    assert b'"data":"/wA="' in publish.payload
    assert publish.properties == NO_PROPERTIES


# Filter, the code of 5.0, audited; 3.1.1 says 0x80 for every failure.
FILTERS = [
    (COMMAND, ReasonCode.GRANTED_QOS_1, False),
    ("devices/mon-2/command", ReasonCode.NOT_AUTHORIZED, True),
    ("devices/mon-1/vitals", ReasonCode.NOT_AUTHORIZED, False),
    ("devices/mon-1/#", ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, False),
    ("devices/+/command", ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, True),
    ("#", ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED, True),
    ("$share/all/" + COMMAND, ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, False),
]


@pytest.mark.parametrize("version", [V4, V5])
@pytest.mark.parametrize(("topic_filter", "code", "audited"), FILTERS)
def test_subscribe(topic_filter, code, audited, version):
    endpoint = Endpoint()
    client = endpoint.connected(version=version)
    client.send(Subscribe(4, (Subscription(topic_filter, 2),)))
    if version == V4 and code >= 0x80:
        code = ReasonCode.UNSPECIFIED_ERROR
    assert client.take() == [Suback(4, (code,))]
    assert endpoint.admission.refusals == (MISMATCH if audited else [])
    assert bool(endpoint.commands.subscribed) is (code < 0x80)


def test_subscription_identifiers_are_refused():
    endpoint = Endpoint()
    client = endpoint.connected()
    properties = Properties(subscription_identifier=(1,))
    client.send(Subscribe(4, (Subscription(COMMAND),), properties))
    assert client.take() == [Disconnect(ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED)]
    assert endpoint.commands.subscribed == {}


@pytest.mark.parametrize("version", [V4, V5])
def test_an_identical_subscription_is_replaced(version):
    endpoint = Endpoint()
    client = subscribed(endpoint, 0, version)
    client.send(Subscribe(3, (Subscription(COMMAND, 1),)))
    assert client.take() == [Suback(3, (ReasonCode.GRANTED_QOS_1,))]
    endpoint.commands.send(command(endpoint))
    [publish] = client.take()
    assert publish.qos == 1


@pytest.mark.parametrize("version", [V4, V5])
def test_several_filters_in_one_packet(version):
    endpoint = Endpoint()
    client = endpoint.connected(version=version)
    filters = ("devices/mon-2/command", COMMAND, "devices/mon-1/vitals")
    client.send(Subscribe(3, tuple(Subscription(each, 0) for each in filters)))
    refused = ReasonCode.NOT_AUTHORIZED if version == V5 else ReasonCode.UNSPECIFIED_ERROR
    assert client.take() == [Suback(3, (refused, ReasonCode.SUCCESS, refused))]
    client.send(Unsubscribe(4, filters))
    none = ReasonCode.NO_SUBSCRIPTION_EXISTED
    codes = (none, ReasonCode.SUCCESS, none) if version == V5 else ()
    assert client.take() == [Unsuback(4, codes)]
    assert endpoint.commands.subscribed == {"mon-1": []}


def test_filters_are_compared_character_by_character():
    endpoint = Endpoint()
    client = subscribed(endpoint)
    near = (COMMAND.upper(), COMMAND + "/", "/" + COMMAND, "devices/+/command", "#")
    client.send(Unsubscribe(4, near))
    assert client.take() == [Unsuback(4, (ReasonCode.NO_SUBSCRIPTION_EXISTED,) * len(near))]
    endpoint.commands.send(command(endpoint))
    assert len(client.take()) == 1


def test_a_command_under_way_may_be_acknowledged_after_unsubscribe():
    endpoint = Endpoint()
    client = subscribed(endpoint)
    endpoint.commands.send(command(endpoint))
    client.take()
    client.send(Unsubscribe(4, (COMMAND,)), Puback(1))
    assert client.take() == [Unsuback(4, (ReasonCode.SUCCESS,))]
    assert not client.ended()


def test_other_packets_flow_while_commands_wait():
    endpoint = Endpoint()
    client = subscribed(endpoint, properties=Properties(receive_maximum=1))
    endpoint.commands.send(command(endpoint))
    client.take()
    client.send(PINGREQ, Publish(VITALS, vitals(1), 1, 9))
    assert client.take() == [PINGRESP, Puback(9)]


def test_expiry_does_not_end_an_exchange():
    endpoint = Endpoint()
    client = endpoint.connected()
    expiring = Properties(message_expiry_interval=1)
    client.send(Publish(VITALS, vitals(1), 2, 1, properties=expiring))
    endpoint.clock.advance(10)
    client.send(Pubrel(1))
    assert client.take() == [Pubrec(1), Pubcomp(1)]
    assert endpoint.reports() == ["5f3a:1"]


@pytest.mark.parametrize("version", [V4, V5])
def test_nothing_after_a_refused_connect_is_handled(version):
    endpoint = Endpoint()
    client = endpoint.plug()
    client.send(Connect("mon-2", version), Publish(VITALS, vitals(1), 1, 1))
    connack = client.greeted()
    assert connack.reason_code is ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    assert endpoint.sink.submissions == []


@pytest.mark.parametrize("qos", [1, 2])
def test_an_answered_identifier_is_new(qos):
    """The same bytes under the same identifier again are another message."""
    endpoint = Endpoint()
    client = endpoint.connected()
    for _ in range(2):
        client.publish(b'{"v":1,"hr":72}', qos, 1)
        if qos == 2:
            client.send(Pubrel(1))
    assert len(endpoint.reports()) == 2
