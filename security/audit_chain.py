"""The form of the audit log, and checking it; :mod:`security.audit` writes it.

The rules are those of :mod:`security.audit`. Nothing here changes a file.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.domain.errors import WardgateError

LINE_BYTES_MAX = 16 * 1024
"""An entry has at most a dozen fields of 256 characters."""
CURRENT = "audit.log"
ROTATED = "audit.[0-9]*.log"
START = bytes(32)
_SIGNED = b"wardgate audit checkpoint 1\n"


class AuditBrokenError(WardgateError):
    """The log was changed, or its end cut; the message names file and line."""

    reason = "audit_broken"


class Checkpoint(NamedTuple):
    """A state of the log that its key has signed."""

    number: int
    chain: bytes
    signature: bytes


class Verified(NamedTuple):
    """What :func:`verify` found in order."""

    first: int
    last: int
    checkpoints: int
    unsigned: int
    """Entries behind the last checkpoint: chained, but covered by no signature yet."""


def verify(
    directory: Path, key: Ed25519PublicKey | None = None, anchor: Checkpoint | None = None
) -> Verified:
    """Check the whole log; ``anchor`` is a checkpoint that was kept elsewhere.

    Raises:
        AuditBrokenError: with the file and line where the log is not what was written.
        OSError: it can't be read.
    """
    walk = _Walk(key, anchor)
    for path in [*sorted(directory.glob(ROTATED)), directory / CURRENT]:
        for at, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
            walk.step(line, f"{path.name}:{at}")
    if anchor is not None and walk.number < anchor.number:
        raise AuditBrokenError(
            f"the log ends at {walk.number}, before the checkpoint {anchor.number}"
        )
    return Verified(walk.first, walk.number, walk.checkpoints, walk.unsigned)


class _Walk:
    """Follows the chain from entry to entry."""

    def __init__(self, key: Ed25519PublicKey | None, anchor: Checkpoint | None) -> None:
        self._key, self._anchor = key, anchor
        self._chain = START
        self.first = self.number = self.checkpoints = self.unsigned = 0

    def step(self, line: bytes, where: str) -> None:
        body, entry = _read(line, where)
        if not self.first:
            self.first, self.number = entry.n, entry.n - 1
            if self.number:
                self._chain = _behind_dropped(entry, where)
        if entry.n != self.number + 1:
            raise AuditBrokenError(f"{where}: entry {entry.n} follows {self.number}")
        self.unsigned += 1
        if entry.event == "checkpoint":
            _check_signature(entry, self._chain, self._key, where)
            self.checkpoints, self.unsigned = self.checkpoints + 1, 0
        self._chain, self.number = link(self._chain, body), entry.n
        if self._chain.hex() != entry.chain:
            raise AuditBrokenError(f"{where}: entry {entry.n} is not what was written")
        anchor = self._anchor
        if anchor is not None and anchor.number == entry.n and anchor.chain != self._chain:
            raise AuditBrokenError(f"{where}: not the entry of the checkpoint kept apart")


class Entry(msgspec.Struct):
    """What the chain needs to know of an entry; it has other fields too."""

    n: int
    us: int
    event: str
    chain: str
    before: str = ""
    of: int = 0
    signature: str = ""


_decoder = msgspec.json.Decoder(Entry)
_CHAIN_TAIL = len(b',"chain":""}') + 64


def parse(line: bytes) -> tuple[bytes, Entry]:
    """The hashed bytes and the entry of a line without its newline."""
    entry = _decoder.decode(line)
    body = line[:-_CHAIN_TAIL] + b"}"
    if line != body[:-1] + b',"chain":"' + entry.chain.encode() + b'"}':
        raise ValueError("not in the form that was written")
    return body, entry


def _read(line: bytes, where: str) -> tuple[bytes, Entry]:
    if not line.endswith(b"\n") or len(line) > LINE_BYTES_MAX:
        raise AuditBrokenError(f"{where}: no whole entry")
    try:
        return parse(line[:-1])
    except (ValueError, msgspec.DecodeError) as error:
        raise AuditBrokenError(f"{where}: not an entry") from error


def _behind_dropped(entry: Entry, where: str) -> bytes:
    """Where older files were dropped, the chain begins with what the rotation wrote down."""
    try:
        before = bytes.fromhex(entry.before)
    except ValueError:
        before = b""
    if entry.event != "rotated" or len(before) != len(START):
        raise AuditBrokenError(f"{where}: what came before entry {entry.n} is gone")
    return before


def link(before: bytes, body: bytes) -> bytes:
    """The chain behind an entry whose hashed bytes are ``body``."""
    leaf = hashlib.sha256(b"\x00" + body).digest()
    return hashlib.sha256(b"\x01" + before + leaf).digest()


def statement(number: int, chain: bytes) -> bytes:
    """What a checkpoint signs."""
    return _SIGNED + str(number).encode() + b"\n" + chain


def _check_signature(entry: Entry, chain: bytes, key: Ed25519PublicKey | None, where: str) -> None:
    if entry.of != entry.n - 1:
        raise AuditBrokenError(f"{where}: a checkpoint of {entry.of} at {entry.n}")
    if key is None:
        return
    try:
        key.verify(bytes.fromhex(entry.signature), statement(entry.of, chain))
    except (InvalidSignature, ValueError) as error:
        raise AuditBrokenError(f"{where}: the signature is not the log's key's") from error
