"""Which sessions SMFs have, by what FreeRADIUS wrote of them (:data:`fleet.radius.raddb.LOGGED`).

Rules:

* A line that can't be read is counted and left.
* A session is an SMF's, by its ``Acct-Session-Id``; a new word replaces what was known. One without
  an id can't be named to its SMF: it is not kept.
* Bounded: beyond :data:`SESSIONS_MAX` the oldest go: an SMF may never tell an end.

What a line says of the network is brought into the registry's spelling (:func:`attachment`).

Pure: bytes in, table out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from fleet.radius.rules import OCTETS
from gateway.domain.errors import MalformedError
from gateway.domain.network import Attachment, parse_dnn, parse_snssai, parse_tac

SESSIONS_MAX: Final = 200_000
"""Twice the devices of the largest fleet."""
LINE_BYTES_MAX: Final = 4096
_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_SECONDS = re.compile(r"[0-9]{1,12}")
"""Since 1970: of a clock that may be wrong, but not of one without end."""


Key = tuple[str, str]
"""An SMF's name, and a word of its own."""


class Kind(StrEnum):
    """What happened."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    START = "start"
    INTERIM = "interim"
    STOP = "stop"
    RESTART = "restart"
    """The SMF began anew, or ends: it has no sessions."""


class Line(NamedTuple):
    """One line of the log."""

    kind: Kind
    at_s: int
    client: str
    """By its name in the configuration."""
    session_id: str
    user_name: str
    framed_ip: str
    device_id: str
    serial: str
    """Of the certificate, hexadecimal."""
    supi: str
    reason: str
    imei: str
    """What IMEI and IMEISV share."""
    dnn: str
    snssai: str
    tac: str

    @property
    def key(self) -> Key:
        """Names the session."""
        return self.client, self.session_id


class Session(NamedTuple):
    """What is known of one."""

    client: str
    session_id: str
    device_id: str
    serial: str
    supi: str
    user_name: str
    framed_ip: str

    @property
    def key(self) -> Key:
        """Names it."""
        return self.client, self.session_id


class Changes(NamedTuple):
    """What is other than it was told last."""

    put: tuple[Session, ...]
    """Is new or changed, the one heard of last at the end."""
    gone: tuple[Key, ...]


def parse(line: bytes) -> Line | None:
    """Read one line, without its end; None: it is none of ours."""
    words = line.split(b"\t")
    if len(words) != len(Line._fields) or len(line) > LINE_BYTES_MAX:
        return None
    try:
        kind, at_s, *rest = (_unescape(each).decode() for each in words)
        return Line(Kind(kind), int(at_s), *rest) if _SECONDS.fullmatch(at_s) else None
    except ValueError:
        return None


def attachment(line: Line) -> Attachment | None:
    """What a line says of a device; None: it says nothing, or can't be read."""
    if line.kind not in {Kind.ACCEPTED, Kind.REFUSED, Kind.START, Kind.INTERIM}:
        return None
    try:
        return Attachment(
            line.at_s * 1_000_000,
            line.device_id,
            line.supi,
            line.imei,
            line.dnn and parse_dnn(line.dnn),
            line.snssai and _slice(line.snssai),
            line.tac and parse_tac(line.tac),
        )
    except (MalformedError, ValueError):
        return None


def _slice(text: str) -> str:
    octets = text.removeprefix(OCTETS)
    if octets == text:
        return parse_snssai(text)
    sst, differentiator = int(octets[:2], 16), octets[2:]
    return parse_snssai(f"{sst}-{differentiator}" if differentiator else str(sst))


class Sessions:
    """The table; ``known`` is in the order in which it was heard of."""

    def __init__(self, known: Iterable[Session] = ()) -> None:
        self._all: dict[Key, Session] = {}
        self._of_sim: dict[Key, dict[Key, None]] = {}
        """SMF and SUPI -> its sessions, the newest last."""
        self._changed: dict[Key, None] = {}
        for each in known:
            self._put(each)
        self._changed.clear()
        self._half = b""
        self.unread = 0
        """Lines that could not be read."""

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    def feed(self, data: bytes) -> list[Line]:
        """Take what was appended to the log; the lines that are new."""
        *whole, self._half = (self._half + data).split(b"\n")
        if len(self._half) > LINE_BYTES_MAX:
            self._half = self._half[:LINE_BYTES_MAX]  # it will be unreadable, and is bounded
        lines = []
        for each in whole:
            line = parse(each)
            if line is None:
                self.unread += 1
                continue
            lines.append(line)
            self._take(line)
        return lines

    @property
    def half_bytes(self) -> int:
        """How much of the log was taken that is no whole line yet."""
        return len(self._half)

    def changes(self) -> Changes:
        """What has changed since this was called last."""
        changed, self._changed = self._changed, {}
        put = (self._all.get(key) for key in changed)
        gone = (key for key in changed if key not in self._all)
        return Changes(tuple(each for each in put if each is not None), tuple(gone))

    def get(self, key: Key) -> Session | None:
        """What is known of a session."""
        return self._all.get(key)

    def forget(self, key: Key) -> Session | None:
        """It has ended; idempotent. What was known of it."""
        found = self._all.pop(key, None)
        if found is None:
            return None
        self._changed[key] = None
        if found.supi:
            others = self._of_sim[found.client, found.supi]
            del others[key]
            if not others:
                del self._of_sim[found.client, found.supi]
        return found

    def _put(self, session: Session) -> None:
        self._all[session.key] = session
        self._changed.pop(session.key, None)
        self._changed[session.key] = None
        if session.supi:
            self._of_sim.setdefault((session.client, session.supi), {})[session.key] = None

    def _take(self, line: Line) -> None:
        match line.kind:
            case Kind.REFUSED:
                return
            case Kind.STOP:
                self.forget(line.key)
            case Kind.RESTART:
                for key in [key for key in self._all if key[0] == line.client]:
                    self.forget(key)
            case Kind.ACCEPTED | Kind.START | Kind.INTERIM:
                if not line.session_id:
                    return
                before = self.forget(line.key) or self._accepted(line)
                self._put(_merged(line, before))
                if len(self._all) > SESSIONS_MAX:
                    self.forget(next(iter(self._all)))

    def _accepted(self, line: Line) -> Session | None:
        """What was accepted last for the same SIM: accounting tells no certificate."""
        if line.kind is Kind.ACCEPTED:
            return None
        found = self._of_sim.get((line.client, line.supi))
        return self._all[next(reversed(found))] if found else None


def _merged(line: Line, before: Session | None) -> Session:
    fields = Session._fields
    return Session(
        *(getattr(line, name) or (getattr(before, name) if before else "") for name in fields)
    )


def _unescape(word: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), word)
