"""Open a recording, and write it anew: sealed for somebody else, or as a file for any analyser."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from gateway.capture.form import (
    DOWN,
    RECEIVED,
    SENT,
    UP,
    Came,
    End,
    Entries,
    Entry,
    FrameMaker,
    Head,
    Opener,
    Part,
    parts,
    read_up,
)
from gateway.capture.packets import PacketWriter
from gateway.domain.errors import ConfigError, KeyErasedError, MalformedError
from security.files import SECRET_MODE
from security.sealing import KeyRing, Sealer

UNFINISHED = "interrupted"


class Session(NamedTuple):
    """One session of a recording."""

    came: Came
    entries: list[Entry]
    """RECEIVED and SENT."""


class Opened(NamedTuple):
    """A recording."""

    head: Head
    sessions: list[Session]
    why: str
    """Why it ended; ``interrupted`` where it has no end."""


def read(file: IO[bytes], opener: Opener) -> Opened:
    """Open a whole recording.

    Raises:
        ConfigError: it is damaged, or its keys are missing or erased.
    """
    head: Head | None = None
    sessions: dict[int, Session] = {}
    why = UNFINISHED
    for part in _parts(file, opener):
        match part:
            case Head():
                head = part
            case Entries(entries=entries):
                for entry in entries:
                    _add(entry, sessions)
            case End():
                why = part.why
    if head is None:
        raise ConfigError("the recording was interrupted before anything was in it")
    return Opened(head, list(sessions.values()), why)


def read_for(path: Path, ring: Path) -> Opened:
    """Open an exported recording with the ring that it was sealed for.

    Raises:
        ConfigError: as :func:`read`, or a file can't be read.
        KeyMissingError, SealBrokenError: it was sealed for another ring.
    """
    opener = Sealer(KeyRing.load(ring)).open
    try:
        with path.open("rb") as file:
            return read(file, opener)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _add(entry: Entry, sessions: dict[int, Session]) -> None:
    if entry.what == UP:
        sessions[entry.session] = Session(_came(entry.data), [])
    elif entry.what in (RECEIVED, SENT) and entry.session in sessions:
        sessions[entry.session].entries.append(entry)


def _came(data: bytes) -> Came:
    try:
        return read_up(data)
    except MalformedError as error:
        raise ConfigError(f"the recording is damaged: {error.detail}") from error


def seal_for(source: IO[bytes], opener: Opener, ring: KeyRing, target: IO[bytes]) -> None:
    """Write a recording anew, sealed by another ring.

    Raises:
        ConfigError: as :func:`read`.
        OSError: it can't be written.
    """
    maker = FrameMaker(secrets.token_hex(8), Sealer(ring))
    target.write(maker.beginning())
    for part in _parts(source, opener):
        target.write(maker.frame(part))


def write_packets(source: IO[bytes], opener: Opener, target: IO[bytes]) -> None:
    """Write a recording as pcapng: one conversation per session, between addresses made up.

    Raises:
        ConfigError: as :func:`read`.
        OSError: it can't be written.
    """
    writer = PacketWriter(target)
    for part in _parts(source, opener):
        match part:
            case Head():
                writer.begin(f"{part.device} at {part.gateway}, recording {part.recording}")
            case Entries(entries=entries):
                for entry in entries:
                    if entry.what == UP:
                        writer.up(entry, _came(entry.data))
                    elif entry.what == DOWN:
                        writer.down(entry)
                    else:
                        writer.said(entry)
            case End():
                return


def _parts(file: IO[bytes], opener: Opener) -> Iterator[Part]:
    try:
        yield from parts(file, opener)
    except MalformedError as error:
        raise ConfigError(f"the recording is damaged: {error.detail}") from error
    except KeyErasedError as error:
        raise ConfigError(f"the recording opens no more: {error}") from error


def save(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a new file, readable by its owner alone; nothing is left where it fails.

    Raises:
        ConfigError: it is there already; whatever ``write`` raises.
        OSError: it can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET_MODE)
    except FileExistsError as error:
        raise ConfigError(f"{path} is there already") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
