"""What lies sealed in a state directory, by key: read from outside, opened by nobody.

Everything that is needed stands in the clear: what each key is for, which key sealed a frame, a
row, a sample. So this works without the hospital's key, and beside a running gateway, whose newest
frames may be missing then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from gateway.capture.shelf import SCOPE as CAPTURE_SCOPE
from gateway.capture.shelf import Shelf
from gateway.domain.errors import ConfigError
from gateway.domain.labels import Lane
from gateway.journal import aside
from gateway.journal.files import OsFiles
from gateway.journal.frame import Frame
from gateway.journal.segment import HEADER_BYTES, SegmentReader, segment_number
from gateway.journal.types import STATE_SCOPE, lane_scope
from gateway.keykeeper import KEYS_FILE, SCOPES
from gateway.pipeline.memory import sealed_by
from gateway.uplink.flight import SCOPE as REJECTED_SCOPE
from security import keystore
from security.keystore import KeyFile


class Use(NamedTuple):
    """What is there that one key sealed."""

    key_id: str
    scope: str
    begun_us: int
    """0 for a key of the ring itself, with which an earlier release sealed."""
    seals: bool
    """It is the newest of its scope."""
    pieces: int
    """Frames, rows, samples, bodies."""
    bytes: int
    records: int
    """Of the journal only."""
    lacking: dict[str, int]
    """Destination -> records of these that it does not have yet."""


class _Sum:
    def __init__(self) -> None:
        self.pieces = self.bytes = self.records = 0
        self.lacking: dict[str, int] = {}


def key_file(state: Path) -> KeyFile:
    """The scopes' keys of a state directory, still sealed.

    Raises:
        ConfigError: there are none, or the file is damaged.
    """
    found = keystore.load(state / KEYS_FILE)
    if found is None:
        raise ConfigError(f"{state / KEYS_FILE}: no such file; is it a gateway's state directory?")
    return found


def survey(state: Path) -> list[Use]:
    """Every key, the oldest first, and what is there that it sealed.

    Raises:
        ConfigError: it is no gateway's state directory, or can't be read.
    """
    keys = key_file(state)
    sums: dict[tuple[str, str], _Sum] = {}
    try:
        for scope, key_id, pieces, size, records, lacking in _pieces(state):
            total = sums.setdefault((scope, key_id), _Sum())
            total.pieces += pieces
            total.bytes += size
            total.records += records
            for name, n in lacking.items():
                total.lacking[name] = total.lacking.get(name, 0) + n
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"{state}: can't be read: {error}") from error
    newest = {each.scope: each.number for each in keys.keys}
    uses = []
    for each in keys.keys:
        key_id = keys.key_id(each.number)
        found = sums.pop((each.scope, key_id), _Sum())
        seals = newest[each.scope] == each.number
        uses.append(_use(key_id, each.scope, each.begun_us, found, seals=seals))
    direct = [(key, found) for key, found in sorted(sums.items()) if key[1].isdecimal()]
    return [_use(key_id, scope, 0, found, seals=False) for (scope, key_id), found in direct] + uses


def _use(key_id: str, scope: str, begun_us: int, found: _Sum, *, seals: bool) -> Use:
    return Use(
        key_id, scope, begun_us, seals, found.pieces, found.bytes, found.records, found.lacking
    )


def chosen(uses: list[Use], scope: str, day: str, before: str) -> list[Use]:
    """The keys of a scope, of one day (UTC) or of those before one, or all.

    Raises:
        ConfigError: no such scope or date, or no such key.
    """
    if scope not in SCOPES:
        raise ConfigError(f"no scope {scope!r}; there are: {', '.join(SCOPES)}")
    if day and before:
        raise ConfigError("--day or --before, not both")
    try:
        limit = date.fromisoformat(day or before or "9999-12-31")
    except ValueError:
        raise ConfigError(f"{day or before!r} is no date like 2026-10-31") from None
    found = [
        use
        for use in uses
        if use.scope == scope
        and use.begun_us
        and (begun(use) == limit if day else begun(use) < limit)
    ]
    if not found:
        raise ConfigError(f"{scope} has no key of then; see: wardgate gateway keys show")
    return found


def begun(use: Use) -> date:
    """The day (UTC) on which a key began to seal."""
    return datetime.fromtimestamp(use.begun_us / 1e6, UTC).date()


_Piece = tuple[str, str, int, int, int, dict[str, int]]


def _pieces(state: Path) -> Iterator[_Piece]:
    """(scope, key id, pieces, bytes, records, lacking) of everything that is sealed."""
    database = state / "journal" / "state.sqlite"
    cursors: dict[Lane, dict[str, int]] = {lane: {} for lane in Lane}
    if database.exists():
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
            for name, lane, seq in db.execute("SELECT destination, lane, seq FROM cursor"):
                cursors[Lane(lane)][name] = seq
            rows = "SELECT key_id, count(*), sum(length(sealed)) FROM state GROUP BY key_id"
            for key_id, count, size in db.execute(rows).fetchall():
                yield STATE_SCOPE, key_id, count, size, 0, {}
    for lane in Lane:
        yield from _frames(state / "journal" / lane.name.lower(), lane, cursors[lane])
    ids = state / "message-ids"
    if ids.exists():
        yield STATE_SCOPE, sealed_by(ids), 1, ids.stat().st_size, 0, {}
    for key_id, size in aside.sealed_in(state / "aside"):
        yield aside.SCOPE, key_id, 1, size, 0, {}
    for key_id, size in Shelf(state).sealed():
        yield CAPTURE_SCOPE, key_id, 1, size, 0, {}
    ledger = state / "ledger.sqlite"
    if ledger.exists():
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
            bodies = "SELECT key_id, length(body) FROM rejected WHERE key_id IS NOT NULL"
            for key_id, size in db.execute(bodies).fetchall():
                yield REJECTED_SCOPE, key_id, 1, size, 0, {}


def _frames(directory: Path, lane: Lane, cursors: dict[str, int]) -> Iterator[_Piece]:
    if not directory.is_dir():
        return
    files = OsFiles()
    for path in sorted(directory.iterdir()):
        if segment_number(path.name) is None:
            continue
        try:
            reader = SegmentReader(files, str(path))
        except FileNotFoundError:
            continue  # retention took it meanwhile
        with reader:
            for item in reader.scan(HEADER_BYTES, reader.size()):
                if not isinstance(item, Frame):
                    continue
                stamp = item.header.stamp
                lacking = {
                    name: max(0, stamp.last_seq - max(stamp.first_seq - 1, at))
                    for name, at in (cursors or {"nobody": 0}).items()
                }
                size = item.end - item.offset
                yield lane_scope(lane), item.header.key_id, 1, size, stamp.records, lacking
