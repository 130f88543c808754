"""The audit log: append-only, and tampering shows. Its form is :mod:`security.audit.form`.

Rules:

* Every few seconds, and every so many entries, a signed tree head covers what was written. What was
  changed, removed or inserted before it can't be hidden without the key; where the head is kept
  elsewhere too (the fleet keeps the last, the core all of them), not even with it.
* Files are rotated by size, the tree goes on across them; they go when they are old, or at the
  disk limit (:mod:`security.audit.retention`), which the log records.
* The log never stops its process: what can't be written is counted, and the count is written as
  soon as there is room.
* Who was admitted and refused, what was revoked, released and decided: never what a device
  reported.

``record`` only writes to the page cache, so it may run on the loop; ``checkpoint`` syncs, and
``run`` calls it in a thread every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.domain.ports import Clock
from security.admissions import AdmissionTally
from security.audit.checking import tree_from
from security.audit.config import AuditConfig
from security.audit.form import AuditBrokenError, TreeHead
from security.audit.retention import FULL_SHARE
from security.audit.writer import LogWriter, cut
from security.refusals import RefusalTally

CHECKPOINT_EVERY_ENTRIES = 1024
"""Signed within ``record`` when no checkpoint was made for so many entries."""
CHECKPOINT_EVERY_S = 5.0
"""What a power cut may take of the log, and what may be cut off unseen."""

log = logging.getLogger(__name__)


class Standing(NamedTuple):
    """What to watch of a log."""

    bytes: int
    oldest_us: int
    """When the oldest entry that is kept was written."""
    entries: int
    head: TreeHead | None
    unsigned: int
    dropped_early: int
    """Files that went before their time, since this log was opened."""
    lost: int
    """Entries that could not be written, since this log was opened."""
    nearly_full: bool
    damaged: bool
    """What was found when it was opened was damaged; it is kept beside the log."""


class AuditLog(LogWriter):
    """Appends to the log in one directory; implements ``security.identity.Auditor``."""

    def __init__(
        self,
        directory: Path,
        key: Ed25519PrivateKey,
        clock: Clock,
        config: AuditConfig | None = None,
        name: str = "",
        time_counts: Callable[[], bool] = lambda: True,
    ) -> None:
        """As :class:`LogWriter`."""
        self._tally = RefusalTally(clock)
        self._exceptions = RefusalTally(clock)
        self._admissions = AdmissionTally(clock)
        self._lock = threading.Lock()
        super().__init__(directory, key, clock, config, name, time_counts)

    def follow(self, config: AuditConfig) -> None:
        """Go on under changed limits, from the next entry on."""
        with self._lock:
            self._config = config

    def record(self, event: str, **fields: str | int) -> None:
        """Append one event; never raises for the disk's sake."""
        with self._lock:
            self._append(event, cut(fields))
            if self._unsigned >= CHECKPOINT_EVERY_ENTRIES:
                self._sign()

    def write(self, event: str, **fields: str | int) -> bool:
        """As :meth:`record`; False when the disk did not take it."""
        with self._lock:
            return self._append(event, cut(fields))

    def account(self, entries: Sequence[tuple[str, Mapping[str, str | int]]]) -> bool:
        """Append several events, sign and sync; False when not all of it is on disk."""
        with self._lock:
            if not all(self._append(event, cut(fields)) for event, fields in entries):
                return False
            number = self._number
        head = self.checkpoint()
        return head is not None and head.size >= number

    def exceptional(self, event: str, destination: str, where: str, **fields: str | int) -> None:
        """Append what was not released as it should be; a flood of one kind is summed up.

        Args:
            event: what happened.
            destination: to whom.
            where: tells one such exception from another.
            fields: what to write.
        """
        with self._lock:
            self._roll_tallies(force=False)
            if self._exceptions.single(event, destination, where, ""):
                self._append(event, cut({"destination": destination, **fields}))

    def refused(self, reason: str, transport: str, peer: str, device_id: str) -> None:
        """Append a refusal, or count it when there are too many."""
        host = _host(peer)
        with self._lock:
            self._roll_tallies(force=False)
            if self._tally.single(reason, transport, host, device_id):
                fields = {"reason": reason, "transport": transport, "peer": peer}
                if device_id:
                    fields["device"] = device_id
                self._append("refused", cut(fields))

    def admitted(self, device_id: str, transport: str, peer: str) -> None:
        """A device's session began: append it, or count it for the hour's sum."""
        with self._lock:
            if self._admissions.opened(device_id, transport):
                fields = {"device": device_id, "transport": transport, "peer": _host(peer)}
                self._append("admitted", cut(fields))

    def left(self, device_id: str, transport: str) -> None:
        """A device's session ended; for the hour's sum."""
        with self._lock:
            self._admissions.closed(device_id, transport)

    def checkpoint(self) -> TreeHead | None:
        """Sign what is new, and sync; returns the last head. May run in a thread."""
        with self._lock:
            if self._descriptor < 0:
                return self.durable_head
            self._roll_tallies(force=False)
            if self._unsigned:
                self._sign()
            # A duplicate, since a rotation may close the file while the sync is under way.
            descriptor = os.dup(self._descriptor)
            last = self._head
        try:
            os.fdatasync(descriptor)
        except OSError:
            log.exception("the audit log can't be synced")
        else:
            # What is carried elsewhere must not be taken back by a power cut.
            self.durable_head = last
        finally:
            os.close(descriptor)
        return self.durable_head

    def consistency(self, first: int, second: int) -> list[bytes]:
        """The proof that the log of ``second`` entries begins with that of ``first``.

        May read files, where ``first`` is older than the current one: not for the loop.

        Raises:
            AuditBrokenError: the log no longer reaches so far back, or never so far.
            OSError: it can't be read.
        """
        with self._lock:
            tree = self._grown()
            if tree.start <= first <= second <= tree.size and first:
                return tree.consistency(first, second)
        if not 0 < first <= second:
            raise AuditBrokenError(f"no proof from {first} to {second}")
        return tree_from(self._directory, first, second).consistency(first, second)

    def standing(self) -> Standing:
        """What to watch."""
        with self._lock:
            total = self._old_bytes + self._size
            return Standing(
                total,
                self._oldest_us,
                self._number,
                self.durable_head,
                self._unsigned,
                self._dropped_early,
                self._lost_ever,
                total > FULL_SHARE * self._config.bytes_max,
                self._damaged,
            )

    async def run(self) -> None:
        """Make checkpoints now and then until cancelled; a part for the supervisor."""
        while True:
            await asyncio.sleep(CHECKPOINT_EVERY_S)
            await asyncio.to_thread(self.checkpoint)

    def close(self) -> None:
        """Write the sums that are due, a last checkpoint, and close."""
        with self._lock:
            self._roll_tallies(force=True)
        self.checkpoint()
        with self._lock:
            os.close(self._descriptor)
            self._descriptor = -1

    def _roll_tallies(self, *, force: bool) -> None:
        if force or self._tally.due():
            for each in self._tally.roll():
                self._append("refused_repeatedly", each._asdict())
        if force or self._exceptions.due():
            for reason, destination, times in self._exceptions.roll():
                told = {"exception": reason, "destination": destination}
                self._append("exceptions_repeatedly", {**told, "times": times})
        if force or self._admissions.due():
            for sessions in self._admissions.roll():
                self._append("sessions", sessions._asdict())


def _host(peer: str) -> str:
    return peer.rpartition(":")[0] or peer
