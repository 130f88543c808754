"""Entries on their way to a syslog collector (RFC 5424 over TLS, RFC 5425).

Rules:

1. The log on disk is the queue: a cursor in it says what the collector has, so that neither a
   restart nor an outage loses an entry, however long, within the log's retention.
2. Syslog has no acknowledgement. An entry counts as received when the connection that carried it
   has lived CONFIRM_S longer; what was sent later is sent again over the next one. Repeats have
   the same ``sequenceId`` and ParticipantObjectID.
3. TLS with both certificates, and the collector's name checked. Nothing is sent otherwise.
4. A collector that is away, slow or broken costs a try every BACKOFF_S_MAX, and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import WardgateError
from gateway.domain.ports import Clock, Counters
from security.audit.atna import HOUSEKEEPING, frame, message
from security.audit.config import SyslogConfig
from security.audit.following import Follower, Read, log_of
from security.files import TlsFiles, write_atomic
from security.tls import client_context

BATCH_ENTRIES = 50
"""Made into XML in one go, in a thread: some milliseconds."""
POLL_S = 1.0
"""Between two looks for new entries."""
PACE_S = 0.02
"""Between two batches of a backlog."""
CONFIRM_S = 15.0
CONNECT_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 30.0
BACKOFF_S_MIN, BACKOFF_S_MAX = 1.0, 60.0
CURSOR_MODE = 0o600

log = logging.getLogger(__name__)


class _Cursor(msgspec.Struct, frozen=True):
    """What the collector has."""

    log: str
    after: int


class _Batch(NamedTuple):
    frames: bytes
    entries: int
    last: int


class Shipper:
    """Carries one log's entries to one collector; :meth:`run` is its life."""

    def __init__(
        self,
        directory: Path,
        name: str,
        cursor: Path,
        own: TlsFiles,
        clock: Clock,
        counters: Counters,
    ) -> None:
        """Nothing is opened yet.

        Args:
            directory: the log's.
            name: whose log it is.
            cursor: a file for what the collector has.
            own: certificates, where the configuration names none.
            clock: for what counts as received.
            counters: ``audit_syslog_…``.
        """
        self._directory = directory
        self._name = name
        self._path = cursor
        self._own = own
        self._clock = clock
        self._counters = counters
        self._config: SyslogConfig | None = None
        self._changed = asyncio.Event()
        self._confirmed = _Cursor("", 0)

    @property
    def confirmed(self) -> int:
        """The last entry that the collector has; it is on disk, if the disk takes it."""
        return self._confirmed.after

    @property
    def is_on(self) -> bool:
        """Whether there is a collector."""
        return self._config is not None

    def follow(self, config: SyslogConfig | None) -> None:
        """Go on with another collector, or none."""
        if config != self._config:
            self._config = config
            self._changed.set()

    async def run(self) -> None:
        """Ship for ever; trouble is told once, counted, and tried again later."""
        self._counters.set("audit_syslog_connected", 0)
        delay, told = BACKOFF_S_MIN, ""
        while True:
            self._changed.clear()
            config = self._config
            if config is None:
                await self._changed.wait()
                continue
            began = self._clock.monotonic()
            try:
                await self._session(config)
            except (OSError, TimeoutError, WardgateError, EOFError) as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("audit syslog %s: %s", config.address, error)
            finally:
                self._counters.set("audit_syslog_connected", 0)
            if self._clock.monotonic() - began > CONFIRM_S:
                delay, told = BACKOFF_S_MIN, ""
            try:
                async with asyncio.timeout(delay * (0.5 + random.random() / 2)):  # noqa: S311  # jitter
                    await self._changed.wait()
            except TimeoutError:
                delay = min(delay * 2, BACKOFF_S_MAX)

    async def _session(self, config: SyslogConfig) -> None:
        files = TlsFiles(
            config.cert or self._own.cert,
            config.key or self._own.key,
            config.trust or self._own.trust,
        )
        context = await asyncio.to_thread(client_context, files)
        await asyncio.to_thread(self._load)
        host, port = config.host_and_port
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=config.server_name or host
            )
        follower = Follower(self._directory, self._confirmed.after)
        try:
            log.info("audit syslog: %s takes entries behind %d", config.address, follower.after)
            self._counters.set("audit_syslog_connected", 1)
            await self._while_it_lives(reader, self._send(writer, follower))
        finally:
            writer.transport.abort()
            follower.close()

    async def _while_it_lives(
        self, reader: asyncio.StreamReader, sending: Coroutine[None, None, None]
    ) -> None:
        """Send until the collector hangs up, or the configuration changes."""
        sends = asyncio.ensure_future(sending)
        # It has nothing to say: whatever it sends is dropped, its end is noticed.
        hears = asyncio.ensure_future(_until_closed(reader))
        changes = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((sends, hears, changes), return_when=asyncio.FIRST_COMPLETED)
            for task in (sends, hears):
                if task.done():
                    task.result()
        finally:
            for each in (sends, hears, changes):
                each.cancel()
            await asyncio.gather(sends, hears, changes, return_exceptions=True)

    async def _send(self, writer: asyncio.StreamWriter, follower: Follower) -> None:
        sent: deque[tuple[float, int]] = deque()
        while True:
            batch = await asyncio.to_thread(self._next, follower)
            if batch.last:
                writer.write(batch.frames)
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await writer.drain()
                sent.append((self._clock.monotonic(), batch.last))
                self._counters.add("audit_syslog_sent", n=batch.entries)
            await self._confirm(sent)
            await asyncio.sleep(PACE_S if batch.last else POLL_S)

    async def _confirm(self, sent: deque[tuple[float, int]]) -> None:
        """Move the cursor behind what was sent long enough ago."""
        before = self._clock.monotonic() - CONFIRM_S
        after = 0
        while sent and sent[0][0] <= before:
            after = sent.popleft()[1]
        if after:
            confirmed = _Cursor(self._confirmed.log, after)
            encoded = msgspec.json.encode(confirmed)
            try:
                await asyncio.to_thread(write_atomic, self._path, encoded, CURSOR_MODE)
            finally:  # on a full disk, too: it is not sent again while this process runs
                self._confirmed = confirmed

    def _next(self, follower: Follower) -> _Batch:
        entries = follower.read(BATCH_ENTRIES)
        frames = [self._frame(each) for each in entries if not _is_form(each)]
        return _Batch(b"".join(frames), len(frames), entries[-1].number if entries else 0)

    def _frame(self, entry: Read) -> bytes:
        return frame(message(entry.fields, self._name, self._confirmed.log))

    def _load(self) -> None:
        """Where to go on; another log than the cursor's is sent from its beginning."""
        if not self._confirmed.log and self._path.exists():
            try:
                self._confirmed = msgspec.json.decode(self._path.read_bytes(), type=_Cursor)
            except UNDECODABLE as error:
                log.error("%s: all is sent again: %s", self._path, error)  # noqa: TRY400  # the cause is told
        here = log_of(self._directory)
        if here != self._confirmed.log:
            self._confirmed = _Cursor(here, 0)


def _is_form(entry: Read) -> bool:
    return entry.fields["event"] in HOUSEKEEPING


async def _until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass
    raise EOFError("the collector hung up")
