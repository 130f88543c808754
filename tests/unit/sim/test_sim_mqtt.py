"""The device's MQTT client: acknowledgement, resending, window, commands, back-off."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from drivers.mqtt.codec.packets import Disconnect, Publish, Version
from drivers.mqtt.codec.reasons import ReasonCode
from firmware_sim import mqtt
from firmware_sim.link import DeviceLink, Outcome
from firmware_sim.messages import answer_command
from firmware_sim.mqtt import MqttLink, RefusedError, Settings, backoff_s
from tests.unit.sim.gateway import Gateway

VERSIONS = list(Version)


@pytest.fixture(autouse=True)
def fast_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "BACKOFF_S_MIN", 0.001)
    monkeypatch.setattr(mqtt, "BACKOFF_S_MAX", 0.01)


def settings(gateway: Gateway, version: Version, qos: int = 1, inflight_max: int = 16) -> Settings:
    return Settings(
        "m-001", "127.0.0.1", gateway.port, None, version, qos, 30, inflight_max, b'{"v":1}'
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("qos", "outcome"),
    [(0, Outcome.UNCONFIRMED), (1, Outcome.ACKNOWLEDGED), (2, Outcome.ACKNOWLEDGED)],
)
async def test_send_of_every_qos(version: Version, qos: int, outcome: Outcome) -> None:
    async with Gateway() as gateway:
        link: DeviceLink = MqttLink(settings(gateway, version, qos), Random(1))
        await link.connect()
        assert await link.send("vitals", b"x", "b:0") is outcome
        await gateway.until(lambda: gateway.published)
        packet = gateway.published[0]
        assert (packet.topic, packet.payload, packet.qos) == ("devices/m-001/vitals", b"x", qos)
        if qos == 2:
            await gateway.until(lambda: gateway.released == [packet.packet_id])
        await link.close()
        await gateway.until(lambda: gateway.said_goodbye == ["m-001"])
        connect = gateway.connects[0]
        assert not connect.clean_start
        assert connect.will is not None
        assert connect.will.topic == "devices/m-001/status"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [1, 2])
async def test_unacknowledged_is_resent_with_dup_and_its_identifier(
    version: Version, qos: int
) -> None:
    async with Gateway() as gateway:
        gateway.acknowledge = False
        link = MqttLink(settings(gateway, version, qos), Random(1))
        await link.connect()
        sends = [asyncio.ensure_future(link.send("vitals", bytes([n]), "")) for n in range(3)]
        await gateway.until(lambda: len(gateway.published) == 3)
        first = list(gateway.published)
        gateway.published.clear()
        gateway.acknowledge = True
        gateway.hang_up()
        assert await asyncio.gather(*sends) == [Outcome.ACKNOWLEDGED] * 3
        again = gateway.published
        assert [p.dup for p in first] == [False] * 3
        assert [p.dup for p in again] == [True] * 3
        assert [(p.packet_id, p.payload) for p in again] == [
            (p.packet_id, p.payload) for p in first
        ]
        assert link.connects == 2
        await link.close()


async def test_without_a_session_the_same_message_is_a_new_publish() -> None:
    async with Gateway() as gateway:
        gateway.acknowledge = False
        gateway.keep_sessions = False
        link = MqttLink(settings(gateway, Version.V5), Random(1))
        await link.connect()
        send = asyncio.ensure_future(link.send("vitals", b"x", ""))
        await gateway.until(lambda: gateway.published)
        gateway.acknowledge = True
        gateway.hang_up()
        assert await send is Outcome.ACKNOWLEDGED
        assert [packet.dup for packet in gateway.published] == [False, False]
        await link.close()


async def test_what_was_never_sent_is_not_a_duplicate() -> None:
    async with Gateway() as gateway:
        link = MqttLink(settings(gateway, Version.V5), Random(1))
        await link.connect()
        gateway.hang_up()
        while link.connected:  # noqa: ASYNC110 -- the link has no event of going down
            await asyncio.sleep(0)
        assert await link.send("vitals", b"x", "") is Outcome.ACKNOWLEDGED
        assert [packet.dup for packet in gateway.published] == [False]
        await link.close()


@pytest.mark.parametrize(("inflight_max", "receive_maximum"), [(2, 0), (16, 2)])
async def test_no_more_than_the_window_is_unacknowledged(
    inflight_max: int, receive_maximum: int
) -> None:
    async with Gateway(receive_maximum=receive_maximum) as gateway:
        gateway.acknowledge = False
        link = MqttLink(settings(gateway, Version.V5, inflight_max=inflight_max), Random(1))
        await link.connect()
        sends = [asyncio.ensure_future(link.send("vitals", bytes([n]), "")) for n in range(9)]
        await gateway.until(lambda: len(gateway.published) == 2)
        gateway.say(Publish("somewhere", b""), Version.V5)  # a turn there and back
        await asyncio.sleep(0.02)
        assert len(gateway.published) == 2
        gateway.acknowledge = True
        gateway.hang_up()
        assert await asyncio.gather(*sends) == [Outcome.ACKNOWLEDGED] * 9
        payloads = [packet.payload[0] for packet in gateway.published[2:]]
        assert payloads == list(range(9))
        await link.close()


async def test_close_gives_up_what_nobody_acknowledged() -> None:
    async with Gateway() as gateway:
        gateway.acknowledge = False
        link = MqttLink(settings(gateway, Version.V311), Random(1))
        await link.connect()
        send = asyncio.ensure_future(link.send("vitals", b"x", ""))
        await gateway.until(lambda: gateway.published)
        await link.close()
        assert await send is Outcome.GIVEN_UP


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_refused_connect_raises_with_the_code(version: Version) -> None:
    async with Gateway() as gateway:
        gateway.refuse_connect = ReasonCode.NOT_AUTHORIZED
        link = MqttLink(settings(gateway, version), Random(1))
        with pytest.raises(RefusedError) as refused:
            await link.connect()
        assert refused.value.code is ReasonCode.NOT_AUTHORIZED
        await link.close()


async def test_a_command_is_answered_before_it_is_acknowledged() -> None:
    async with Gateway() as gateway:
        link = MqttLink(settings(gateway, Version.V5), Random(1), answer_command)
        await link.connect()
        await gateway.until(lambda: gateway.subscribed == ["devices/m-001/command"])
        gateway.say(Publish("devices/m-001/command", b'{"v":1,"id":"c7"}', 1, 5), Version.V5)
        await gateway.until(lambda: gateway.published)
        answer = gateway.published[0]
        assert answer.topic == "devices/m-001/command/result"
        assert answer.payload == b'{"v":1,"id":"c7","result":"done"}'
        await link.close()


async def test_a_disconnect_with_a_reason_reconnects() -> None:
    async with Gateway() as gateway:
        link = MqttLink(settings(gateway, Version.V5), Random(1))
        await link.connect()
        gateway.say(Disconnect(ReasonCode.SERVER_SHUTTING_DOWN), Version.V5)
        await gateway.until(lambda: len(gateway.connects) == 2)
        await link.close()


async def test_pings_keep_the_gateways_time() -> None:
    async with Gateway() as gateway:
        gateway.server_keep_alive = 1
        link = MqttLink(settings(gateway, Version.V5), Random(1))
        await link.connect()
        await gateway.until(lambda: gateway.pings == 2)
        assert link.connects == 1
        await link.close()


async def test_a_gateway_that_answers_no_ping_is_given_up() -> None:
    async with Gateway() as gateway:
        gateway.server_keep_alive = 1
        gateway.answer_pings = False
        link = MqttLink(settings(gateway, Version.V5), Random(1))
        await link.connect()
        await gateway.until(lambda: len(gateway.connects) == 2)
        assert gateway.pings == 1
        await link.close()


def test_backoff_grows_to_its_bound_with_full_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    random = Random(1)
    for attempt in range(40):
        waits = [backoff_s(attempt, random) for _ in range(20)]
        assert all(0 <= wait <= min(10.0, 0.2 * 2**attempt) for wait in waits)
        assert len(set(waits)) == 20
