"""The decoder as a stream: chunking, limits, order of packets, what is kept after a failure."""

import pytest

from drivers.mqtt.codec import errors
from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import (
    encode,
    encode_pubacks,
    encode_pubcomps,
    encode_pubrecs,
)
from drivers.mqtt.codec.packets import (
    PINGREQ,
    Connack,
    Connect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Role,
    Version,
)
from drivers.mqtt.codec.properties import Properties

SIZE_MAX = 4096
VERSIONS = list(Version)


def server(version: Version) -> Decoder:
    """A server's decoder that has read CONNECT."""
    decoder = Decoder(Role.SERVER, SIZE_MAX)
    assert len(decoder.feed(encode(Connect("m-001", version), version))) == 1
    assert decoder.version is version
    return decoder


def client(version: Version) -> Decoder:
    """A client's decoder that has read CONNACK."""
    decoder = Decoder(Role.CLIENT, SIZE_MAX, version)
    assert decoder.feed(encode(Connack(), version)) == [Connack()]
    return decoder


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_any_chunking_gives_the_same_packets(version: Version, size: int) -> None:
    sent: list[Packet] = [
        Publish("a/b", bytes(n), n % 3, (n % 3 and n) or 0) for n in range(1, 300, 13)
    ]
    sent += [PINGREQ]
    stream = b"".join(encode(packet, version) for packet in sent)
    decoder = server(version)
    got = [p for i in range(0, len(stream), size) for p in decoder.feed(stream[i : i + size])]
    assert got == sent
    assert decoder.failed is None


def test_a_packet_too_large_is_refused_from_its_header_alone() -> None:
    decoder = server(Version.V5)
    stream = encode(Publish("a", bytes(SIZE_MAX)), Version.V5)
    assert decoder.feed(stream[:4]) == []
    assert decoder.failed is not None
    assert decoder.failed.code == 0x95
    assert decoder.failed.clause == "MQTT-3.2.2-15"


def test_a_packet_of_the_very_limit_is_read() -> None:
    packet = Publish("a", bytes(SIZE_MAX - 6))
    stream = encode(packet, Version.V311)
    assert len(stream) == SIZE_MAX
    assert server(Version.V311).feed(stream) == [packet]


def test_packets_before_the_malformed_one_are_returned_and_none_after() -> None:
    decoder = server(Version.V311)
    good = encode(Publish("a", b"x"), Version.V311)
    assert decoder.feed(good + b"\x36\0" + good) == [Publish("a", b"x")]
    assert decoder.failed is not None
    assert decoder.failed.rule is errors.PUBLISH_QOS
    assert decoder.feed(good) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_acknowledgements_in_bulk_equal_single_ones(version: Version) -> None:
    ids = [1, 255, 256, 65535]
    assert encode_pubacks(ids) == b"".join(encode(Puback(i), version) for i in ids)
    assert encode_pubrecs(ids) == b"".join(encode(Pubrec(i), version) for i in ids)
    assert encode_pubcomps(ids) == b"".join(encode(Pubcomp(i), version) for i in ids)
    assert client(version).feed(encode_pubacks(ids)) == [Puback(i) for i in ids]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_byte_order_mark_is_kept(version: Version) -> None:
    """[MQTT-1.5.3-3] of 3.1.1, [MQTT-1.5.4-3] of 5.0."""
    raw = bytes.fromhex("30 08 0006 EFBBBF EFBBBF" if version is Version.V311 else "")
    raw = raw or bytes.fromhex("30 09 0006 EFBBBF EFBBBF 00")
    assert server(version).feed(raw) == [Publish("\ufeff\ufeff", b"")]


def aliased(topic: str, alias: int) -> bytes:
    return encode(Publish(topic, b"", properties=Properties(topic_alias=alias)), Version.V5)


def opened_with_aliases(count: int) -> Decoder:
    decoder = Decoder(Role.SERVER, SIZE_MAX, topic_alias_max=count)
    assert decoder.feed(encode(Connect("m-001", Version.V5), Version.V5))
    return decoder


def test_topic_aliases_up_to_the_maximum_are_filled_in() -> None:
    decoder = opened_with_aliases(3)
    for alias in (1, 2, 3):
        assert decoder.feed(aliased(f"topic/{alias}", alias))
    topics = [packet.topic for alias in (3, 1, 2) for packet in publishes(decoder, "", alias)]
    assert topics == ["topic/3", "topic/1", "topic/2"]
    assert publishes(decoder, "other", 2)[0].topic == "other"
    assert publishes(decoder, "", 2)[0].topic == "other"


def publishes(decoder: Decoder, topic: str, alias: int) -> list[Publish]:
    packets = decoder.feed(aliased(topic, alias))
    return [packet for packet in packets if isinstance(packet, Publish)]


def test_topic_aliases_end_with_their_connection() -> None:
    assert opened_with_aliases(1).feed(aliased("topic", 1))
    decoder = opened_with_aliases(1)
    assert decoder.feed(aliased("", 1)) == []
    assert decoder.failed is not None
    assert decoder.failed.rule is errors.TOPIC_ALIAS_UNKNOWN


@pytest.mark.parametrize(
    "size", [126, 127, 128, 129, 255, 256, 16383, 16384, 16385, 2097151, 2097152]
)
@pytest.mark.parametrize("split", [0, 1, 2, 3, 4])
def test_remaining_lengths_at_their_edges(size: int, split: int) -> None:
    """Table 2.4 of 3.1.1: where one, two, three and four bytes of length begin."""
    decoder = Decoder(Role.SERVER, 1 << 22)
    decoder.feed(encode(Connect("m-001", Version.V311), Version.V311))
    packet = Publish("a", bytes(size - 3))
    stream = encode(packet, Version.V311)
    assert len(stream) - size - 1 == 1 + (size > 127) + (size > 16383) + (size > 2097151)
    assert decoder.feed(stream[:split]) + decoder.feed(stream[split:]) == [packet]
