"""Keeps the message ids across restarts: a checkpoint in a file, and the journal behind it.

Rules:
- A checkpoint names the last telemetry record that it is sure to cover. The number is read first,
  then everything under way settles, then the windows are read: so no id up to the number can be
  missing, and no id is in whose record is not durable.
- The journal holds everything behind the checkpoint until the next one is durable.
- A checkpoint that is missing or damaged is made up for by reading the whole journal, as far
  back as it reaches; that is logged, for ids of deleted records are then forgotten.
- Checkpoints are written one at a time, and never one over a newer one: the last one, at a stop,
  may meet a thread that still writes the one before.
- The file is sealed, for it names every device. A key that is missing or wrong stops the start.
  An earlier release's file, which was not sealed, is written anew when it is loaded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Protocol

from gateway.domain.errors import KeyErasedError, MalformedError
from gateway.domain.labels import Lane
from gateway.journal.types import Sealer, StoredGroup
from gateway.pipeline.duplicates import Duplicates
from gateway.pipeline.intake import Intake

_log = logging.getLogger(__name__)

HOLD: Final = "message-ids"
"""The name of our hold on the journal."""
CHECKPOINT_S: Final = 30.0
"""Between two checkpoints: what a restart has to read of the journal at most, about."""
_REPLAY_RECORDS: Final = 10_000
_REPLAY_BYTES: Final = 8 << 20
_HEAD: Final = struct.Struct("<4sIQ")  # magic, CRC-32 of the rest, sequence number
_KEY_ID: Final = struct.Struct("<B")  # its length; the id and the sealed windows follow
_MAGIC: Final = b"WGm2"
_MAGIC_PLAIN: Final = b"WGm1"
"""Of earlier releases: the windows follow the head at once."""


class Records(Protocol):
    """What is needed of the journal."""

    def read(
        self, lane: Lane, after_seq: int, records_max: int, bytes_max: int
    ) -> Sequence[StoredGroup]:
        """Groups behind ``after_seq``, in order."""

    def first_seq(self, lane: Lane) -> int:
        """The oldest record."""

    def last_seq(self, lane: Lane) -> int:
        """The newest durable record."""

    def hold(self, name: str, lane: Lane, seq: int) -> None:
        """Keep everything behind ``seq``."""


class MessageIds:
    """The checkpoint of one gateway's message ids.

    Args:
        path: the checkpoint's file; its directory exists.
        duplicates: the intake's.
        journal: opened.
        sealer: the journal's.
    """

    def __init__(
        self, path: Path, duplicates: Duplicates, journal: Records, sealer: Sealer
    ) -> None:
        self._path = path
        self._duplicates = duplicates
        self._journal = journal
        self._sealer = sealer
        self._writing = threading.Lock()
        self._written_seq = -1
        """What the newest checkpoint of this process covers."""
        self.key_id = ""
        """The key that sealed the newest checkpoint; empty before the first of this process."""

    def load(self) -> int:
        """Restore and replay, before the first submission; blocks.

        Returns:
            How many ids came from the journal.

        Raises:
            KeyMissingError, SealBrokenError: the file's key is missing or wrong.
            OSError: the file is there but can't be read, or the journal can't.
        """
        after, plain = self._restore()
        self._journal.hold(HOLD, Lane.TELEMETRY, after)
        count = 0
        while after < self._journal.last_seq(Lane.TELEMETRY):
            groups = self._journal.read(Lane.TELEMETRY, after, _REPLAY_RECORDS, _REPLAY_BYTES)
            if not groups:
                break
            count += self._duplicates.replay(groups)
            after = groups[-1].last_seq
        if plain:
            self.write(self._duplicates.parts(), after)
        return count

    def write(self, parts: Iterable[bytes], seq: int) -> None:
        """Make a checkpoint durable and move the hold; blocks, in any thread.

        Raises:
            OSError: the old one is still there and still right.
        """
        with self._writing:
            if seq >= self._written_seq:
                key_id, content = self._sealed(self._duplicates.checkpoint(parts), seq)
                self._replace(content)
                self._written_seq, self.key_id = seq, key_id
                self._journal.hold(HOLD, Lane.TELEMETRY, seq)

    def _replace(self, content: bytes) -> None:
        new = self._path.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _sealed(self, windows: bytes, seq: int) -> tuple[str, bytes]:
        key_id, sealed = self._sealer.seal(windows, _aad(seq))
        body = _KEY_ID.pack(len(key_id)) + key_id.encode("ascii") + sealed
        return key_id, _HEAD.pack(_MAGIC, _crc(body, seq), seq) + body

    async def checkpoint(self, intake: Intake) -> None:
        """Write a checkpoint of the present, without holding up the loop.

        Raises:
            OSError: as :meth:`write`.
        """
        loop = asyncio.get_running_loop()
        seq = self._journal.last_seq(Lane.TELEMETRY)
        settled: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not settled.done():
                settled.set_result(None)

        intake.when_settled(settle)
        await settled
        parts = []
        for part in self._duplicates.parts():
            parts.append(part)
            await asyncio.sleep(0)
        await loop.run_in_executor(None, self.write, parts, seq)

    async def run(self, intake: Intake, interval_s: float = CHECKPOINT_S) -> None:
        """Checkpoint for ever; a disk that fails is logged and tried again."""
        while True:
            await asyncio.sleep(interval_s)
            try:
                await self.checkpoint(intake)
            except OSError as error:
                _log.error("the message ids can't be written: %s", error.strerror)

    def _restore(self) -> tuple[int, bool]:
        """What the file covers, and whether it was of the form that is not sealed."""
        start = self._journal.first_seq(Lane.TELEMETRY) - 1
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return start, False
        try:
            windows, seq = self._windows(data)
            self._duplicates.restore(windows)
        except MalformedError as error:
            _log.error("the checkpoint of message ids is damaged, reading the journal: %s", error)
            return start, False
        return max(start, seq), data.startswith(_MAGIC_PLAIN)

    def _windows(self, data: bytes) -> tuple[bytes, int]:
        """What a file holds, and what it covers.

        Raises:
            MalformedError: it is damaged.
            KeyMissingError, SealBrokenError: its key is missing or wrong.
        """
        if len(data) <= _HEAD.size:
            raise MalformedError("duplicates_checkpoint", "cut off")
        magic, crc, seq = _HEAD.unpack_from(data)
        body = data[_HEAD.size :]
        if magic not in (_MAGIC, _MAGIC_PLAIN) or crc != _crc(body, seq):
            raise MalformedError("duplicates_checkpoint", "CRC")
        if magic == _MAGIC_PLAIN:
            return body, seq
        sealed_at = _KEY_ID.size + body[0]
        key_id = body[_KEY_ID.size : sealed_at].decode("ascii", errors="replace")
        try:
            return self._sealer.open(key_id, body[sealed_at:], _aad(seq)), seq
        except KeyErasedError as error:
            raise MalformedError("duplicates_checkpoint", "its key was erased") from error


def sealed_by(path: Path) -> str:
    """The key that sealed a checkpoint's file; empty when it is not sealed, or damaged."""
    head = path.read_bytes()[: _HEAD.size + _KEY_ID.size + 255]
    if not head.startswith(_MAGIC) or len(head) <= _HEAD.size:
        return ""
    start = _HEAD.size + _KEY_ID.size
    return head[start : start + head[_HEAD.size]].decode("ascii", errors="replace")


def _crc(body: bytes, seq: int) -> int:
    return zlib.crc32(body, zlib.crc32(seq.to_bytes(8, "little")))


def _aad(seq: int) -> bytes:
    return b"message ids\0" + seq.to_bytes(8, "little")
