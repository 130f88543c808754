"""Records of real patients in WFDB form: header and signal files, formats 16 and 212.

After the WFDB file formats HEADER(5) and SIGNAL(5). A signal's physical value is
``(sample - baseline) / gain``; a missing sample is -32768 in format 16 and -2048 in 212, and
reads as None. Signals of one file are interleaved frame by frame, some with several samples per
frame; a skew says how many frames a signal lags behind. A checksum that doesn't fit is refused.
"""

from __future__ import annotations

import array
import re
import sys
from pathlib import Path
from typing import NamedTuple

from gateway.domain.errors import ConfigError

HEADER_BYTES_MAX = 64 * 1024
SIGNAL_BYTES_MAX = 256 * 1024 * 1024
"""More than a day of eight 250 Hz signals; a bound against the wrong file."""
GAIN_DEFAULT = 200.0
FREQUENCY_DEFAULT_HZ = 250.0
MISSING = {16: -32768, 212: -2048}

_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?")
_GAIN = re.compile(r"([-+.eE\d]+)(?:\(([-+]?\d+)\))?(?:/(\S+))?")


class Signal(NamedTuple):
    """One signal of a record."""

    name: str
    units: str
    gain: float
    baseline: int
    samples_per_frame: int
    missing: int
    samples: array.array[int]

    def value(self, index: int) -> float | None:
        """The physical value of a sample; None if it is missing.

        Raises:
            IndexError: behind the end.
        """
        sample = self.samples[index]
        return None if sample == self.missing else (sample - self.baseline) / self.gain


class Record(NamedTuple):
    """A record: so many frames of each signal, at so many frames per second."""

    name: str
    frequency_hz: float
    frames: int
    signals: tuple[Signal, ...]


class _Line(NamedTuple):
    """A signal's line in the header."""

    file: str
    format: int
    samples_per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    units: str
    checksum: int | None
    name: str


def read_record(path: Path) -> Record:
    """Read ``path`` (with or without ``.hea``) and the signal files beside it.

    Raises:
        ConfigError: missing, malformed, of another format, cut short, or damaged.
    """
    header = path if path.suffix == ".hea" else path.with_name(path.name + ".hea")
    lines = _header_lines(header)
    name, count, frequency, frames = _record_line(header, lines[0])
    if len(lines) <= count:
        raise ConfigError(f"{header}: {count} signals announced, {len(lines) - 1} described")
    described = [_signal_line(header, line) for line in lines[1 : count + 1]]
    read: dict[str, list[array.array[int]]] = {}
    for file in dict.fromkeys(line.file for line in described):
        ours = [line for line in described if line.file == file]
        read[file] = _read_signals(header.with_name(file), ours, frames)
    if not frames and described:
        frames = len(read[described[0].file][0]) // described[0].samples_per_frame
    signals = tuple(_signal(header, line, read[line.file].pop(0)) for line in described)
    return Record(name, frequency, frames, signals)


def _header_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            text = file.read(HEADER_BYTES_MAX).decode("latin-1")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise ConfigError(f"{path}: no record line")
    return lines


def _record_line(path: Path, line: str) -> tuple[str, int, float, int]:
    words = line.split()
    try:
        name, count = words[0], int(words[1])
        frequency = float(words[2].split("/")[0]) if len(words) > 2 else FREQUENCY_DEFAULT_HZ
        frames = int(words[3]) if len(words) > 3 else 0
    except (IndexError, ValueError) as error:
        raise ConfigError(f"{path}: malformed record line") from error
    if "/" in name:
        raise ConfigError(f"{path}: a record of several segments; name one of them")
    if count < 0 or frames < 0:
        raise ConfigError(f"{path}: malformed record line")
    return name, count, frequency, frames


def _signal_line(path: Path, line: str) -> _Line:
    words = line.split(maxsplit=8)
    shape = _FORMAT.fullmatch(words[1]) if len(words) > 1 else None
    if shape is None:
        raise ConfigError(f"{path}: malformed signal line")
    layout = int(shape[1])
    if layout not in MISSING:
        raise ConfigError(f"{path}: format {layout}; 16 and 212 are read")
    gain = _GAIN.fullmatch(words[2]) if len(words) > 2 else None
    try:
        zero = int(words[4]) if len(words) > 4 else 0
        return _Line(
            file=words[0],
            format=layout,
            samples_per_frame=int(shape[2] or 1),
            skew=int(shape[3] or 0),
            offset=int(shape[4] or 0),
            gain=(float(gain[1]) if gain else 0.0) or GAIN_DEFAULT,
            baseline=int(gain[2]) if gain and gain[2] else zero,
            units=(gain[3] if gain else None) or "mV",
            checksum=int(words[6]) if len(words) > 6 else None,
            name=words[8] if len(words) > 8 else "",
        )
    except ValueError as error:
        raise ConfigError(f"{path}: malformed signal line") from error


def _read_signals(path: Path, lines: list[_Line], frames: int) -> list[array.array[int]]:
    """The samples of every signal of one file, in the order of ``lines``."""
    layout, offset = lines[0].format, lines[0].offset
    per_frame = sum(line.samples_per_frame for line in lines)
    try:
        with path.open("rb") as file:
            raw = file.read(SIGNAL_BYTES_MAX)[offset:]
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    flat = _unpack_16(raw) if layout == 16 else _unpack_212(raw)
    wanted = frames * per_frame if frames else len(flat) // per_frame * per_frame
    if len(flat) < wanted:
        raise ConfigError(f"{path}: {len(flat)} samples of {wanted}")
    found = [array.array("h") for _ in lines]
    if per_frame == len(lines):
        return [flat[index:wanted:per_frame] for index in range(len(lines))]
    for start in range(0, wanted, per_frame):
        at = start
        for samples, line in zip(found, lines, strict=True):
            samples.extend(flat[at : at + line.samples_per_frame])
            at += line.samples_per_frame
    return found


def _unpack_16(raw: bytes) -> array.array[int]:
    samples = array.array("h", raw[: len(raw) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def _unpack_212(raw: bytes) -> array.array[int]:
    """Two samples of 12 bits in three bytes; an odd last one takes two."""
    pairs = len(raw) // 3
    samples = array.array("h", bytes(pairs * 4))
    lows, middles, highs = (raw[part : pairs * 3 : 3] for part in range(3))
    samples[0::2] = array.array(
        "h",
        [_signed(low | (mid & 0x0F) << 8) for low, mid in zip(lows, middles, strict=True)],
    )
    samples[1::2] = array.array(
        "h",
        [_signed(high | (mid & 0xF0) << 4) for mid, high in zip(middles, highs, strict=True)],
    )
    if len(raw) % 3 == 2:
        samples.append(_signed(raw[-2] | (raw[-1] & 0x0F) << 8))
    return samples


def _signed(value: int) -> int:
    return value - 0x1000 if value & 0x800 else value


def _signal(path: Path, line: _Line, samples: array.array[int]) -> Signal:
    missing = MISSING[line.format]
    if line.checksum is not None and (sum(samples) - line.checksum) & 0xFFFF:
        raise ConfigError(f"{path}: the checksum of {line.name or 'a signal'} doesn't fit")
    if line.skew:
        lag = line.skew * line.samples_per_frame
        samples = samples[lag:] + array.array("h", [missing] * min(lag, len(samples)))
    return Signal(
        line.name,
        line.units,
        line.gain,
        line.baseline,
        line.samples_per_frame,
        missing,
        samples,
    )
