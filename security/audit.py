"""The audit log: append-only, and tampering shows.

Rules:

* One JSON object a line. Entry n carries ``chain`` = SHA-256(0x01 | chain of entry n-1 | leaf),
  leaf = SHA-256(0x00 | the line's bytes without ``chain``). Leaves are hashed as RFC 6962, 2.1
  does, so that a Merkle tree over them needs no new log.
* A checkpoint is an entry whose Ed25519 signature covers (n, chain) of the entry before it. What
  was changed, removed or inserted before a checkpoint can't be hidden without the key; with a
  checkpoint that is kept elsewhere (the fleet keeps the last one) not even with it.
* Files are rotated by size, the chain goes on across them; the oldest go, which the log records.
* The log never stops the gateway: what can't be written is counted, and the count is written as
  soon as there is room.
* Who was refused, what was revoked, which policy came into force: never what a device reported.

``record`` only writes to the page cache, so it may run on the loop; ``checkpoint`` syncs, and
``run`` calls it in a thread every few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.domain.errors import ConfigError
from gateway.domain.ports import Clock
from security.audit_chain import (
    CURRENT,
    ROTATED,
    START,
    AuditBrokenError,
    Checkpoint,
    Verified,
    link,
    parse,
    statement,
    verify,
)
from security.files import SECRET_MODE, read_secret, write_atomic
from security.pki.token import TokenAuditKey
from security.pki.token_uri import SCHEME, TokenUri
from security.refusals import RefusalTally

FILE_BYTES_MAX = 8 * 1024 * 1024
FILES_MAX = 64
FIELD_CHARS_MAX = 256
CHECKPOINT_EVERY_ENTRIES = 1024
"""Signed within ``record`` when no checkpoint was made for so many entries."""
CHECKPOINT_EVERY_S = 5.0
"""What a power cut may take of the log, and what may be cut off unseen."""
CHECKPOINT_BYTES_MAX = 512
"""Two hashes and a signature in hexadecimal are 256."""

_FILE_MODE = 0o640

log = logging.getLogger(__name__)


class AuditConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[audit]``."""

    file_bytes_max: int = FILE_BYTES_MAX
    files_max: int = FILES_MAX


class AuditLog:
    """Appends to the log in one directory; implements ``security.identity.Auditor``."""

    def __init__(
        self,
        directory: Path,
        key: Ed25519PrivateKey,
        clock: Clock,
        config: AuditConfig | None = None,
    ) -> None:
        """Open the log where it ended; a torn last line is cut off, and that is recorded.

        Raises:
            OSError: the directory can't be written.
        """
        self._directory = directory
        self._key = key
        self._clock = clock
        self._config = config or AuditConfig()
        self._tally = RefusalTally(clock)
        self._lock = threading.Lock()
        self._descriptor = -1
        self._number, self._chain, self._first, self._size = 0, START, 1, 0
        self._lost = 0
        self._unsigned = 0
        self.last_checkpoint: Checkpoint | None = None
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._recover()

    def follow(self, config: AuditConfig) -> None:
        """Go on under changed limits, from the next entry on."""
        with self._lock:
            self._config = config

    def record(self, event: str, **fields: str | int) -> None:
        """Append one event; never raises for the disk's sake."""
        with self._lock:
            self._append(event, fields)
            if self._unsigned >= CHECKPOINT_EVERY_ENTRIES:
                self._sign()

    def refused(self, reason: str, transport: str, peer: str, device_id: str) -> None:
        """Append a refusal, or count it when there are too many."""
        host = peer.rpartition(":")[0] or peer
        with self._lock:
            self._roll_tally(force=False)
            if self._tally.single(reason, transport, host, device_id):
                fields = {"reason": reason, "transport": transport, "peer": peer}
                if device_id:
                    fields["device"] = device_id
                self._append("refused", dict(fields))

    def checkpoint(self) -> Checkpoint | None:
        """Sign what is new, and sync; returns the last checkpoint. May run in a thread."""
        with self._lock:
            if self._descriptor < 0:
                return self.last_checkpoint
            self._roll_tally(force=False)
            if self._unsigned:
                self._sign()
            # A duplicate, since a rotation may close the file while the sync is under way.
            descriptor = os.dup(self._descriptor)
            last = self.last_checkpoint
        try:
            os.fdatasync(descriptor)
        except OSError:
            log.exception("the audit log can't be synced")
        finally:
            os.close(descriptor)
        return last

    async def run(self) -> None:
        """Make checkpoints now and then until cancelled; a part for the supervisor."""
        while True:
            await asyncio.sleep(CHECKPOINT_EVERY_S)
            await asyncio.to_thread(self.checkpoint)

    def close(self) -> None:
        """Write the sums that are due, a last checkpoint, and close."""
        with self._lock:
            self._roll_tally(force=True)
        self.checkpoint()
        with self._lock:
            os.close(self._descriptor)
            self._descriptor = -1

    def _roll_tally(self, *, force: bool) -> None:
        if force or self._tally.due():
            for each in self._tally.roll():
                fields: dict[str, str | int] = dict(each._asdict())
                self._append("refused_repeatedly", fields)

    def _append(self, event: str, fields: dict[str, str | int]) -> bool:
        if self._lost and event != "lost":
            lost = self._lost
            if not self._append("lost", {"entries": lost}):
                self._lost += 1
                return False
            self._lost -= lost
        entry: dict[str, str | int] = {
            "n": self._number + 1,
            "us": self._clock.now_us(),
            "event": event,
        }
        for name, value in fields.items():
            entry[name] = value[:FIELD_CHARS_MAX] if isinstance(value, str) else value
        body = msgspec.json.encode(entry)
        chain = link(self._chain, body)
        line = body[:-1] + b',"chain":"' + chain.hex().encode() + b'"}\n'
        try:
            if self._over(len(line)):
                self._rotate()
                return self._append(event, fields)  # its number and chain have moved on
            self._write(line)
        except OSError as error:
            if not self._lost:
                log.error("the audit log can't be written: %s", error)  # noqa: TRY400  # the cause is told
            if event != "lost":
                self._lost += 1
            return False
        self._number, self._chain, self._size = self._number + 1, chain, self._size + len(line)
        self._unsigned += 1
        return True

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
        number, chain = self._number, self._chain
        signature = self._key.sign(statement(number, chain))
        if self._append("checkpoint", {"of": number, "signature": signature.hex()}):
            self.last_checkpoint = Checkpoint(number, chain, signature)
            self._unsigned = 0

    def _rotate(self) -> None:
        """Put the current file aside by its first entry's number, and begin another."""
        os.fdatasync(self._descriptor)
        aside = self._directory / f"audit.{self._first:012d}.log"
        (self._directory / CURRENT).rename(aside)
        os.close(self._descriptor)
        self._descriptor = self._open()
        self._size, self._first = 0, self._number + 1
        old = self._rotated()
        dropped = old[: max(0, len(old) - self._config.files_max + 1)]
        self._append("rotated", {"before": self._chain.hex(), "dropped_files": len(dropped)})
        for path in dropped:
            path.unlink()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._directory / CURRENT, flags, _FILE_MODE)

    def _recover(self) -> None:
        self._descriptor = self._open()
        content = (self._directory / CURRENT).read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        torn = len(content) - len(whole)
        os.ftruncate(self._descriptor, len(whole))
        # A crash between a rotation and its first entry leaves an empty current file.
        ended = whole or b"".join(each.read_bytes() for each in self._rotated()[-1:])
        if ended:
            try:
                lines = ended.splitlines()
                (_, first), (_, last) = parse(lines[0]), parse(lines[-1])
                self._number, self._chain = last.n, bytes.fromhex(last.chain)
            except (ValueError, msgspec.DecodeError):
                self._set_damaged_aside()
                return
            self._first = first.n if whole else last.n + 1
            self._size = len(whole)
        if whole or not ended:
            self._append("opened", {"cut_bytes": torn})
        else:
            self._append("rotated", {"before": self._chain.hex(), "dropped_files": 0})

    def _rotated(self) -> list[Path]:
        return sorted(self._directory.glob(ROTATED))

    def _set_damaged_aside(self) -> None:
        """Keep the evidence in a directory of its own, and begin a new chain."""
        aside = self._directory / f"damaged.{self._clock.now_us()}"
        log.error("the audit log can't be read at its end; it is kept in %s", aside.name)
        aside.mkdir(mode=0o750)
        for path in [*self._rotated(), self._directory / CURRENT]:
            path.rename(aside / path.name)
        os.close(self._descriptor)
        self._descriptor = self._open()
        self._append("damaged", {"kept_in": aside.name})


def load_or_create_key(path: Path) -> Ed25519PrivateKey:
    """The log's own signing key; made at the first start, mode 0600.

    The file may name a key on a token instead (see :mod:`security.pki.token_uri`).

    Raises:
        ConfigError: it is readable by others or not such a key.
        TokenError: the token is away or refuses.
        OSError: it can't be made.
    """
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_atomic(path, pem, SECRET_MODE)
        return key
    held = read_secret(path)
    if held.startswith(SCHEME.encode()):
        return TokenAuditKey(TokenUri.parse(held.decode(errors="replace")))
    try:
        loaded = load_pem_private_key(held, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: not a PEM private key") from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise ConfigError(f"{path}: not an Ed25519 key")
    return loaded


__all__ = [
    "AuditBrokenError",
    "AuditConfig",
    "AuditLog",
    "Checkpoint",
    "Verified",
    "load_or_create_key",
    "verify",
]
