"""The form of the audit log: lines, files, tree heads. :mod:`security.audit.log` writes it.

Rules:

* One JSON object a line, which ends in ``"leaf"``: SHA-256(0x00 | the line's bytes without it and
  without the newline). Entry n is leaf n - 1 of an RFC 6962 tree (:mod:`security.audit.merkle`).
* A file begins with an entry that has ``layout``, the log's ``name`` and random id (``log``), and
  ``tree``: the peaks of everything before it, in hexadecimal. So each file can be continued, and
  proofs about it made, when those before it are gone; ``rotated`` is the usual one.
* A ``checkpoint`` is a signed tree head: Ed25519 over :meth:`TreeHead.statement`. It covers
  everything before itself.
* Files are ``audit.<number of the first entry>.log``, and ``audit.log`` for the one that grows.
* Layout 1 (until this layout, 2) had ``"chain"`` in the place of ``"leaf"``: SHA-256(0x01 | chain
  before | leaf), and checkpoints that signed number and chain. Its files stay as they are; the tree
  counts their entries. Those that were dropped before the change count as leaves of 32 zero bytes,
  which nothing hashes to.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import WardgateError
from security.audit.merkle import HASH_BYTES, Tree, repeated

LAYOUT = 2
LINE_BYTES_MAX = 16 * 1024
"""An entry has some dozen fields of 256 characters; the peaks of 2**40 entries are 2,560."""
CURRENT = "audit.log"
ROTATED = "audit.[0-9]*.log"
START = bytes(HASH_BYTES)
"""The chain of layout 1 before its first entry."""
GONE = bytes(HASH_BYTES)
"""The leaf of an entry that layout 1 had dropped."""
CHECKPOINT = "checkpoint"
DROPPED = "dropped"
CONVERTED = "converted"
"""The first entry behind files of layout 1."""


class AuditBrokenError(WardgateError):
    """The log was changed, or its end cut; the message names file and line."""

    reason = "audit_broken"


class TreeHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A state of a log that its key has signed; hashes and signature in hexadecimal."""

    name: str
    """Whose log it is: ``gateway/edge-1``, ``fleet``, …"""
    log: str
    """Which log: a random id, made when it was begun."""
    size: int
    """Entries that it covers."""
    root: str
    us: int
    """When it was signed, in microseconds since 1970."""
    key: str
    """Which key: see :func:`key_id`."""
    signature: str = ""

    def statement(self) -> bytes:
        """What is signed."""
        lines = (self.name, self.log, self.size, self.root, self.us, self.key)
        return b"wardgate audit tree head 2\n" + "".join(f"{each}\n" for each in lines).encode()

    def signed(self, key: Ed25519PrivateKey) -> Self:
        """The same with its signature."""
        return msgspec.structs.replace(self, signature=key.sign(self.statement()).hex())

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether the signature is this key's, over exactly this."""
        try:
            key.verify(bytes.fromhex(self.signature), self.statement())
        except (InvalidSignature, ValueError):
            return False
        return self.key == key_id(key)


class Checkpoint(NamedTuple):
    """A state of a log of layout 1."""

    number: int
    chain: bytes
    signature: bytes


Anchor = TreeHead | Checkpoint
"""A state that was kept elsewhere."""


def key_id(key: Ed25519PublicKey) -> str:
    """The first 8 bytes of SHA-256 over the raw public key, in hexadecimal."""
    return hashlib.sha256(raw_public(key)).hexdigest()[:16]


def raw_public(key: Ed25519PublicKey) -> bytes:
    """The 32 bytes of RFC 8032."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


class Entry(msgspec.Struct):
    """What the log needs to know of an entry; it has other fields too."""

    n: int
    us: int
    event: str
    leaf: str = ""
    layout: int = 1
    name: str = ""
    log: str = ""
    tree: str = ""
    size: int = 0
    root: str = ""
    key: str = ""
    signature: str = ""
    first: int = 0
    """Of ``dropped`` and ``converted``: the oldest entry that is still there."""
    chain: str = ""
    """Layout 1, as the next two."""
    before: str = ""
    of: int = 0

    @property
    def begins_file(self) -> bool:
        """Whether it says where the tree stands."""
        return self.layout == LAYOUT

    def start(self) -> Tree:
        """The tree before the first entry of a file.

        Raises:
            ValueError: not the peaks of so many entries.
        """
        raw = bytes.fromhex(self.tree)
        peaks = [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]
        return Tree(self.n - 1, peaks)


_decoder = msgspec.json.Decoder(Entry)
_LEAF, _CHAIN = b',"leaf":"', b',"chain":"'
_END = b'"}'
_LEAF_TAIL = len(_LEAF) + 2 * HASH_BYTES + len(_END)
_CHAIN_TAIL = _LEAF_TAIL + 1


def line_of(body: bytes, leaf: bytes) -> bytes:
    """The whole line of an entry whose hashed bytes are ``body``."""
    return b'%s,"leaf":"%s"}\n' % (body[:-1], leaf.hex().encode())


def parse(line: bytes) -> tuple[bytes, Entry]:
    """The hashed bytes and the entry of a line without its newline.

    Raises:
        ValueError, msgspec.DecodeError: not a line that was written.
    """
    entry = _decoder.decode(line)
    mark, value, length = _LEAF, entry.leaf, _LEAF_TAIL
    if entry.chain:
        mark, value, length = _CHAIN, entry.chain, _CHAIN_TAIL
    body = line[:-length] + b"}"
    if line != body[:-1] + mark + value.encode() + _END:
        raise ValueError("not in the form that was written")
    return body, entry


def read_line(line: bytes, where: str) -> tuple[bytes, Entry]:
    """As :func:`parse`, of a line with its newline.

    Raises:
        AuditBrokenError: not a whole entry.
    """
    if not line.endswith(b"\n") or len(line) > LINE_BYTES_MAX:
        raise AuditBrokenError(f"{where}: no whole entry")
    try:
        return parse(line[:-1])
    except UNDECODABLE as error:
        raise AuditBrokenError(f"{where}: not an entry") from error


def link(before: bytes, leaf: bytes) -> bytes:
    """Layout 1: the chain behind an entry."""
    return hashlib.sha256(b"\x01" + before + leaf).digest()


def statement_1(number: int, chain: bytes) -> bytes:
    """Layout 1: what a checkpoint signed."""
    return b"wardgate audit checkpoint 1\n" + str(number).encode() + b"\n" + chain


def start_of_first(entry: Entry, where: str) -> tuple[Tree, bytes]:
    """The tree, and layout 1's chain, before the oldest entry of a log.

    Raises:
        AuditBrokenError: what came before it is gone, and nothing says what it was.
    """
    if entry.begins_file:
        return file_start(entry, where), START
    if entry.n == 1:
        return Tree(), START
    try:
        before = bytes.fromhex(entry.before)
    except ValueError:
        before = b""
    if entry.event != "rotated" or len(before) != HASH_BYTES:
        raise AuditBrokenError(f"{where}: what came before entry {entry.n} is gone")
    return repeated(GONE, entry.n - 1), before


def file_start(entry: Entry, where: str) -> Tree:
    """As :meth:`Entry.start`.

    Raises:
        AuditBrokenError: it does not say where the tree stands.
    """
    try:
        return entry.start()
    except ValueError as error:
        raise AuditBrokenError(f"{where}: entry {entry.n} begins no tree") from error


def files_of(directory: Path) -> list[Path]:
    """The log's files, the oldest first."""
    current = directory / CURRENT
    return [*sorted(directory.glob(ROTATED)), *([current] if current.exists() else [])]
