"""Capture files to conversations: every layer, any order of segments, and only typed errors."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.playback import loading, network, pcap
from firmware_sim.playback.conversation import Side
from firmware_sim.playback.gathering import gather
from firmware_sim.playback.reassembly import WAITING_BYTES_MAX, Stream
from gateway.domain.errors import ConfigError, MalformedError
from gateway.domain.ports import Carrier
from tests.unit.intellivue.capture import MONITOR, SHARED, datagrams, needs_capture
from tests.unit.sim import packets as make

A, B = "10.0.0.1:5000", "10.0.0.2:24105"
A6, B6 = "[fd00::1]:5000", "[fd00::2]:24105"


def said(content: bytes) -> list[tuple[str, bytes]]:
    """Who said what, in the only conversation of a file."""
    (found,) = gather(pcap.packets(content)).found
    assert not found.lacks
    return [(piece.side.value, piece.data) for piece in found.conversation.pieces]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("ticks", [1_000_000, 1_000_000_000])
def test_classic_files_of_either_order_and_clock(order, ticks):
    frames = [make.ethernet(make.udp(A, B, bytes((n,)) * 3)) for n in range(3)]
    content = make.pcap(frames, order=order, ticks=ticks)
    (found,) = gather(pcap.packets(content)).found
    assert found.conversation.carrier is Carrier.DATAGRAMS
    assert [piece.at_us for piece in found.conversation.pieces] == [
        100_000_000,
        100_010_000,
        100_020_000,
    ]
    assert said(content) == [("device", bytes((n,)) * 3) for n in range(3)]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("options", "digits"), [(b"", 6), (b"\x09", 9), (b"\x03", 3)])
def test_pcapng_of_either_order_and_clock(order, options, digits):
    options = make.option(order, 9, options) + make.option(order, 0, b"") if options else b""
    frames = [make.ethernet(make.udp(A, B, b"x")), make.ethernet(make.udp(B, A, b"y"))]
    content = make.pcapng(frames, order=order, options=options, digits=digits)
    (found,) = gather(pcap.packets(content)).found
    assert [piece.at_us for piece in found.conversation.pieces] == [100_000_000, 100_010_000]
    # A second section has interfaces of its own, and may have another order of bytes.
    other = make.pcapng([make.cooked(make.udp(A, B, b"z"))], link=113, order=">")
    assert said(content + other) == [("device", b"x"), ("peer", b"y"), ("device", b"z")]


@pytest.mark.parametrize(
    ("link", "wrap"),
    [
        (1, make.ethernet),
        (1, lambda packet: make.ethernet(packet, 7, 42)),
        (101, bytes),
        (113, make.cooked),
        (276, make.cooked_2),
    ],
)
@pytest.mark.parametrize(("a", "b"), [(A, B), (A6, B6)])
def test_link_layers_and_both_versions_of_ip(link, wrap, a, b):
    frames = [wrap(make.udp(a, b, b"hello")), wrap(make.tcp(b, a, 7, b"ignored", make.SYN))]
    gathered = gather(pcap.packets(make.pcap(frames, link)))
    first = gathered.found[0].conversation
    assert (first.device, first.peer) == (a, b)
    assert [piece.data for piece in first.pieces] == [b"hello"]  # and no padding


def test_what_carries_nothing_is_passed_over_and_told():
    frames = [
        make.ethernet(make.ip("10.0.0.1", "10.0.0.2", 17, bytes(16), fragment=0x2000)),
        make.ethernet(make.ip("10.0.0.1", "10.0.0.2", 1, b"ping")),
        bytes(12) + b"\x08\x06" + bytes(46),
        make.ethernet(make.udp(A, B, b"x"))[:36],
        make.ethernet(make.udp(A, B, b"x")),
    ]
    gathered = gather(pcap.packets(make.pcap(frames)))
    assert dict(gathered.skipped) == {
        "IP fragment": 1,
        "neither UDP nor TCP": 1,
        "not IP": 1,
        "damaged": 1,
    }
    assert len(gathered.found) == 1


@given(
    text=st.binary(min_size=1, max_size=400),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    first=st.sampled_from([0, 1, 2**31 - 5, 2**32 - 3]),
    data=st.data(),
)
def test_any_order_and_repetition_of_segments_gives_the_stream(text, cuts, first, data):
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parts = [(first + 1 + a, text[a:b]) for a, b in pairwise(edges)]
    extra = data.draw(st.lists(st.sampled_from(parts), max_size=4))
    overlap = data.draw(st.integers(0, len(text)))
    parts += [*extra, (first + 1 + overlap // 2, text[overlap // 2 : overlap])]
    frames = [make.ethernet(make.tcp(A, B, first, flags=make.SYN))]
    frames += [make.ethernet(make.tcp(A, B, *part)) for part in data.draw(st.permutations(parts))]
    assert b"".join(each for _, each in said(make.pcap(frames))) == text


def test_a_hole_is_told_and_nothing_behind_it_comes_out():
    frames = [
        make.tcp(A, B, 10, flags=make.SYN),
        make.tcp(A, B, 11, b"abc"),
        make.tcp(A, B, 20, b"xyz"),
    ]
    (found,) = gather(pcap.packets(make.pcap(frames, 101))).found
    assert [piece.data for piece in found.conversation.pieces] == [b"abc"]
    assert "missing" in found.lacks


def test_what_waits_behind_a_hole_is_bounded():
    stream = Stream()
    stream.begin(0)
    piece = bytes(1 << 16)
    for number in range(WAITING_BYTES_MAX // len(piece) + 3):
        assert stream.add(100 + number * len(piece), piece) == b""
    assert stream.overflowed
    assert sum(map(len, stream._waiting.values())) <= WAITING_BYTES_MAX


def test_a_connection_that_is_opened_again_is_another_conversation():
    frames = [
        make.tcp(A, B, 10, flags=make.SYN),
        make.tcp(A, B, 10, flags=make.SYN),
        make.tcp(B, A, 90, flags=make.SYN | make.ACK),
        make.tcp(A, B, 11, b"one"),
        make.tcp(B, A, 91, b"two"),
        make.tcp(A, B, 5000, flags=make.SYN),
        make.tcp(A, B, 5001, b"three"),
    ]
    gathered = gather(pcap.packets(make.pcap(frames, 101)))
    assert [
        [(piece.side, piece.data) for piece in each.conversation.pieces] for each in gathered.found
    ] == [[(Side.DEVICE, b"one"), (Side.PEER, b"two")], [(Side.DEVICE, b"three")]]
    assert all(each.conversation.whole for each in gathered.found)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([make.tcp(A, B, 1, b"\x16\x03\x01\x02\x00\x01")], "encrypted"),
        ([make.udp(A, B, b"\x16\xfe\xfd" + bytes(20))], "encrypted"),
    ],
)
def test_what_only_others_can_read_is_refused(frames, words, tmp_path):
    found = gather(pcap.packets(make.pcap(frames, 101))).found
    assert words in found[0].lacks
    with pytest.raises(ConfigError, match=words):
        loading.choose(tmp_path, loading.Loaded(False, found, ()), 0)


def test_packets_that_were_cut_off_are_refused():
    frame = make.ethernet(make.udp(A, B, bytes(200)))
    content = make.pcap([frame])[:24] + struct.pack("<IIII", 1, 0, 100, len(frame)) + frame[:100]
    (found,) = gather(pcap.packets(content)).found
    assert "cut off" in found.lacks


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xd4\xc3\xb2\xa1" + bytes(10), "header is cut off"),
        (make.pcap([bytes(60)])[:-1], "cut off"),
        (make.pcapng([bytes(60)])[:-3], "cut off or damaged"),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "no block"),
        (make.pcap([make.ethernet(b"\x45")], link=147), "link type"),
        (make.pcap([]), "no packet carries data"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"-----BEGIN CERTIFICATE-----", "certificate"),
    ],
)
def test_what_can_not_be_played_is_refused_in_words(content, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        loading.load(tmp_path / "x.pcap", content, 9600)


_GOOD = [
    make.pcap([make.ethernet(make.tcp(A, B, n, b"data")) for n in range(3)]),
    make.pcapng([make.ethernet(make.udp(A6, B6, b"data")) for _ in range(3)]),
]


@given(
    st.sampled_from(_GOOD), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255))), st.data()
)
def test_damage_raises_the_typed_error_or_nothing(good, changes, data):
    content = bytearray(good[: data.draw(st.integers(4, len(good)))])
    for at, value in changes:
        if 4 + at % max(1, len(content) - 4) < len(content):
            content[4 + at % max(1, len(content) - 4)] = value
    try:
        gather(pcap.packets(bytes(content)))
    except MalformedError:
        return


@needs_capture
@pytest.mark.shared
def test_the_real_capture_is_read_as_its_other_reader_reads_it():
    path = SHARED / "intellivue_enumeration.pcapng"
    loaded = loading.load(path, path.read_bytes(), 9600)
    assert loaded.notes == ("6 packets passed over: not IP",)
    monitors = [
        piece.data
        for each in loaded.found
        for piece in each.conversation.pieces
        if (piece.side is Side.DEVICE) == each.conversation.device.startswith(MONITOR)
    ]
    expected = [each.payload for each in datagrams() if each.source == MONITOR]
    assert sorted(monitors) == sorted(expected)
    assert [round(each.conversation.seconds) for each in loaded.found] == [184, 3, 3, 3, 43]


@needs_capture
@pytest.mark.shared
def test_a_lines_bytes_get_the_times_of_a_line():
    path = SHARED.parent / "ivy450c" / "Ivy450C.1.data"
    content = loading.read(path)
    (found,) = loading.load(path, content, 9600).found
    assert b"".join(piece.data for piece in found.conversation.pieces) == content
    assert found.conversation.seconds == pytest.approx(len(content) / 960, abs=0.1)


def test_the_link_types_that_are_named_are_read():
    empty = pcap.Packet(0, 0, b"", cut=False)
    for link in network.LINKS:
        assert network.read(empty._replace(link=link)) == network.Skipped("damaged")
    assert network.read(empty._replace(link=147)) == network.Skipped("link type")
