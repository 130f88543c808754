"""The session's table: every state, every packet a client can send."""

import pytest

from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import (
    PINGREQ,
    PINGRESP,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
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
)
from drivers.mqtt.codec.properties import Properties
from drivers.mqtt.codec.reasons import ReasonCode
from drivers.mqtt.roles import State
from gateway.domain.ports import Outcome
from tests.unit.mqtt.endpoint import COMMAND, V4, V5, VITALS, Endpoint, vitals

SUBSCRIBE = Subscribe(9, (Subscription(COMMAND, 2),))
PACKETS: dict[str, Packet] = {
    "publish0": Publish(VITALS, vitals()),
    "publish1": Publish(VITALS, vitals(), 1, 5),
    "publish2": Publish(VITALS, vitals(), 2, 5),
    "puback": Puback(5),
    "pubrec": Pubrec(5),
    "pubrel": Pubrel(5),
    "pubcomp": Pubcomp(5),
    "subscribe": SUBSCRIBE,
    "unsubscribe": Unsubscribe(9, (COMMAND,)),
    "pingreq": PINGREQ,
    "disconnect": Disconnect(),
    "connect": Connect("mon-1", V4),
    "server's": Connack(),
}
NOT_FOUND = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
NO_SUBSCRIPTION = ReasonCode.NO_SUBSCRIPTION_EXISTED
# What each packet brings in an open session: 3.1.1's answer, 5.0's answer, reports stored.
OPEN_TABLE = {
    "publish0": ([], [], 1),
    "publish1": ([Puback(5)], [Puback(5)], 1),
    "publish2": ([Pubrec(5)], [Pubrec(5)], 1),
    "puback": ([], [], 0),
    "pubrec": ([], [Pubrel(5, NOT_FOUND)], 0),
    "pubrel": ([Pubcomp(5)], [Pubcomp(5, NOT_FOUND)], 0),
    "pubcomp": ([], [], 0),
    "subscribe": (
        [Suback(9, (ReasonCode.GRANTED_QOS_1,))],
        [Suback(9, (ReasonCode.GRANTED_QOS_1,))],
        0,
    ),
    "unsubscribe": ([Unsuback(9)], [Unsuback(9, (NO_SUBSCRIPTION,))], 0),
    "pingreq": ([PINGRESP], [PINGRESP], 0),
    "disconnect": ([], [], 0),
    "connect": ([], [Disconnect(ReasonCode.PROTOCOL_ERROR)], 0),
    "server's": ([], [Disconnect(ReasonCode.PROTOCOL_ERROR)], 0),
}
ENDS = {"disconnect", "connect", "server's"}
BREAKS = {"connect", "server's"}


@pytest.mark.parametrize("version", [V4, V5])
@pytest.mark.parametrize("name", sorted(PACKETS))
def test_open(name, version):
    endpoint = Endpoint()
    client = endpoint.connected(version=version)
    # The second CONNECT is the other version's bytes on purpose: it is broken in either.
    packet = PACKETS[name]
    client.session.receive(encode(packet, V4 if name == "connect" else version))
    answer_4, answer_5, reports = OPEN_TABLE[name]
    assert client.take() == (answer_4 if version == V4 else answer_5)
    assert len(endpoint.reports()) == reports
    assert client.ended() is (name in ENDS)
    assert (client.session.state is State.CLOSED) is (name in ENDS)
    assert endpoint.admission.refusals == (
        [("malformed", "mqtt", "mon-1")] if name in BREAKS else []
    )
    assert len(endpoint.admission.live) == (0 if name in ENDS else 1)


@pytest.mark.parametrize("version", [V4, V5])
@pytest.mark.parametrize("name", sorted(set(PACKETS) - {"connect"}))
def test_waiting_takes_nothing_but_connect(name, version):
    endpoint = Endpoint()
    client = endpoint.plug()
    client.session.receive(encode(PACKETS[name], version))
    assert client.take() == []
    assert client.ended()
    assert endpoint.sink.submissions == []
    assert endpoint.admission.refusals == [("malformed", "mqtt", "mon-1")]
    assert [kept[:3] for kept in endpoint.aside.kept] == [("mon-1", "mqtt", "first_not_connect")]


@pytest.mark.parametrize("version", [V4, V5])
@pytest.mark.parametrize("name", sorted(PACKETS))
def test_closed_takes_nothing(name, version):
    endpoint = Endpoint()
    client = endpoint.connected(version=version)
    client.send(Disconnect())
    before = len(endpoint.sink.submissions)
    client.session.receive(encode(PACKETS[name], V4 if name == "connect" else version))
    client.session.lost()
    client.session.kill("revoked")
    client.session.tick(1e9)
    assert client.take() == []
    assert len(endpoint.sink.submissions) == before
    assert endpoint.statuses() == [("online", "connected"), ("offline", "disconnected")]


def test_auth_is_refused():
    endpoint = Endpoint()
    client = endpoint.plug()
    client.send(Connect("mon-1", properties=Properties(authentication_method="SCRAM")))
    assert client.take() == [Connack(reason_code=ReasonCode.BAD_AUTHENTICATION_METHOD)]
    assert client.ended()
    other = endpoint.connected()
    other.send(Auth(ReasonCode.REAUTHENTICATE, Properties(authentication_method="SCRAM")))
    assert other.take() == [Disconnect(ReasonCode.PROTOCOL_ERROR)]


def test_unsupported_versions_get_a_connack():
    endpoint = Endpoint()
    client = endpoint.plug()
    client.version = V4
    client.session.receive(b"\x10\x0c\x00\x04MQTT\x06\x02\x00\x00\x00\x00")
    assert client.take() == [Connack(reason_code=ReasonCode.UNSUPPORTED_PROTOCOL_VERSION)]
    assert client.ended()


def test_answers_keep_the_order_of_the_packets():
    endpoint = Endpoint(automatic=None)
    client = endpoint.plug()
    client.send(
        Connect("mon-1"),
        Publish(VITALS, vitals(1), 1, 1),
        Publish(VITALS, vitals(2), 2, 2),
        PINGREQ,
        Publish(VITALS, b"{", 1, 3),
        Publish("devices/mon-2/vitals", vitals(3), 1, 4),
        Publish(VITALS, vitals(5), 1, 5),
    )
    client.send(PINGREQ)
    client.publish(vitals(6), 1, 6)
    assert client.take() == []
    assert len(endpoint.sink.submissions) == 2  # the ping alone needs no commit
    endpoint.sink.settle(count=1)
    assert isinstance(client.packets[0], Connack)
    assert client.take()[1:] == [
        Puback(1),
        Pubrec(2),
        PINGRESP,
        Puback(3, ReasonCode.PAYLOAD_FORMAT_INVALID),
        Puback(4, ReasonCode.NOT_AUTHORIZED),
        Puback(5),
        PINGRESP,
    ]
    endpoint.sink.settle()
    assert client.take() == [Puback(6)]
    assert endpoint.count("acknowledged", "mqtt") == 4
    assert endpoint.reports() == ["5f3a:1", "5f3a:2", "5f3a:5", "5f3a:6"]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome.FULL, ReasonCode.QUOTA_EXCEEDED), (Outcome.FAILED, ReasonCode.UNSPECIFIED_ERROR)],
)
def test_what_is_not_committed_is_not_acknowledged(outcome, code):
    endpoint = Endpoint()
    newer = endpoint.connected()
    endpoint.sink.automatic = outcome
    newer.send(Publish(VITALS, vitals(1), 1, 1), Publish(VITALS, vitals(2), 2, 2), PINGREQ)
    assert newer.take() == [Puback(1, code), Pubrec(2, code), PINGRESP]
    assert not newer.ended()
    endpoint.sink.automatic = Outcome.COMMITTED
    newer.send(Publish(VITALS, vitals(2), 2, 2))  # the refused identifier is free again
    assert newer.take() == [Pubrec(2)]
    newer.lose()

    older = endpoint.connected(version=V4)
    endpoint.sink.automatic = outcome
    older.send(PINGREQ, Publish(VITALS, vitals(3), 1, 1))
    assert older.take() == [PINGRESP]
    assert older.ended()
    assert endpoint.reports() == ["5f3a:2"]
    assert endpoint.count("acknowledged", "mqtt") == 1


def test_a_disk_that_is_full_lets_devices_connect():
    endpoint = Endpoint(automatic=Outcome.FULL)
    for version in (V4, V5):
        client = endpoint.connected(version=version)
        client.send(PINGREQ)
        assert client.take() == [PINGRESP]


def test_connect_times_out():
    endpoint = Endpoint(connect_timeout_s=10)
    client = endpoint.plug()
    endpoint.tick(10)
    assert not client.ended()
    endpoint.tick(1)
    assert client.wire.aborted
    assert endpoint.count("handshakes_failed", "mqtt", "no_connect") == 1
    assert endpoint.sink.submissions == []
    assert endpoint.admission.live == {}


def test_who_trickles_bytes_is_silent():
    endpoint = Endpoint(connect_timeout_s=10)
    waiting = endpoint.plug()
    client = endpoint.connected(Connect("mon-1", keep_alive_s=10))
    connect = encode(Connect("mon-1", V4), V4)
    publish = encode(Publish(VITALS, vitals()), V5)
    for at in range(16):
        waiting.session.receive(connect[at : at + 1])
        client.session.receive(publish[at : at + 1])
        endpoint.tick(1)
    assert waiting.ended()
    assert client.ended()


@pytest.mark.parametrize("version", [V4, V5])
def test_keep_alive(version):
    endpoint = Endpoint()
    client = endpoint.connected(Connect("mon-1", version, keep_alive_s=10))
    endpoint.tick(14)
    client.send(PINGREQ)
    assert client.take() == [PINGRESP]
    endpoint.tick(15)
    assert not client.ended()
    endpoint.tick(1)
    assert client.ended()
    wanted = [] if version == V4 else [Disconnect(ReasonCode.KEEP_ALIVE_TIMEOUT)]
    assert client.take() == wanted
    assert endpoint.statuses()[-1] == ("offline", "keep_alive")


@pytest.mark.parametrize(
    ("asked", "told", "ends"), [(0, 60, True), (90, 60, True), (30, None, True)]
)
def test_keep_alive_is_capped_in_5_0(asked, told, ends):
    endpoint = Endpoint(keep_alive_s_max=60)
    client = endpoint.plug()
    client.send(Connect("mon-1", keep_alive_s=asked))
    assert client.greeted().properties.server_keep_alive == told
    endpoint.tick(1.5 * (told or asked))
    assert not client.ended()
    endpoint.tick(1)
    assert client.ended()


def test_no_keep_alive_in_3_1_1():
    endpoint = Endpoint()
    client = endpoint.connected(Connect("mon-1", V4, keep_alive_s=0))
    endpoint.tick(1e6)
    assert not client.ended()


def test_the_journal_pauses_reading_and_keep_alive():
    endpoint = Endpoint()
    client = endpoint.connected(Connect("mon-1", keep_alive_s=10))
    endpoint.sink.is_writable = False
    client.publish(vitals(1), 1, 1)
    assert client.take() == [Puback(1)]
    assert not client.is_read()
    assert endpoint.counters.gauges[("paused_readers",)] == 1
    client.publish(vitals(2), 1, 2)  # was on its way already
    endpoint.tick(100)
    assert not client.ended()
    endpoint.sink.become_writable()
    assert client.is_read()
    assert endpoint.counters.gauges[("paused_readers",)] == 0
    endpoint.tick(14)
    assert not client.ended()
    endpoint.tick(2)
    assert client.ended()


def test_a_paused_session_that_ends_is_no_longer_counted():
    endpoint = Endpoint()
    client = endpoint.connected()
    endpoint.sink.is_writable = False
    client.publish(vitals(1), 1, 1)
    client.lose()
    assert endpoint.counters.gauges[("paused_readers",)] == 0
    endpoint.sink.become_writable()
    assert not client.is_read()


def test_a_client_that_does_not_read_is_not_read_and_times_out():
    endpoint = Endpoint()
    client = endpoint.connected(Connect("mon-1", keep_alive_s=10))
    client.session.peer_reads(reads=False)
    assert not client.is_read()
    assert ("paused_readers",) not in endpoint.counters.gauges
    endpoint.tick(16)
    assert client.ended()


def test_unanswered_messages_pause_reading():
    endpoint = Endpoint(automatic=None, receive_maximum=3)
    client = endpoint.plug()
    client.send(Connect("mon-1", V4))
    client.publish(vitals(1), 1, 1)
    client.publish(vitals(2), 1, 2)
    assert client.is_read()
    client.publish(vitals(3), 1, 3)
    assert not client.is_read()
    endpoint.sink.settle(count=2)
    assert client.is_read()
    endpoint.sink.settle()
    assert client.take()[1:] == [Puback(1), Puback(2), Puback(3)]


def test_the_receive_maximum_is_announced_and_enforced():
    endpoint = Endpoint(automatic=None, receive_maximum=2)
    client = endpoint.plug()
    client.send(Connect("mon-1"))
    endpoint.sink.settle()
    assert client.greeted().properties.receive_maximum == 2
    client.publish(vitals(1), 1, 1)
    client.publish(vitals(2), 2, 2)
    client.publish(vitals(9))  # QoS 0 doesn't count
    endpoint.sink.settle()
    assert client.take() == [Puback(1), Pubrec(2)]
    client.publish(vitals(3), 1, 3)
    endpoint.sink.settle()
    assert client.take() == [Puback(3)]  # the QoS 2 exchange still has its place
    client.send(Publish(VITALS, vitals(4), 1, 4), Publish(VITALS, vitals(5), 1, 5))
    assert client.take() == [Disconnect(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)]
    assert client.ended()


@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize(
    ("topic", "code"),
    [
        ("devices/mon-2/vitals", ReasonCode.NOT_AUTHORIZED),
        ("devices/mon-1/waves", ReasonCode.TOPIC_NAME_INVALID),
        (VITALS, ReasonCode.PAYLOAD_FORMAT_INVALID),
    ],
)
def test_a_denied_message_frees_its_place_and_no_other(topic, code, qos):
    endpoint = Endpoint(receive_maximum=2)
    client = endpoint.connected()
    client.publish(vitals(1), 2, 1)  # keeps one place until its PUBREL
    for n in range(2, 6):
        client.publish(b"{", qos, n, topic)
    kind = Puback if qos == 1 else Pubrec
    assert client.take() == [Pubrec(1), *(kind(n, code) for n in range(2, 6))]
    endpoint.sink.automatic = None
    client.publish(vitals(6), 1, 6)
    assert client.take() == []
    assert not client.ended()
    client.publish(vitals(7), 1, 7)
    assert client.take() == [Disconnect(ReasonCode.RECEIVE_MAXIMUM_EXCEEDED)]


def test_a_finished_exchange_frees_its_place():
    endpoint = Endpoint(receive_maximum=1)
    client = endpoint.connected()
    for n in range(1, 5):
        client.publish(vitals(n), 2, n)
        client.send(Pubrel(n))
        assert client.take() == [Pubrec(n), Pubcomp(n)]
    assert endpoint.reports() == [f"5f3a:{n}" for n in range(1, 5)]


def test_unreleased_messages_are_bounded_in_3_1_1():
    endpoint = Endpoint(receive_maximum=2)
    client = endpoint.connected(version=V4)
    for n in (1, 2, 3):
        client.publish(vitals(n), 2, n)
    assert client.take() == [Pubrec(1), Pubrec(2)]
    assert client.ended()


def test_retained_messages():
    endpoint = Endpoint()
    client = endpoint.connected(version=V4)
    client.send(Publish(VITALS, vitals(1), 1, 1, retain=True))
    assert client.take() == [Puback(1)]  # a report like any other; nothing is retained
    client.lose()
    client = endpoint.connected()
    client.send(Publish(VITALS, vitals(2), 1, 1, retain=True))
    assert client.take() == [Disconnect(ReasonCode.RETAIN_NOT_SUPPORTED)]
    assert endpoint.reports() == ["5f3a:1"]


@pytest.mark.parametrize("qos", [1, 2])
def test_refused_topics_are_bounded_in_5_0(qos):
    endpoint = Endpoint()
    client = endpoint.connected()
    for n in range(1, 17):
        client.publish(vitals(n), qos, n, "devices/mon-2/vitals")
    *answers, last = client.take()
    kind = Puback if qos == 1 else Pubrec
    assert answers == [kind(n, ReasonCode.NOT_AUTHORIZED) for n in range(1, 16)]
    assert last == Disconnect(ReasonCode.NOT_AUTHORIZED)
    assert endpoint.admission.refusals == [("identity_mismatch", "mqtt", "mon-1")] * 16
    assert endpoint.reports() == []


@pytest.mark.parametrize(
    "topic",
    ["devices/mon-2/vitals", "devices/mon-1", "devices/mon-10/vitals", "vitals", "$SYS/x",
     "Devices/mon-1/vitals", "/devices/mon-1/vitals"],
)  # fmt: skip
def test_foreign_topics(topic):
    endpoint = Endpoint()
    client = endpoint.connected()
    client.publish(vitals(), 1, 1, topic)
    assert client.take() == [Puback(1, ReasonCode.NOT_AUTHORIZED)]
    older = endpoint.connected(version=V4)
    older.send(Publish(VITALS, vitals(7), 0), Publish(topic, vitals(8), 1, 1))
    assert older.take() == []
    assert older.ended()
    assert endpoint.reports() == ["5f3a:7"]  # what came before was its own


@pytest.mark.parametrize("topic", ["devices/mon-1/waves", "devices/mon-1/", COMMAND])
def test_own_topics_that_mean_nothing(topic):
    endpoint = Endpoint()
    client = endpoint.connected()
    client.publish(vitals(), 1, 1, topic)
    assert client.take() == [Puback(1, ReasonCode.TOPIC_NAME_INVALID)]
    older = endpoint.connected(version=V4)
    older.publish(vitals(), 1, 1, topic)
    assert older.take() == [Puback(1)]
    assert endpoint.count("malformed", "mqtt", "unknown_kind") == 2
    assert endpoint.reports() == []


def test_malformed_at_qos_2():
    endpoint = Endpoint()
    client = endpoint.connected()
    client.publish(b"{", 2, 1)
    assert client.take() == [Pubrec(1, ReasonCode.PAYLOAD_FORMAT_INVALID)]
    assert endpoint.state("mqtt.qos2") == {}
    older = endpoint.connected(version=V4)
    older.publish(b"{", 2, 1)
    older.send(Pubrel(1))
    assert older.take() == [Pubrec(1), Pubcomp(1)]
    assert len(endpoint.aside.kept) == 2
    assert endpoint.count("acknowledged", "mqtt") == 0


def test_cbor():
    endpoint = Endpoint()
    client = endpoint.connected()
    client.publish(b"\xa3\x61v\x01\x64boot\x61a\x61n\x01", 1, 1)
    assert client.take() == [Puback(1)]
    assert endpoint.reports() == ["a:1"]


def test_topic_aliases():
    endpoint = Endpoint(topic_alias_maximum=2)
    client = endpoint.plug()
    client.send(Connect("mon-1"))
    assert client.greeted().properties.topic_alias_maximum == 2
    alias = Properties(topic_alias=2)
    client.send(Publish(VITALS, vitals(1), 1, 1, properties=alias))
    client.send(Publish("", vitals(2), 1, 2, properties=alias))
    assert client.take() == [Puback(1), Puback(2)]
    client.send(Publish(VITALS, vitals(3), 1, 3, properties=Properties(topic_alias=3)))
    assert client.take() == [Disconnect(ReasonCode.TOPIC_ALIAS_INVALID)]


def test_a_packet_that_is_too_large():
    endpoint = Endpoint(packet_size_bytes_max=1024)
    client = endpoint.plug()
    client.send(Connect("mon-1"))
    assert client.greeted().properties.maximum_packet_size == 1024
    client.publish(b" " * 1024, 1, 1)
    assert client.take() == [Disconnect(ReasonCode.PACKET_TOO_LARGE)]
    assert endpoint.count("malformed", "mqtt", "packet_too_large") == 1


def test_stop_waits_for_the_commit():
    endpoint = Endpoint()
    client = endpoint.connected()
    endpoint.sink.automatic = None
    client.publish(vitals(), 1, 1)
    client.session.stop()
    assert not client.ended()
    assert not client.is_read()
    endpoint.sink.settle()
    assert client.take() == [Puback(1), Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)]
    assert client.ended()
    assert endpoint.statuses() == [("online", "connected")]


def test_disconnect_never_comes_before_connack():
    endpoint = Endpoint(automatic=None)
    client = endpoint.plug()
    client.send(Connect("mon-1"), Publish("devices/mon-2/vitals", b"{}"))
    assert client.ended()
    endpoint.sink.settle()
    assert client.take() == []
