"""Frames: chunks, damage, bounds, and that nothing which writes can be encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llrpkit.protocol import codec as library
from llrpkit.protocol import impinj, messages, params

from drivers.base.dialogue import Moment
from drivers.llrp import codec
from drivers.llrp.codec import MESSAGE_BYTES_MAX, SAYABLE, Damage, Decoder
from drivers.llrp.mapping import Mapper
from firmware_sim.exhibits.llrp import FRAMES
from gateway.domain.tags import ReaderClock
from tests.unit.llrp.scene import PROVENANCE

REPORT = bytes.fromhex("00f0001f8d3000abcdef0000000000000381000186d0820005a9e4bef862e0")
"""A real reader's: EPC-96, antenna 1, -48 dBm, FirstSeenUTC."""
WRITES = (
    messages.ADD_ACCESSSPEC,
    messages.ENABLE_ACCESSSPEC,
    impinj.IMPINJ_SAVE_SETTINGS,
)


def frame(kind: int, body: bytes, *, version: int = 1) -> bytes:
    head = (version << 10 | kind).to_bytes(2, "big")
    return head + (codec.HEADER_BYTES + len(body)).to_bytes(4, "big") + b"\0\0\0\x07" + body


def read(*frames: bytes) -> list[object]:
    return list(Decoder().feed(b"".join(frames)))


def test_a_real_report() -> None:
    (report,) = read(frame(61, REPORT))
    assert isinstance(report, messages.RO_ACCESS_REPORT)
    (reads,) = Mapper("r", PROVENANCE).reads(report, Moment(0.0, 9))
    (tag,) = reads.reads
    assert (tag.epc, tag.antenna, tag.rssi_dbm) == ("3000ABCDEF00000000000003", 1, -48.0)
    assert (reads.clock, tag.first_us) == (ReaderClock.UTC, 0x0005A9E4BEF862E0)


@given(st.lists(st.sampled_from(FRAMES), max_size=6), st.data())
def test_chunks_do_not_matter(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder = Decoder()
    found: list[object] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += decoder.feed(stream[begin:end])
    assert found == [codec.decode(each) for each in frames]
    assert decoder.pending() == 0


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"HTTP/1.1 4", "reserved_bits"),
        (b"\x00\x3d\0\0\0\x0a\0\0\0\0", "version"),
        (b"\x04\x3d\0\0\0\x09\0\0\0\0", "length"),
        (b"\x04\x3d" + (MESSAGE_BYTES_MAX + 1).to_bytes(4, "big") + bytes(4), "length"),
    ],
)
def test_what_can_be_no_header_ends_the_stream(header: bytes, reason: str) -> None:
    decoder = Decoder()
    (damage,) = decoder.feed(header + FRAMES[0])
    assert isinstance(damage, Damage)
    assert (damage.reason, damage.fatal) == (reason, True)
    assert list(decoder.feed(FRAMES[0])) == []
    assert decoder.pending() == 0


def test_a_damaged_inside_costs_its_frame_alone() -> None:
    damage, good = read(frame(61, REPORT[:-1]), frame(62, b""))
    assert isinstance(damage, Damage)
    assert (damage.reason, damage.fatal) == ("parameter", False)
    assert isinstance(good, messages.KEEPALIVE)


def test_nesting_beyond_measure_is_damage() -> None:
    """What ``llrpkit`` answers with a RecursionError."""
    body = b""
    for _ in range(3000):
        body = b"\x01\x20" + (8 + len(body)).to_bytes(2, "big") + b"\0\1\0\x64" + body
    status = b"\x01\x1f" + (8 + len(body)).to_bytes(2, "big") + bytes(4) + body
    nested = frame(100, status)
    with pytest.raises(RecursionError):
        library.decode_message(nested)
    damage, good = read(nested, frame(62, b""))
    assert isinstance(damage, Damage)
    assert (damage.reason, damage.fatal) == ("nesting", False)
    assert isinstance(good, messages.KEEPALIVE)


def test_other_vendors_parameters_are_skipped() -> None:
    custom = b"\x03\xff\x00\x0f" + (31_337).to_bytes(4, "big") + b"\0\0\0\1" + b"xyz"
    unknown = b"\x02\x00\x00\x06ab"
    tag = REPORT + custom + unknown
    tag = tag[:2] + len(tag).to_bytes(2, "big") + tag[4:]
    report = codec.decode(frame(61, tag + custom))
    assert isinstance(report, messages.RO_ACCESS_REPORT)
    (reads,) = Mapper("r", PROVENANCE).reads(report, Moment(0.0, 9))
    assert len(reads.reads) == 1
    assert report.to_bytes() == frame(61, tag + custom)


def test_an_unknown_message_is_none_of_ours() -> None:
    (message,) = read(frame(46, b"\1\2"))
    assert isinstance(message, library.UnknownMessage)


def test_impinjs_finer_rssi_counts() -> None:
    custom = impinj.ImpinjPeakRSSI(rssi=-4825).encode()
    tag = REPORT + custom
    tag = tag[:2] + len(tag).to_bytes(2, "big") + tag[4:]
    report = codec.decode(frame(61, tag))
    assert isinstance(report, messages.RO_ACCESS_REPORT)
    (reads,) = Mapper("r", PROVENANCE).reads(report, Moment(0.0, 9))
    assert reads.reads[0].rssi_dbm == -48.25


@pytest.mark.parametrize("bits", [0, 512])
def test_what_can_be_no_epc_is_left_out_and_counted(bits: int) -> None:
    epc = params.EPCData(epc=library.BitStr.from_bytes(bytes(bits // 8)))
    mapper = Mapper("r", PROVENANCE)
    report = messages.RO_ACCESS_REPORT(tag_report_datas=[params.TagReportData(epc_parameter=epc)])
    assert list(mapper.reads(report, Moment(0.0, 9))) == []
    assert mapper.left_out == 1


def test_one_report_of_two_clocks_is_two_statements() -> None:
    def tag(**more: object) -> params.TagReportData:
        return params.TagReportData(epc_parameter=params.EPC_96(), **more)  # type: ignore[arg-type]

    report = messages.RO_ACCESS_REPORT(
        tag_report_datas=[
            tag(last_seen_timestamp_utc=params.LastSeenTimestampUTC(microseconds=7)),
            tag(first_seen_timestamp_uptime=params.FirstSeenTimestampUptime(microseconds=3)),
            tag(),
        ]
    )
    found = list(Mapper("r", PROVENANCE).reads(report, Moment(1.0, 9_000_000)))
    assert [each.clock for each in found] == [ReaderClock.UTC, ReaderClock.UPTIME, ReaderClock.NONE]
    assert [each.placed_us(each.reads[0].last_us) for each in found] == [9_000_000] * 3


def test_only_what_reads_can_be_said() -> None:
    """By construction: the encoder knows a few messages, and refuses all the others there are."""
    known = [*library.MESSAGE_REGISTRY.values(), *library.CUSTOM_MESSAGE_REGISTRY.values()]
    assert set(SAYABLE) < set(known)
    assert not set(WRITES) & set(SAYABLE)
    for kind in set(known) - set(SAYABLE):
        made = kind.__new__(kind)
        with pytest.raises(ValueError, match="never said"):
            codec.encode(made, 1)


def test_no_output_is_switched() -> None:
    setting = messages.SET_READER_CONFIG(gpo_write_datas=[params.GPOWriteData(gpo_port_number=1)])
    with pytest.raises(ValueError, match="output"):
        codec.encode(setting, 1)


@given(st.binary(max_size=200), st.integers(0, 1023))
def test_anything_framed_is_a_message_or_damage(body: bytes, kind: int) -> None:
    (found,) = read(frame(kind, body))
    if isinstance(found, Damage):
        assert (found.reason, found.fatal) == ("parameter", False)
    else:
        assert isinstance(found, library.LLRPMessage)
