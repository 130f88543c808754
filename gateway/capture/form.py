r"""A recording as it stands in a file: sealed frames, each in its place.

::

    "WGCAPT1\n"  the recording's id (16)
    frame: "WGCF"  length of the key's id (1)  length of the sealed part (4, little-endian)
           key's id  sealed part

A sealed part is MessagePack: the first frame holds a :class:`Head`, those after it lists of
:class:`Entry`, the last an :class:`End`. Each is bound to the recording's id and to its number, so
that none can be moved, left out in the middle, or put into another recording. A file without an End
was interrupted: what is there opens.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import IO, Final, NamedTuple, Protocol

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Carrier, Tapped

MAGIC: Final = b"WGCAPT1\n"
ID_CHARS: Final = 16
FRAME_BYTES_MAX: Final = 8 << 20
_FRAME: Final = struct.Struct("<4sBI")
_FRAME_MAGIC: Final = b"WGCF"
KEY_ID_CHARS_MAX: Final = 64


class Head(msgspec.Struct, frozen=True, tag="head"):
    """What is recorded, for whom."""

    recording: str
    gateway: str
    device: str
    begun_us: int
    by: str
    reason: str


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """Something that happened."""

    at_us: int
    session: int
    """Numbered from 1, as they came up."""
    what: int
    """One of UP, DOWN, RECEIVED, SENT."""
    data: bytes
    """What was said; of UP, how (see :func:`up`)."""


UP, DOWN, RECEIVED, SENT = range(4)


class Entries(msgspec.Struct, frozen=True, tag="entries"):
    """What happened, in its order."""

    entries: list[Entry]


class End(msgspec.Struct, frozen=True, tag="end"):
    """Why it ended; what follows is no part of it."""

    at_us: int
    why: str


Part = Head | Entries | End


class Seals(Protocol):
    """What seals, see :mod:`security.sealing`."""

    def seal(self, plaintext: bytes, aad: bytes) -> tuple[str, bytes]:
        """Seal, bound to ``aad``; returns the key's id and the sealed piece."""


Opener = Callable[[str, bytes, bytes], bytes]
"""Key's id, sealed piece, additional data -> what was sealed; raises as ``Sealer.open``."""


class FrameMaker:
    """Seals the parts of one recording in their order; not to be used by two threads at once."""

    def __init__(self, recording: str, sealer: Seals) -> None:
        self._recording = recording
        self._sealer = sealer
        self._number = 0

    def beginning(self) -> bytes:
        """What a file begins with."""
        return MAGIC + self._recording.encode("ascii")

    def frame(self, part: Part) -> bytes:
        """The next frame."""
        aad = _place(self._recording, self._number)
        self._number += 1
        key_id, sealed = self._sealer.seal(msgspec.msgpack.encode(part), aad)
        key = key_id.encode("ascii")
        return _FRAME.pack(_FRAME_MAGIC, len(key), len(sealed)) + key + sealed


def is_recording(content: bytes) -> bool:
    """Whether a file that begins so is a recording."""
    return content.startswith(MAGIC)


class Frame(NamedTuple):
    """Where a frame stands in its file."""

    key_id: str
    at: int
    size: int
    """Of the sealed part, which begins at ``at``."""


def frames(file: IO[bytes]) -> Iterator[Frame]:
    """Each frame of a file, as far as they are whole; what is sealed is not read.

    Raises:
        MalformedError: ``capture``: it is no recording, or what is there is no frame.
    """
    recording_of(file)
    end = file.seek(0, os.SEEK_END)
    at = len(MAGIC) + ID_CHARS
    while at + _FRAME.size <= end:
        file.seek(at)
        magic, key_chars, sealed_bytes = _FRAME.unpack(file.read(_FRAME.size))
        if magic != _FRAME_MAGIC or key_chars > KEY_ID_CHARS_MAX or sealed_bytes > FRAME_BYTES_MAX:
            raise MalformedError("capture", f"no frame at byte {at}")
        key = file.read(key_chars)
        at += _FRAME.size + key_chars
        if at + sealed_bytes > end:
            return  # it was interrupted here
        if not key.isascii():
            raise MalformedError("capture", f"no frame at byte {at}")
        yield Frame(key.decode("ascii"), at, sealed_bytes)
        at += sealed_bytes


def recording_of(file: IO[bytes]) -> str:
    """The id of the recording that a file holds.

    Raises:
        MalformedError: ``capture``: it holds none.
    """
    file.seek(0)
    head = file.read(len(MAGIC) + ID_CHARS)
    if not is_recording(head) or len(head) < len(MAGIC) + ID_CHARS or not head.isascii():
        raise MalformedError("capture", "no recording")
    return head[len(MAGIC) :].decode("ascii")


def parts(file: IO[bytes], opener: Opener) -> Iterator[Part]:
    """Open a recording, part by part.

    Raises:
        MalformedError: ``capture``: it is damaged.
        KeyMissingError, KeyErasedError, SealBrokenError: a frame does not open.
    """
    recording = recording_of(file)
    for number, frame in enumerate(frames(file)):
        file.seek(frame.at)
        opened = opener(frame.key_id, file.read(frame.size), _place(recording, number))
        try:
            part = _decoder.decode(opened)
        except UNDECODABLE as error:
            raise MalformedError("capture", f"frame {number} says nothing usable") from error
        if isinstance(part, Head) != (number == 0):
            raise MalformedError("capture", f"frame {number} is not what comes there")
        yield part


def up(tapped: Tapped, *, before: bool) -> bytes:
    """The content of an entry UP."""
    words = [tapped.carrier.value, *(["asked"] * tapped.asked), *(["before"] * before)]
    return " ".join(words).encode()


class Came(NamedTuple):
    """What an entry UP says."""

    carrier: Carrier
    asked: bool
    before: bool
    """It was up before the recording began: its beginning is missing."""


def read_up(data: bytes) -> Came:
    """Read the content of an entry UP.

    Raises:
        MalformedError: ``capture``: nothing that is known.
    """
    try:
        carrier, *words = data.decode("ascii").split(" ")
        return Came(Carrier(carrier), "asked" in words, "before" in words)
    except ValueError as error:
        raise MalformedError("capture", "a session without a carrier") from error


_decoder: Final[msgspec.msgpack.Decoder[Part]] = msgspec.msgpack.Decoder(Part)


def _place(recording: str, number: int) -> bytes:
    return b"wardgate capture 1\0" + recording.encode() + number.to_bytes(8, "big")
