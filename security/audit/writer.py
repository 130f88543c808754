"""Writing an audit log: entries, heads, rotation, retention, and opening it where it ended.

Not for two threads at once: :class:`security.audit.log.AuditLog` has the lock.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.domain.ports import Clock
from security.audit.config import AuditConfig
from security.audit.form import (
    CHECKPOINT,
    CONVERTED,
    CURRENT,
    DROPPED,
    LAYOUT,
    ROTATED,
    AuditBrokenError,
    TreeHead,
    key_id,
    line_of,
    raw_public,
)
from security.audit.merkle import Tree, leaf_hash
from security.audit.recovery import Found, convert, find
from security.audit.retention import old_files, to_drop

FIELD_CHARS_MAX = 256
CHECKPOINT_BYTES_MAX = 512
"""A root and a signature in hexadecimal are 192, the line's own leaf is 64."""

_FILE_MODE = 0o640
_encode = msgspec.json.Encoder().encode

log = logging.getLogger(__name__)


class LogWriter:
    """Appends to the log in one directory."""

    def __init__(
        self,
        directory: Path,
        key: Ed25519PrivateKey,
        clock: Clock,
        config: AuditConfig | None = None,
        name: str = "",
        time_counts: Callable[[], bool] = lambda: True,
    ) -> None:
        """Open the log where it ended; a torn last line is cut off, and that is recorded.

        Args:
            directory: of this log alone; made if it is not there.
            key: signs the heads.
            clock: dates the entries.
            config: its limits.
            name: whose log it is, as heads say it.
            time_counts: whether the clock may decide that something is old enough to go.

        Raises:
            OSError: the directory can't be written.
        """
        self._directory = directory
        self._key = key
        self._key_id = key_id(key.public_key())
        self.public_key = raw_public(key.public_key())
        self._clock = clock
        self._config = config or AuditConfig()
        self._name = name
        self._descriptor = -1
        self._id, self._tree, self._size, self._begun_us = "", Tree(), 0, 0
        self._fresh: list[bytes] = []
        """Leaves that are not in the tree yet: many at once are cheaper."""
        self._old_bytes, self._oldest_us = 0, clock.now_us()
        self._number = self._unsigned = 0
        self._lost = self._lost_ever = self._dropped_early = 0
        self._damaged = False
        self._head: TreeHead | None = None
        self.durable_head: TreeHead | None = None
        """The newest head whose entries are on disk; None until the first of this start."""
        self._time_counts = time_counts
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._recover()

    def _append(self, event: str, fields: Mapping[str, str | int]) -> bool:
        begins = "layout" in fields
        if not self._size and not begins and not self._append("rotated", self._beginning()):
            # The disk was full when the file was begun.
            self._lose(event)
            return False
        if self._lost and event != "lost" and not begins:
            lost = self._lost
            if not self._append("lost", {"entries": lost}):
                self._lose(event)
                return False
            self._lost -= lost
        number = self._number + 1
        body = _encode({"n": number, "us": self._clock.now_us(), "event": event, **fields})
        leaf = leaf_hash(body)
        line = line_of(body, leaf)
        try:
            if self._over(len(line)):
                self._rotate()
                return self._append(event, fields)  # its number has moved on
            self._write(line)
        except OSError as error:
            if not self._lost:
                log.error("the audit log can't be written: %s", error)  # noqa: TRY400  # the cause is told
            if not begins:
                self._lose(event)
            return False
        self._fresh.append(leaf)
        self._number = number
        self._size += len(line)
        self._unsigned += 1
        return True

    def _lose(self, event: str) -> None:
        if event != "lost":
            self._lost += 1
            self._lost_ever += 1

    def _write(self, line: bytes) -> None:
        written = os.write(self._descriptor, line)
        if written != len(line):
            os.ftruncate(self._descriptor, self._size)
            raise OSError(f"{written} of {len(line)} bytes written")

    def _over(self, length: int) -> bool:
        return self._size > 0 and self._size + length > self._config.file_bytes_max

    def _sign(self) -> None:
        if self._over(CHECKPOINT_BYTES_MAX):
            # Now, since a rotation must not come between an entry and its checkpoint.
            try:
                self._rotate()
            except OSError as error:
                log.error("the audit log can't be rotated: %s", error)  # noqa: TRY400  # the cause is told
                return
        tree, now_us = self._grown(), self._clock.now_us()
        size, root = tree.size, tree.root().hex()
        head = TreeHead(self._name, self._id, size, root, now_us, self._key_id).signed(self._key)
        told: dict[str, str | int] = {"us": now_us, "size": size, "root": root, "key": head.key}
        if self._append(CHECKPOINT, {**told, "signature": head.signature}):
            self._head = head
            self._unsigned = 0

    def _grown(self) -> Tree:
        """The tree with everything in it."""
        self._tree.extend(self._fresh)
        self._fresh.clear()
        return self._tree

    def _beginning(self) -> dict[str, str | int]:
        """What the first entry of a file says."""
        tree = b"".join(self._grown().peaks()).hex()
        return {"layout": LAYOUT, "name": self._name, "log": self._id, "tree": tree}

    def _rotate(self) -> None:
        """Put the current file aside by its first entry's number, and begin another."""
        self._put_aside(self._tree.start + 1)
        grown = self._grown()
        self._tree = Tree(grown.size, grown.peaks())
        self._begun_us = self._clock.now_us()
        self._append("rotated", self._beginning())
        self._retain()

    def _put_aside(self, first: int) -> None:
        os.fdatasync(self._descriptor)
        (self._directory / CURRENT).rename(self._directory / f"audit.{first:012d}.log")
        os.close(self._descriptor)
        self._descriptor = self._open()
        self._size = 0

    def _retain(self) -> None:
        """Drop what is old, or too much, and say so before."""
        files = old_files(sorted(self._directory.glob(ROTATED)))
        now_us = self._clock.now_us() if self._time_counts() else 0
        gone, early = to_drop(files, self._begun_us, now_us, self._config)
        kept = files[len(gone) :]
        self._old_bytes = sum(each.size for each in kept)
        self._oldest_us = kept[0].first.us if kept else self._begun_us
        if not gone:
            return
        first = kept[0].first.n if kept else self._tree.start + 1
        told = {"files": len(gone), "first": first, "oldest_us": self._oldest_us, "early": early}
        if early:
            self._dropped_early += early
            log.error("the audit log's disk limit took %d files before their time", early)
        # Durable before they go: else a crash would leave a log that lacks its beginning.
        if self._append(DROPPED, told):
            os.fdatasync(self._descriptor)
            for each in gone:
                each.path.unlink(missing_ok=True)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._directory / CURRENT, flags, _FILE_MODE)

    def _recover(self) -> None:
        self._descriptor = self._open()
        try:
            found = find(self._directory)
        except AuditBrokenError as error:
            self._set_damaged_aside(error)
            return
        os.ftruncate(self._descriptor, found.size)
        self._size = found.size
        self._begun_us = self._clock.now_us()
        if found.is_new:
            self._id = secrets.token_hex(16)
            self._append("opened", {**self._beginning(), "cut_bytes": found.cut_bytes})
        elif found.layout == LAYOUT:
            self._id, self._tree, self._number = found.log, found.tree, found.tree.size
            self._go_on(found)
        else:
            self._convert(found)
        self._retain()

    def _go_on(self, found: Found) -> None:
        if not found.size:  # a crash between a rotation and its first entry
            self._append("rotated", self._beginning())
            return
        self._begun_us = found.begun_us
        if found.name != self._name:
            self._rotate()
        self._append("opened", {"cut_bytes": found.cut_bytes})

    def _convert(self, found: Found) -> None:
        """Go on behind a log of layout 1, in a file of this one."""
        self._id, (self._tree, oldest) = secrets.token_hex(16), convert(self._directory)
        self._number = self._tree.size
        if found.size:
            self._put_aside(found.first)
        log.info("the audit log goes on in layout %d behind entry %d", LAYOUT, self._tree.size)
        told: dict[str, str | int] = {
            "first": oldest,
            "before": found.chain,
            "cut_bytes": found.cut_bytes,
        }
        self._append(CONVERTED, {**self._beginning(), **told})

    def _set_damaged_aside(self, error: AuditBrokenError) -> None:
        """Keep the evidence in a directory of its own, and begin a new log."""
        aside = self._directory / f"damaged.{self._clock.now_us()}"
        log.error("the audit log is damaged: %s; it is kept in %s", error, aside.name)
        aside.mkdir(mode=0o750)
        for path in [*self._directory.glob(ROTATED), self._directory / CURRENT]:
            path.rename(aside / path.name)
        os.close(self._descriptor)
        self._descriptor = self._open()
        self._id, self._damaged = secrets.token_hex(16), True
        told = {"kept_in": aside.name, "why": str(error)}
        self._append("damaged", {**self._beginning(), **cut(told)})


OWN_FIELDS = frozenset(("n", "us", "event"))
"""What every entry has by itself."""


def cut(fields: Mapping[str, str | int]) -> Mapping[str, str | int]:
    """Fields with their words shortened to FIELD_CHARS_MAX; the same where none is longer.

    Raises:
        ValueError: one has the name of an entry's own, which would take its place: a mistake of
            whoever records.
    """
    if not OWN_FIELDS.isdisjoint(fields):
        raise ValueError(f"an audit entry's own: {', '.join(sorted(OWN_FIELDS & set(fields)))}")
    for value in fields.values():
        if isinstance(value, str) and len(value) > FIELD_CHARS_MAX:
            break
    else:
        return fields
    return {
        name: value[:FIELD_CHARS_MAX] if isinstance(value, str) else value
        for name, value in fields.items()
    }
