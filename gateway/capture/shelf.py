"""Where recordings lie: ``STATE/captures``, a sealed file and a note in the clear for each.

The note says who asked, of which device, why, when, how much and why it ended; nothing of what was
said. While a recording grows its file ends in ``.part``; one that still does when a gateway starts
was interrupted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from gateway.capture import form
from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import ConfigError, MalformedError
from security.files import SECRET_MODE, sync_directory, write_atomic

SCOPE: Final = "capture"
"""Of the keys that seal recordings."""
DIRECTORY: Final = "captures"
SUFFIX: Final = ".wgcapture"
PART: Final = ".part"
RECORDINGS_MAX: Final = 1000
"""An upper bound of what is looked through; another one begins only below it."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a recording without opening it."""

    recording: str
    device: str
    by: str
    reason: str
    begun_us: int
    seconds_max: float
    bytes_max: int
    ended_us: int = 0
    """0 while it goes on."""
    why: str = ""
    """It ended: ``time``, ``bytes``, ``stopped``, ``gateway_stopped``, ``interrupted``, ``disk`` or
    ``behind``."""
    received_bytes: int = 0
    sent_bytes: int = 0
    sessions: int = 0


class Shelf:
    """The directory of one state directory; blocks."""

    def __init__(self, state: Path) -> None:
        self.directory = state / DIRECTORY

    def prepare(self) -> None:
        """Make the directory.

        Raises:
            OSError: it can't be made.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, recording: str) -> Path:
        """The finished file of a recording."""
        return self.directory / f"{recording}{SUFFIX}"

    def growing(self, recording: str) -> Path:
        """The file while it grows."""
        return self.directory / f"{recording}{SUFFIX}{PART}"

    def file_of(self, recording: str) -> Path:
        """The file of a recording that has ended.

        Raises:
            ConfigError: there is none of this name, or it goes on.
        """
        if recording not in {note.recording for note in self.notes()}:
            raise ConfigError(f"no recording {recording!r}; see: wardgate gateway capture list")
        if not self.path(recording).exists():
            raise ConfigError(f"recording {recording} goes on; wait, or stop it")
        return self.path(recording)

    def write(self, note: Note) -> None:
        """Keep a note, durably.

        Raises:
            OSError: it can't be written.
        """
        write_atomic(self._note(note.recording), msgspec.json.encode(note), SECRET_MODE)

    def finish(self, note: Note) -> None:
        """Give a grown file its name, and keep how it ended.

        Raises:
            OSError: there is none, or the disk refuses.
        """
        self.growing(note.recording).replace(self.path(note.recording))
        sync_directory(self.directory)
        self.write(note)

    def remove(self, recording: str) -> None:
        """Delete a recording and its note; idempotent."""
        for path in (self.path(recording), self.growing(recording), self._note(recording)):
            path.unlink(missing_ok=True)

    def notes(self) -> list[Note]:
        """Every recording, the oldest first; a damaged note is passed over."""
        found = []
        for path in sorted(self.directory.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Note))
            except (OSError, *UNDECODABLE):
                continue
        return sorted(found, key=lambda note: note.begun_us)

    def total_bytes(self) -> int:
        """What recordings take on disk."""
        return sum(path.stat().st_size for path in self.directory.glob(f"*{SUFFIX}*"))

    def key_ids(self) -> set[str]:
        """The keys of which frames are there."""
        return {key_id for key_id, _ in self.sealed()}

    def sealed(self) -> Iterator[tuple[str, int]]:
        """Key id and sealed bytes of every frame; what is damaged counts as far as it is whole."""
        for path in sorted(self.directory.glob(f"*{SUFFIX}*")):
            with contextlib.suppress(FileNotFoundError, MalformedError), path.open("rb") as file:
                for frame in form.frames(file):
                    yield frame.key_id, frame.size

    def _note(self, recording: str) -> Path:
        return self.directory / f"{recording}.json"
