"""What a file holds that is to be played: packets, a patient's record, or the bytes of a line.

A file is what its first bytes say; what is none of the known ones is a raw stream, as a terminal
program or ``cat /dev/ttyS0`` writes it. Such a stream has no times: it is given those of a line of
so many baud.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from firmware_sim.playback import gathering, network, pcap
from firmware_sim.playback.conversation import Conversation, Piece, Side
from firmware_sim.playback.gathering import Found, Gathered
from gateway.capture import form, opening
from gateway.domain.errors import ConfigError, MalformedError
from gateway.domain.ports import Carrier

FILE_BYTES_MAX: Final = 256 << 20
BITS_PER_BYTE: Final = 10
"""On a serial line: a start bit, eight of data, a stop bit."""
PIECES_PER_S: Final = 50
"""Into which a raw stream is cut."""

_FOREIGN: Final = {
    b"\x1f\x8b": "compressed (gzip): unpack it first",
    b"PK\x03\x04": "a zip archive: unpack it first",
    b"\xfd7zXZ": "compressed (xz): unpack it first",
    b"(\xb5/\xfd": "compressed (zstd): unpack it first",
    b"\x7fELF": "a program",
    b"-----BEGIN": "a certificate or a key",
    b"SQLite format 3": "a database",
}
"""What people give by mistake."""


class Loaded(NamedTuple):
    """The conversations of a file, and what is not in them."""

    together: bool
    """They are one device's, one after the other: without a choice, all are played."""

    found: tuple[Found, ...]
    notes: tuple[str, ...]
    """What was passed over, for people."""


def is_record(path: Path) -> bool:
    """Whether a path names a WFDB record: its header, or the record without ``.hea``."""
    return path.suffix == ".hea" or (
        not path.is_file() and path.with_name(f"{path.name}.hea").is_file()
    )


def read(path: Path) -> bytes:
    """A file, with a bound.

    Raises:
        ConfigError: it can't be read, is empty, or too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    if not content:
        raise ConfigError(f"{path} is empty")
    if len(content) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: more than {FILE_BYTES_MAX >> 20} MiB: cut out what matters")
    return content


def load(path: Path, content: bytes, baud: int, keys: Path | None = None) -> Loaded:
    """The conversations of a file's content.

    Args:
        path: of the file, which is named in errors.
        content: what is in it.
        baud: for raw bytes.
        keys: the ring that a gateway's recording was sealed for.

    Raises:
        ConfigError: it holds nothing that can be played, or is damaged; says why.
        KeyMissingError, SealBrokenError: it was sealed for another ring.
    """
    if form.is_recording(content):
        if keys is None:
            raise ConfigError(f"{path} is sealed: give the ring it was exported for, with --keys")
        return _recording(path, keys)
    if pcap.is_capture(content):
        return _packets(path, content)
    for head, what in _FOREIGN.items():
        if content.startswith(head):
            raise ConfigError(f"{path} is {what}")
    if path.suffix == ".dat" and path.with_suffix(".hea").is_file():
        raise ConfigError(f"{path} is a record's signals: name its header, {path.stem}.hea")
    return Loaded(False, (Found(raw(path.name, content, baud), ""),), ())


def raw(name: str, content: bytes, baud: int) -> Conversation:
    """Bytes as a line of so many baud would bring them."""
    per_second = baud / BITS_PER_BYTE
    size = max(1, round(per_second / PIECES_PER_S))
    pieces = [
        Piece(round(at / per_second * 1e6), Side.DEVICE, content[at : at + size])
        for at in range(0, len(content), size)
    ]
    return Conversation(Carrier.STREAM, name, "", tuple(pieces))


def choose(path: Path, loaded: Loaded, number: int) -> list[Conversation]:
    """One conversation, by its number from 1; 0 for the only one, or for all of one device.

    Raises:
        ConfigError: there are several, or none of this number, or it can't be played.
    """
    found = loaded.found
    if number > len(found):
        raise ConfigError(f"{path} has {len(found)} conversations; see --list")
    if not number and len(found) != 1 and not loaded.together:
        raise ConfigError(
            f"{path} has {len(found)} conversations: see --list, and choose with --conversation N"
        )
    chosen = found[number - 1 : number] if number else found
    for each in chosen:
        if each.lacks:
            raise ConfigError(f"{path} can't be played: {each.lacks}")
    return [each.conversation for each in chosen]


def _recording(path: Path, keys: Path) -> Loaded:
    """The sessions of a gateway's recording, in which the device said something."""
    opened = opening.read_for(path, keys)
    found = []
    for session in opened.sessions:
        sides = {form.RECEIVED: Side.DEVICE, form.SENT: Side.PEER}
        pieces = tuple(Piece(e.at_us, sides[e.what], e.data) for e in session.entries if e.data)
        carrier, _, before = session.came
        made = Conversation(carrier, opened.head.device, "", pieces, whole=not before)
        if made.bytes_of(Side.DEVICE):
            found.append(Found(made, ""))
    if not found:
        raise ConfigError(f"{path}: {opened.head.device} said nothing while it was recorded")
    notes = [f"recorded at {opened.head.gateway}: {opened.head.reason}; ended by {opened.why}"]
    return Loaded(True, tuple(found), tuple(notes))


def _packets(path: Path, content: bytes) -> Loaded:
    try:
        gathered = gathering.gather(pcap.packets(content))
    except MalformedError as error:
        raise ConfigError(f"{path}: {error.detail}") from error
    if not gathered.found:
        raise ConfigError(f"{path} holds nothing that can be played{_why(gathered)}")
    notes = [f"{count} packets passed over: {why}" for why, count in gathered.skipped.items()]
    return Loaded(False, gathered.found, tuple(notes))


def _why(gathered: Gathered) -> str:
    if gathered.skipped["link type"]:
        known = ", ".join(sorted(set(network.LINKS.values())))
        return f": its link type is none of those that are read ({known})"
    whys = ", ".join(f"{count} x {why}" for why, count in gathered.skipped.most_common())
    return f": {whys}" if whys else ": no packet carries data"
