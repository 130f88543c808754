"""For any packet, version, side and chunking; and for bytes that are no packet at all."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.errors import RULES, EncodeError
from drivers.mqtt.codec.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Role,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Version,
    Will,
)
from drivers.mqtt.codec.properties import Properties
from drivers.mqtt.codec.reasons import ReasonCode
from tests.unit.mqtt import strategies

SIZE_MAX = 1 << 16
SIDES = list(itertools.product(Version, Role))
FEW = settings(max_examples=60, deadline=None)


def opened(version: Version, role: Role) -> Decoder:
    decoder = Decoder(role, SIZE_MAX, version)
    if role is Role.SERVER:
        v5 = version is Version.V5
        properties = Properties(
            authentication_method="m" if v5 else None,
            session_expiry_interval=1 if v5 else None,
        )
        assert decoder.feed(encode(Connect("c", version, properties=properties), version))
    else:
        decoder.expect_auth("m")
        assert decoder.feed(encode(Connack(), version))
    return decoder


def cut(stream: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(each % (len(stream) + 1) for each in at)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


@pytest.mark.parametrize(("version", "role"), SIDES)
@FEW
@given(data=st.data())
def test_round_trip_in_any_chunking(version: Version, role: Role, data: st.DataObject) -> None:
    sent = data.draw(st.lists(strategies.packet(version, role), min_size=1, max_size=4))
    stream = b"".join(encode(packet, version) for packet in sent)
    chunks = cut(stream, data.draw(st.lists(st.integers(0, 4096), max_size=8)))
    decoder = opened(version, role)
    assert [packet for chunk in chunks for packet in decoder.feed(chunk)] == sent
    assert decoder.failed is None


@pytest.mark.parametrize("version", list(Version))
@FEW
@given(data=st.data())
def test_round_trip_of_connect_and_connack(version: Version, data: st.DataObject) -> None:
    connect = data.draw(strategies.connect(version))
    server = Decoder(Role.SERVER, SIZE_MAX)
    assert server.feed(encode(connect, version)) == [connect]
    assert server.version is version
    connack = data.draw(strategies.connack(version))
    client = Decoder(Role.CLIENT, SIZE_MAX, version)
    assert client.feed(encode(connack, version)) == [connack]


@pytest.mark.parametrize(("version", "role"), SIDES)
@FEW
@given(chunks=st.lists(st.binary(max_size=64), max_size=6))
def test_garbage_gives_the_typed_error_or_packets(
    version: Version, role: Role, chunks: list[bytes]
) -> None:
    for decoder in (Decoder(role, 128, version), opened(version, role)):
        for chunk in chunks:
            decoder.feed(chunk)
        assert decoder.failed is None or decoder.failed.rule in RULES


@pytest.mark.parametrize(("version", "role"), SIDES)
@FEW
@given(data=st.data())
def test_a_flipped_bit_gives_the_typed_error_or_packets(
    version: Version, role: Role, data: st.DataObject
) -> None:
    raw = bytearray(encode(data.draw(strategies.packet(version, role)), version))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    decoder = opened(version, role)
    decoder.feed(bytes(raw))
    assert decoder.failed is None or decoder.failed.rule in RULES


@pytest.mark.parametrize("version", list(Version))
@FEW
@given(data=st.data())
def test_what_was_read_is_written_back_to_the_same_packet(
    version: Version, data: st.DataObject
) -> None:
    """Whatever the decoder lets through, the encoder can say: no packet is half checked."""
    raw = bytearray(encode(data.draw(strategies.packet(version, Role.SERVER)), version))
    for index in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=3)):
        raw[index] = data.draw(st.integers(0, 255))
    for packet in opened(version, Role.SERVER).feed(bytes(raw)):
        again = encode(packet, version)
        assert opened(version, Role.SERVER).feed(again) == [packet]


def test_a_byte_at_a_time_costs_no_more_than_a_few_copies() -> None:
    """Counted, not timed: an incomplete packet is looked at again only when it is whole."""
    looks = 0

    class Counting(Decoder):
        def _walk(self, data: bytes, packets: list[Packet]) -> int:
            nonlocal looks
            looks += 1
            return super()._walk(data, packets)

    decoder = Counting(Role.SERVER, SIZE_MAX)
    connect = encode(Connect("c", Version.V5), Version.V5)
    stream = connect + encode(Publish("a", bytes(60_000)), Version.V5)
    got = [packet for i in range(len(stream)) for packet in decoder.feed(stream[i : i + 1])]
    assert len(got) == 2
    assert looks < 20


UNSAYABLE: list[tuple[Packet, Version]] = [
    (Auth(), Version.V311),
    (Puback(0), Version.V5),
    (Puback(1 << 16), Version.V5),
    (Puback(1, ReasonCode.NOT_AUTHORIZED), Version.V311),
    (Disconnect(ReasonCode.SERVER_BUSY), Version.V311),
    (Connack(reason_code=ReasonCode.PAYLOAD_FORMAT_INVALID), Version.V311),
    (Connack(session_present=True, reason_code=ReasonCode.BANNED), Version.V5),
    (Connack(properties=Properties(receive_maximum=1)), Version.V311),
    (Connack(properties=Properties(receive_maximum=0)), Version.V5),
    (Connack(properties=Properties(topic_alias=1)), Version.V5),
    (Connect("c", Version.V5), Version.V311),
    (Connect("c", Version.V311, password=b"p"), Version.V311),
    (Connect("c", will=Will("", b"")), Version.V5),
    (Connect("c\0"), Version.V5),
    (Connect("\ud800"), Version.V5),
    (Connect("c" * 65536), Version.V5),
    (Publish("", b""), Version.V5),
    (Publish("a/+", b""), Version.V5),
    (Publish("a", b"", 3, 1), Version.V5),
    (Publish("a", b"", 1, 0), Version.V5),
    (Publish("a", b"", 0, 1), Version.V5),
    (Publish("a", b"", 0, 0, dup=True), Version.V5),
    (Puback(1, ReasonCode.GRANTED_QOS_1), Version.V5),
    (Disconnect(ReasonCode.GRANTED_QOS_1), Version.V5),
    (Connack(reason_code=ReasonCode.SESSION_TAKEN_OVER), Version.V5),
    (Auth(ReasonCode.BANNED), Version.V5),
    (Suback(1, (ReasonCode.BANNED,)), Version.V5),
    (Unsuback(1, (ReasonCode.GRANTED_QOS_1,)), Version.V5),
    (Subscribe(1, (Subscription("a", retain_handling=3),)), Version.V5),
    (Subscribe(1, (Subscription("$share/x/a", no_local=True),)), Version.V5),
    (Subscribe(1, ()), Version.V5),
    (Subscribe(1, (Subscription("a/#/b"),)), Version.V5),
    (Subscribe(1, (Subscription("a", no_local=True),)), Version.V311),
]


@pytest.mark.parametrize(("packet", "version"), UNSAYABLE)
def test_the_encoder_refuses_what_the_version_cannot_say(packet: Packet, version: Version) -> None:
    with pytest.raises(EncodeError):
        encode(packet, version)
