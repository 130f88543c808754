"""The WFDB reader: records written here, and the real ones against the ``wfdb`` package."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.replay import Replay
from firmware_sim.wfdb import read_record
from gateway.domain.errors import ConfigError

SHARED = Path(os.environ.get("WARDGATE_SHARED", Path(__file__).parents[4] / "shared"))
RECORDS = SHARED / "captures" / "wfdb_mimic"
NAMES = sorted(path.stem for path in RECORDS.glob("*.hea"))
needs_captures = pytest.mark.skipif(not NAMES, reason="no captures beside the checkout")


def write(folder: Path, header: str, data: bytes) -> Path:
    (folder / "r.hea").write_text(header)
    (folder / "r.dat").write_bytes(data)
    return folder / "r"


def pack_212(samples: list[int]) -> bytes:
    out = bytearray()
    for first, second in zip(samples[0::2], [*samples[1::2], 0], strict=False):
        out += bytes((first & 0xFF, first >> 8 & 0x0F | second >> 4 & 0xF0, second & 0xFF))
    return bytes(out[:-1] if len(samples) % 2 else out)


@settings(max_examples=60, deadline=None)
@given(samples=st.lists(st.integers(-2048, 2047), min_size=1, max_size=40))
def test_format_212(tmp_path_factory: pytest.TempPathFactory, samples: list[int]) -> None:
    folder = tmp_path_factory.mktemp("r212")
    total = sum(samples) & 0xFFFF
    path = write(
        folder,
        f"r 1 250 {len(samples)}\nr.dat 212 100(5)/mV 12 0 0 {total} 0 II\n",
        pack_212(samples),
    )
    (signal,) = read_record(path).signals
    assert list(signal.samples) == samples
    for index, sample in enumerate(samples):
        assert signal.value(index) == (None if sample == -2048 else (sample - 5) / 100)


def test_format_16_with_units_baseline_and_missing(tmp_path: Path) -> None:
    rows = [(720, 0), (-32768, 150), (735, -32768)]
    data = b"".join(struct.pack("<hh", *row) for row in rows)
    path = write(
        tmp_path,
        "r 2 0.0166666666667/125 3 12:00:00\n"
        "# a comment\n"
        "r.dat 16 10/bpm 16 0 720 0 0 HR\n"
        "r.dat 16 10(-50)/pm 16 0 0 0 0 RESP\n",
        data,
    )
    header = path.with_name("r.hea")
    sums = [sum(row[i] for row in rows) & 0xFFFF for i in (0, 1)]
    header.write_text(
        header.read_text()
        .replace("720 0 0 HR", f"720 {sums[0]} 0 HR")
        .replace("0 0 0 RESP", f"0 {sums[1]} 0 RESP")
    )
    record = read_record(header)
    hr, resp = record.signals
    assert (record.frames, hr.units, resp.units, hr.name) == (3, "bpm", "pm", "HR")
    assert [hr.value(i) for i in range(3)] == [72.0, None, 73.5]
    assert [resp.value(i) for i in range(3)] == [5.0, 20.0, None]
    replay = Replay(record)
    assert [replay.sample(i) for i in range(4)] == [
        {"hr": 72.0, "rr": 5.0},
        {"rr": 20.0},
        {"hr": 73.5},
        None,
    ]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("", "no record line"),
        ("r\n", "malformed record line"),
        ("r/2 1 250 1\n", "several segments"),
        ("r 1 250 1\n", "1 signals announced"),
        ("r 1 250 1\nr.dat 80 200\n", "format 80"),
        ("r 1 250 1\nr.dat x\n", "malformed signal line"),
        ("r 1 250 9\nr.dat 16 200\n", "1 samples of 9"),
        ("r 1 250 1\nr.dat 16 200 12 0 7 8 0 II\n", "checksum of II"),
        ("r 1 250 1\nr.dat 16 200 12 x 7 8 0 II\n", "malformed signal line"),
        ("r 1 250 1\nnone.dat 16 200\n", "No such file"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, header: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_record(write(tmp_path, header, b"\7\0"))


def test_a_record_without_numerics_can_not_be_replayed(tmp_path: Path) -> None:
    record = read_record(write(tmp_path, "r 1 250 1\nr.dat 16 200 12 0 7 7 0 II\n", b"\7\0"))
    with pytest.raises(ConfigError, match="none of HR"):
        Replay(record)


@pytest.mark.parametrize("gain", ["2000", "1250/NU", "100/mV"])
def test_the_curve_of_breathing_is_no_rate(tmp_path: Path, gain: str) -> None:
    header = "r 2 125 1\nr.dat 16 10/bpm 16 0 7 7 0 HR\nr.dat 16 {} 16 0 8 8 0 RESP\n"
    data = b"\7\0\10\0"
    both = Replay(read_record(write(tmp_path, header.format("10/pm"), data)))
    assert both.sample(0) == {"hr": 0.7, "rr": 0.8}
    assert Replay(read_record(write(tmp_path, header.format(gain), data))).sample(0) == {"hr": 0.7}


@needs_captures
@pytest.mark.parametrize("name", ["041s01", "v102s", "03700181"])
def test_a_waveform_record_can_not_be_replayed(name: str) -> None:
    with pytest.raises(ConfigError, match="none of HR"):
        Replay(read_record(RECORDS / name))


@needs_captures
@pytest.mark.parametrize("name", NAMES)
def test_as_the_wfdb_package_reads_it(name: str) -> None:
    wfdb = pytest.importorskip("wfdb", reason="the oracle isn't installed")
    record = read_record(RECORDS / name)
    oracle = wfdb.rdrecord(str(RECORDS / name), smooth_frames=False)
    assert [signal.name for signal in record.signals] == oracle.sig_name
    assert [signal.units for signal in record.signals] == oracle.units
    assert record.frequency_hz == pytest.approx(oracle.fs)
    assert record.frames == oracle.sig_len
    for signal, expected in zip(record.signals, oracle.e_p_signal, strict=True):
        assert len(signal.samples) == len(expected)
        read = [signal.value(index) for index in range(len(signal.samples))]
        assert [value is None for value in read] == [math.isnan(each) for each in expected]
        pairs = [(a, b) for a, b in zip(read, expected.tolist(), strict=True) if a is not None]
        assert all(abs(value - physical) < 1e-9 for value, physical in pairs)


@needs_captures
def test_a_recorded_patient_is_replayed_sample_by_sample() -> None:
    replay = Replay(read_record(RECORDS / "s00001-2896-10-10-00-31n"))
    assert replay.samples == 1936
    first = replay.sample(0)
    assert first is not None
    assert first["hr"] == 0
    assert "nibp_sys" not in first
    assert replay.sample(1936) is None
    pressures = [sample["abp_sys"] for n in range(1936) if (sample := replay.sample(n))]
    assert sum(value != 0 for value in pressures) == 7
