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
