r"""The ALARIS Communications protocol of Asena and GH syringe pumps (38400 8N1).

A message is ``! name [^ field]... | CRC CR``, the CRC four hexadecimal digits of
CRC-16/CCITT-FALSE over what stands between ``!`` and ``|``. Names are ASCII; in a field (a drug)
other letters may stand, which are read as Latin-1. ESC ends a message before its end. A question is
a name without fields, its answer the same name with fields; a name with fields that is sent *to* a
pump sets something.

Rules:

- **What we say is this module's :class:`Query` and nothing else**: whole frames, written out. There
  is no function that makes a frame, so there is none that could make another one.
- Any chunking gives the same messages; whatever arrives, memory is bounded by
  :data:`MESSAGE_BYTES_MAX`; damage costs its message; nothing raises.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from gateway.domain.errors import MalformedError

START, CR, ESC = 0x21, 0x0D, 0x1B
LF: Final = 0x0A

MESSAGE_BYTES_MAX: Final = 256
"""From ``!`` to the CRC; the longest known, an answer to INF, has about 90."""
FIELDS_MAX: Final = 32

_MESSAGE: Final = re.compile(rb"!([\x20-\x7b\x7d\x7e\xa0-\xff]*)\|([0-9A-Fa-f]{4})")
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,31}")


class Query(Enum):
    """All that is ever sent to a pump. Each asks; none has a field, and none sets anything."""

    INFUSION = b"!INF|4961\r"
    """What is being infused."""
    ALARM = b"!ALARM|50B2\r"
    """The alarm that is shown."""
    VOLUME_TO_BE_INFUSED = b"!INF_VTBI|8456\r"
    SYRINGE = b"!SYRINGE_STATUS|4102\r"
    """Which syringe is in it."""

    @property
    def reply(self) -> str:
        """The name of the answer, which is the question's."""
        return self.value[1:-6].decode("ascii")


class Message(NamedTuple):
    """A message whose CRC is right, of either direction."""

    name: str
    fields: tuple[str, ...]
    """As they stand there, blanks included."""
    raw: bytes
    """From ``!`` to the CRC, as they came."""


class Damage(NamedTuple):
    """Bytes that are no message.

    ``reason`` is ``noise`` (between messages), ``truncated`` (another one began within it),
    ``too_long``, ``form``, ``crc`` or ``fields``.
    """

    reason: str
    sample: bytes


class MessageDecoder:
    """Bytes in, messages and damage out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        """From ``!`` on; or noise, until one comes."""
        self._skipping = False
        """Of something that is too long, which was told: until something else begins."""

    def pending(self) -> int:
        """Bytes held for an unfinished message; at most :data:`MESSAGE_BYTES_MAX`."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Message | Damage]:
        """Take bytes as they arrived; what they completed."""
        for byte in data:
            found: Message | Damage | None = None
            if byte in (ESC, CR, LF, START):
                self._skipping = False
            if byte == ESC:
                self._buffer.clear()
            elif byte in (CR, LF):
                found = self._end()
            elif not self._skipping:
                if byte == START:
                    found = self._give_up("truncated")
                self._buffer.append(byte)
                if len(self._buffer) > MESSAGE_BYTES_MAX:
                    self._skipping = True
                    found = self._give_up("too_long")
            if found is not None:
                yield found

    def _end(self) -> Message | Damage | None:
        whole = bytes(self._buffer)
        if whole[:1] != b"!":
            return self._give_up("noise")
        self._buffer.clear()
        try:
            return decode(whole)
        except MalformedError as error:
            return Damage(error.reason, whole)

    def _give_up(self, reason: str) -> Damage | None:
        sample = bytes(self._buffer)
        self._buffer.clear()
        if not sample:
            return None
        return Damage(reason if sample[:1] == b"!" else "noise", sample)


def decode(whole: bytes) -> Message:
    r"""A message from ``!`` to its CRC, without its CR.

    >>> decode(b"!INF_VTBI^ACTIV^11.000^ml^STOP|4433")[:2]
    ('INF_VTBI', ('ACTIV', '11.000', 'ml', 'STOP'))

    Raises:
        MalformedError: ``form``, ``crc`` or ``fields``.
    """
    found = _MESSAGE.fullmatch(whole)
    if found is None:
        raise MalformedError("form", f"{len(whole)} bytes")
    # CRC-16/CCITT-FALSE: the polynomial 1021 of crc_hqx, begun with FFFF.
    if binascii.crc_hqx(found[1], 0xFFFF) != int(found[2], 16):
        raise MalformedError("crc", f"{len(whole)} bytes")
    name, *fields = found[1].decode("latin-1").split("^")
    if not _NAME.fullmatch(name) or len(fields) > FIELDS_MAX:
        raise MalformedError("fields", f"{len(fields)} fields")
    return Message(name, tuple(fields), whole)
