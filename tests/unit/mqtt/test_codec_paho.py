"""Against an independent implementation: paho-mqtt speaks to our codec over a socket pair.

The peer is a real paho client in manual mode (no thread of its own): what it sends, our
decoder must read, and what our encoder answers must drive paho's callbacks.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.subscribeoptions import SubscribeOptions

from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode, encode_pubacks, encode_pubcomps, encode_pubrecs
from drivers.mqtt.codec.packets import (
    PINGRESP,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Publish,
    Pubrel,
    Role,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Version,
    Will,
)
from drivers.mqtt.codec.properties import NO_PROPERTIES, Properties
from drivers.mqtt.codec.reasons import ReasonCode

TURNS_MAX = 200


class Bench:
    """A paho client, and our codec at the other end of its socket."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.near, far = socket.socketpair()
        self.near.settimeout(5)
        self.decoder = Decoder(Role.SERVER, 1 << 16)
        self.heard: list[Any] = []
        v5 = version is Version.V5
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id="m-001",
            protocol=paho.MQTTv5 if v5 else paho.MQTTv311,
            clean_session=None if v5 else False,
        )
        self.paho.username_pw_set("user", "pass")
        self.paho._create_socket = lambda: far  # type: ignore[method-assign]
        self.paho.on_connect = lambda *args: self.heard.append(("connect", args[3].value))
        self.paho.on_publish = lambda *args: self.heard.append(("publish", args[2]))
        self.paho.on_subscribe = lambda *args: self.heard.append(
            ("subscribe", [code.value for code in args[3]])
        )
        self.paho.on_unsubscribe = lambda *args: self.heard.append(("unsubscribe", args[2]))
        self.paho.on_message = lambda *args: self.heard.append(
            ("message", args[2].topic, args[2].payload, args[2].qos, args[2].retain)
        )
        self.paho.on_disconnect = lambda *args: self.heard.append(("disconnect", args[3].value))

    def read(self, count: int = 1) -> list[Packet]:
        """Drive paho until our decoder has read ``count`` packets."""
        got: list[Packet] = []
        for _ in range(TURNS_MAX):
            if len(got) >= count:
                return got
            while self.paho.want_write():
                self.paho.loop_write()
            got += self.decoder.feed(self.near.recv(4096))
            assert self.decoder.failed is None
        raise AssertionError(f"only {got} arrived")

    def answer(self, data: bytes) -> None:
        """Send to paho and let it read all of it."""
        self.near.sendall(data)
        self.paho.loop_read()
        while (sock := self.paho.socket()) is not None and _readable(sock):
            self.paho.loop_read()

    def say(self, packet: Packet) -> None:
        self.answer(encode(packet, self.version))


def _readable(sock: Any) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


@pytest.fixture(params=list(Version))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(request.param)
    yield made
    made.near.close()


def connected(bench: Bench, will: Callable[[], None] | None = None) -> Connect:
    if will is not None:
        will()
    v5 = bench.version is Version.V5
    bench.paho.connect(
        "localhost", keepalive=30, clean_start=False if v5 else paho.MQTT_CLEAN_START_FIRST_ONLY
    )
    (packet,) = bench.read()
    assert isinstance(packet, Connect)
    bench.say(Connack())
    assert bench.heard.pop() == ("connect", 0)
    return packet


def test_connect_with_will_user_and_password(bench: Bench) -> None:
    packet = connected(
        bench, lambda: bench.paho.will_set("devices/m-001/status", b"gone", qos=1, retain=True)
    )
    assert packet == Connect(
        client_id="m-001",
        version=bench.version,
        clean_start=False,
        keep_alive_s=30,
        will=Will("devices/m-001/status", b"gone", 1, retain=True),
        user_name="user",
        password=b"pass",
    )


@pytest.mark.parametrize("code", [ReasonCode.NOT_AUTHORIZED, ReasonCode.SERVER_UNAVAILABLE])
def test_connack_that_refuses(bench: Bench, code: ReasonCode) -> None:
    bench.paho.connect("localhost", keepalive=30)
    bench.read()
    bench.say(Connack(reason_code=code))
    assert bench.heard[0] == ("connect", code)


def test_publish_of_every_qos(bench: Bench) -> None:
    connected(bench)
    mids = [bench.paho.publish("devices/m-001/vitals", f"{qos}", qos).mid for qos in (0, 1, 2)]
    got = bench.read(3)
    assert got == [
        Publish("devices/m-001/vitals", b"0"),
        Publish("devices/m-001/vitals", b"1", 1, mids[1]),
        Publish("devices/m-001/vitals", b"2", 2, mids[2]),
    ]
    bench.answer(encode_pubacks([mids[1]]) + encode_pubrecs([mids[2]]))
    assert bench.read() == [Pubrel(mids[2])]
    bench.answer(encode_pubcomps([mids[2]]))
    assert [each for each in bench.heard if each[0] == "publish"] == [
        ("publish", mid) for mid in mids
    ]


def test_publish_with_properties() -> None:
    bench = Bench(Version.V5)
    connected(bench)
    sent = PahoProperties(PacketTypes.PUBLISH)
    sent.PayloadFormatIndicator = 1
    sent.MessageExpiryInterval = 60
    sent.ContentType = "application/json"
    sent.ResponseTopic = "devices/m-001/command/result"
    sent.CorrelationData = b"\x00\x01"
    sent.UserProperty = [("a", "1"), ("a", "2")]
    bench.paho.publish("t", b"x", 0, properties=sent)
    (packet,) = bench.read()
    assert isinstance(packet, Publish)
    assert packet.properties == Properties(
        payload_format_indicator=1,
        message_expiry_interval=60,
        content_type="application/json",
        response_topic="devices/m-001/command/result",
        correlation_data=b"\x00\x01",
        user_property=(("a", "1"), ("a", "2")),
    )
    bench.near.close()


def test_subscribe_receive_unsubscribe(bench: Bench) -> None:
    connected(bench)
    v5 = bench.version is Version.V5
    options = SubscribeOptions(1, noLocal=True, retainAsPublished=True, retainHandling=2)
    if v5:
        bench.paho.subscribe([("devices/+/command", options), ("x/#", SubscribeOptions(2))])
    else:
        bench.paho.subscribe([("devices/+/command", 1), ("x/#", 2)])
    (packet,) = bench.read()
    assert isinstance(packet, Subscribe)
    first = Subscription("devices/+/command", 1, v5, v5, 2 if v5 else 0)
    assert packet.subscriptions == (first, Subscription("x/#", 2))
    bench.say(Suback(packet.packet_id, (ReasonCode.GRANTED_QOS_1, ReasonCode.UNSPECIFIED_ERROR)))
    assert bench.heard.pop() == ("subscribe", [1, 0x80])

    properties = Properties(user_property=(("k", "v"),)) if v5 else NO_PROPERTIES
    bench.say(Publish("devices/m-001/command", b"beep", 1, 9, properties=properties))
    assert bench.heard.pop() == ("message", "devices/m-001/command", b"beep", 1, False)
    assert bench.read() == [Puback(9)]

    bench.paho.unsubscribe("x/#")
    (gone,) = bench.read()
    assert isinstance(gone, Unsubscribe)
    assert gone.topic_filters == ("x/#",)
    bench.say(Unsuback(gone.packet_id, (ReasonCode.SUCCESS,)))
    assert bench.heard.pop() == ("unsubscribe", gone.packet_id)


def test_ping_and_disconnect(bench: Bench) -> None:
    connected(bench)
    bench.paho._send_pingreq()
    (ping,) = bench.read()
    assert isinstance(ping, Pingreq)
    bench.say(PINGRESP)
    bench.paho.disconnect()
    assert bench.read() == [Disconnect()]


def test_disconnect_by_the_server() -> None:
    bench = Bench(Version.V5)
    connected(bench)
    bench.say(
        Disconnect(ReasonCode.SESSION_TAKEN_OVER, Properties(reason_string="another connection"))
    )
    assert bench.heard.pop() == ("disconnect", 0x8E)
    bench.near.close()
