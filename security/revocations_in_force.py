"""The list of revocations in force in a running process: taken from anywhere, applied, kept.

Rules:

* A list applies to live sessions first, and is written to disk then: a start without the fleet has
  it. A disk that refuses saves nobody from a revocation.
* What is refused (older, forged, damaged) changes nothing; the list in force stays, and its age
  raises the alarm.
* A stale list still applies, and who is not on it is admitted; its age is a gauge, and the change
  is logged and told once.

Gateway and core use the same one: the fleet's stream brings lists, or somebody carries them
(:func:`put_on_disk`, then :meth:`RevocationsInForce.reread`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from gateway.domain.errors import WardgateError
from gateway.domain.ports import Counters
from security.revocations import LIST_BYTES_MAX, RevocationBook, RevocationList
from security.writing import write_in_thread

log = logging.getLogger(__name__)


class RevocationsInForce:
    """To be used on the loop's thread; what takes long happens in a thread of its own."""

    def __init__(
        self,
        book: RevocationBook,
        apply: Callable[[RevocationList], int],
        counters: Counters,
    ) -> None:
        """Does no I/O; call :meth:`load`.

        Args:
            book: not loaded yet.
            apply: ends the live sessions of what a list revokes and refuses it from then on;
                returns how many sessions that ended.
            counters: ``revocations_age_seconds``.
        """
        self._book = book
        self._apply = apply
        self._counters = counters
        self._rereading = asyncio.Lock()
        self.stale = False
        """Whether the fleet's word on revocations is too old; it still applies."""
        self.on_stale: Callable[[bool], None] = _ignore
        """Called when ``stale`` changes, for a technical alarm."""

    @property
    def current(self) -> RevocationList:
        """The list in force."""
        return self._book.current

    def load(self) -> None:
        """Apply the list that is on disk; blocks, for the start."""
        listed = self._book.load()
        if listed.number:
            self._apply(listed)

    async def take(self, encoded: bytes) -> None:
        """Verify a list that somebody sent, and put it in force if it is newer; never raises."""
        try:
            verified = await asyncio.to_thread(self._book.verify, encoded)
            if not self._book.accept(encoded, verified):
                return
        except WardgateError as error:
            log.error("a revocation list is refused: %s", error)  # noqa: TRY400  # the cause is told
            return
        self._put_in_force("")
        try:
            await write_in_thread(self._book.save)
        except OSError as error:
            # It applies all the same; the next start asks the fleet again.
            log.error("the revocation list can't be kept: %s", error)  # noqa: TRY400  # the cause is told

    async def reread(self) -> None:
        """Put in force what somebody has laid on disk meanwhile, if it is newer; never raises."""
        async with self._rereading:
            try:
                found = await asyncio.to_thread(self._book.newer_on_disk)
                if found is None or not self._book.accept(*found):
                    return
            except WardgateError as error:
                # The list in force stays; the fleet may have sent a newer one meanwhile.
                log.error("the revocation list on disk is refused: %s", error)  # noqa: TRY400  # the cause is told
                return
            self._put_in_force(", from disk,")

    def watch_age(self) -> None:
        """Tell how old the list is; to be called every few seconds."""
        if self._book.current.number:
            self._counters.set("revocations_age_seconds", self._book.age_s())
        stale = self._book.stale()
        if stale != self.stale:
            self.stale = stale
            if not self._book.current.number:
                log.warning("there is no revocation list: who is revoked is not known here")
            else:
                word = "stale: what was revoked since is not known here" if stale else "fresh again"
                log.warning("the revocation list is %s", word)
            self.on_stale(stale)

    def _put_in_force(self, whence: str) -> None:
        listed = self._book.current
        ended = self._apply(listed)
        level = logging.WARNING if ended else logging.INFO
        log.log(
            level, "revocation list %d%s ended %d sessions at once", listed.number, whence, ended
        )


def put_on_disk(book: RevocationBook, path: Path) -> bool:
    """Take a list that was carried here, for :meth:`RevocationsInForce.reread`; blocks.

    It is verified as if the fleet had sent it. Returns whether it is newer than what was on disk.

    Raises:
        MalformedError: it is no list, or damaged.
        RefusedError: ``untrusted``: not our authority's, or older than the one in force.
        ConfigError: the roots can't be read.
        OSError: the list can't be read or kept.
    """
    with path.open("rb") as file:
        encoded = file.read(LIST_BYTES_MAX + 1)
    book.load()
    newer = book.accept(encoded, book.verify(encoded))
    if newer:
        book.save()
    return newer


def _ignore(_stale: bool) -> None:
    """Nobody raises an alarm of it."""
