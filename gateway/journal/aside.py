"""Samples of what could not be understood, for the engineer: sealed, and bounded in every way.

Rules:
- A sample is cut to ``sample_bytes_max``; at most ``samples_per_second`` are kept, the others
  are only counted by whoever refused them.
- Two files take turns: when the active one is full, the other is emptied and written from its
  beginning, so between half and all of ``total_bytes_max`` of the newest samples is there.
- Nothing is synced: a sample is a help, not a promise. A disk that refuses costs the sample,
  never the session that brought it.
- A sample may hold a patient's data: it is sealed like the journal, and only ``samples`` opens
  it again. Those are passed over whose key was destroyed.

Layout of an entry (little-endian): magic "WGAS", CRC-32 of the rest, 1 length of the key id,
4 length of the sealed part, key id, sealed part (MessagePack of :class:`Sample`).
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from gateway.domain.errors import ConfigError, KeyErasedError, WardgateError
from gateway.domain.ports import Clock, Counters
from gateway.journal.types import Sealer

_log = logging.getLogger(__name__)
MAGIC = b"WGAS"
_ENTRY = struct.Struct("<4sI")
_SIZES = struct.Struct("<BI")
_AAD = b"wardgate set-aside"
_NAMES = ("samples.0", "samples.1")
SCOPE = "aside"
"""Of the keys that seal samples."""


class AsideConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[aside]`` of the gateway's configuration."""

    sample_bytes_max: int = 4096
    total_bytes_max: int = 16 << 20
    samples_per_second: float = 20.0
    burst: int = 100
    """Samples that may come at once after a quiet time."""

    def __post_init__(self) -> None:
        if self.sample_bytes_max < 1 or self.total_bytes_max < 4 * (self.sample_bytes_max + 1024):
            raise ConfigError("aside.total_bytes_max: room for at least four samples")
        if self.samples_per_second <= 0 or self.burst < 1:
            raise ConfigError("aside: the rate and the burst must be positive")


class Sample(msgspec.Struct, frozen=True):
    """One sample, as it is opened again."""

    at_us: int
    device_id: str
    driver: str
    reason: str
    size: int
    """Bytes that there were before the sample was cut."""
    data: bytes


class Aside:
    """Implements ``gateway.domain.ports.SetAside``; called on the loop's thread."""

    def __init__(
        self,
        directory: str | Path,
        config: AsideConfig,
        sealer: Sealer,
        clock: Clock,
        counters: Counters,
    ) -> None:
        """Open or create the files.

        Raises:
            OSError: the directory can't be used.
        """
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._config = config
        self._sealer = sealer
        self._clock = clock
        self._counters = counters
        self._allowance = float(config.burst)
        self._allowed_at = clock.monotonic()
        self._failing = False
        times = [self._modified(name) for name in _NAMES]
        self._active = times.index(max(times))
        self._fd = self._open(truncate=False)

    def follow(self, config: AsideConfig) -> None:
        """Go on under changed limits, from the next sample on."""
        self._config = config

    def keep(self, device_id: str, driver: str, reason: str, sample: bytes) -> None:
        """Keep a sample if the rate allows; never raises for the disk's sake."""
        if not self._allowed():
            return
        kept = Sample(
            self._clock.now_us(),
            device_id,
            driver,
            reason,
            len(sample),
            bytes(sample[: self._config.sample_bytes_max]),
        )
        try:
            self._write(self._entry(kept))
        except (OSError, WardgateError) as error:
            if not self._failing:
                _log.warning("samples can't be kept: %s", error)
            self._failing = True
            return
        self._failing = False
        self._counters.add("set_aside", driver, reason)

    def samples(self) -> Iterator[Sample]:
        """Every sample that is there, oldest first; damaged entries are passed over.

        Raises:
            KeyMissingError, SealBrokenError: the key ring does not open them.
        """
        for name in (_NAMES[1 - self._active], _NAMES[self._active]):
            try:
                data = (self._directory / name).read_bytes()
            except FileNotFoundError:
                continue
            for key_id, sealed in _entries(data):
                try:
                    plain = self._sealer.open(key_id, sealed, _AAD)
                except KeyErasedError:
                    continue
                yield msgspec.msgpack.decode(plain, type=Sample)

    def key_ids(self) -> set[str]:
        """The keys of which samples are there; reads both files."""
        return {key_id for key_id, _ in sealed_in(self._directory)}

    def close(self) -> None:
        """Close the active file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _allowed(self) -> bool:
        now = self._clock.monotonic()
        earned = (now - self._allowed_at) * self._config.samples_per_second
        self._allowance = min(self._allowance + earned, float(self._config.burst))
        self._allowed_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _entry(self, sample: Sample) -> bytes:
        key_id, sealed = self._sealer.seal(msgspec.msgpack.encode(sample), _AAD)
        key = key_id.encode("ascii")
        rest = _SIZES.pack(len(key), len(sealed)) + key + sealed
        return _ENTRY.pack(MAGIC, crc32(rest)) + rest

    def _write(self, entry: bytes) -> None:
        size = os.fstat(self._fd).st_size
        if size + len(entry) > self._config.total_bytes_max // 2:
            self.close()
            self._active = 1 - self._active
            self._fd = self._open(truncate=True)
            size = 0
        if os.write(self._fd, entry) != len(entry):
            os.ftruncate(self._fd, size)
            raise OSError("a sample was written in part")

    def _open(self, *, truncate: bool) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        path = self._directory / _NAMES[self._active]
        return os.open(path, flags | (os.O_TRUNC if truncate else 0), 0o600)

    def _modified(self, name: str) -> int:
        try:
            return (self._directory / name).stat().st_mtime_ns
        except FileNotFoundError:
            return 0


def sealed_in(directory: Path) -> Iterator[tuple[str, int]]:
    """Key id and sealed bytes of every sample in a directory."""
    for name in _NAMES:
        try:
            data = (directory / name).read_bytes()
        except FileNotFoundError:
            continue
        yield from ((key_id, len(sealed)) for key_id, sealed in _entries(data))


def _entries(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Key id and sealed part of every whole entry of a file."""
    at = data.find(MAGIC)
    while at >= 0:
        start = at + _ENTRY.size
        fixed = data[start : start + _SIZES.size]
        if len(fixed) == _SIZES.size:
            key_bytes, sealed_bytes = _SIZES.unpack(fixed)
            end = start + _SIZES.size + key_bytes + sealed_bytes
            _, crc = _ENTRY.unpack_from(data, at)
            if end <= len(data) and crc32(data[start:end]) == crc:
                key_at = start + _SIZES.size
                key_id = data[key_at : key_at + key_bytes].decode("ascii")
                yield key_id, data[key_at + key_bytes : end]
                at = data.find(MAGIC, end)
                continue
        at = data.find(MAGIC, at + 1)
