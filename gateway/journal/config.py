"""The journal's limits, with units."""

from __future__ import annotations

import msgspec

from gateway.domain.errors import ConfigError

MIB = 1 << 20

FRAME_BODY_BYTES_MAX = 16 * MIB
"""A sealed body beyond this is refused on append and not believed on recovery."""
WAVES_SEGMENTS = 8
"""The lane of waveforms has segments of this part of its bytes: one is dropped at a time."""
WAVES_BYTES_MIN = 64 * 1024


class JournalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[journal]`` of the gateway's configuration."""

    limit_bytes: int = 8192 * MIB
    """Hard limit of everything under the journal's directory that holds records."""
    alarm_reserve_bytes: int = 256 * MIB
    """The last part of ``limit_bytes``, which only the alarms lane may use."""
    waves_bytes: int = 1024 * MIB
    """What waveforms may take of it at most. At this, and where telemetry or alarms need the space,
    the oldest waveforms are dropped, which Gaps tell."""
    ballast_bytes: int = 32 * MIB
    """Disk space allocated in advance, which alarms use when others have filled the disk."""
    segment_bytes: int = 64 * MIB
    """A segment is closed when the next frame would pass this; retention is by segment."""
    cache_bytes: int = 8 * MIB
    """Recent groups kept in the clear per lane, so that a caught-up forwarder reads no disk."""
    high_water_sync_s: float = 1.0
    """How far the durable high-water mark may lag; it is written at every commit anyway."""
    checkpoint_s: float = 2.0
    """Cursors and state are written to SQLite at most this often."""
    drop_oldest: bool = False
    """At the limit, drop the oldest telemetry (reported as a Gap) instead of refusing new."""
    quarantine_bytes_max: int = 256 * MIB
    """Copies of damaged bytes stop here; the damaged segments themselves stay until retention."""

    def __post_init__(self) -> None:
        if self.segment_bytes < 4096:
            raise ConfigError("journal.segment_bytes: at least 4096")
        if (
            self.ballast_bytes < 0
            or self.alarm_reserve_bytes < 0
            or self.cache_bytes < 0
            or self.quarantine_bytes_max < 0
        ):
            raise ConfigError("journal: a number of bytes can't be negative")
        if self.limit_bytes <= self.alarm_reserve_bytes:
            raise ConfigError("journal.limit_bytes: must be greater than alarm_reserve_bytes")
        if self.waves_bytes < WAVES_BYTES_MIN:
            raise ConfigError(f"journal.waves_bytes: at least {WAVES_BYTES_MIN}")
        if self.high_water_sync_s < 0 or self.checkpoint_s < 0:
            raise ConfigError("journal: an interval can't be negative")


class CommitterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[commit]``: group commit."""

    linger_s: float = 0.005
    """Under load, commits of telemetry begin at least this far apart; alarms don't wait. It paces
    everything behind, too: forwarders send each group when it is committed."""
    group_records_max: int = 1000
    group_bytes_max: int = 1 * MIB
    """A group also has to fit into one gRPC message (4 MiB by default)."""
    pending_records_max: int = 20_000
    pending_bytes_max: int = 32 * MIB
    """Above either, ``writable()`` is false: drivers pause reading."""
    pending_wave_bytes_max: int = 8 * MIB
    """Waveforms that would wait beyond it are refused; they make no driver pause."""
    maintain_s: float = 1.0
    """Interval of checkpoints, retention and gauges."""
