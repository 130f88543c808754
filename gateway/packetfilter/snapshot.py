"""The counters' file: root's service writes it, the gateway and people read it.

It crosses from root to an unprivileged process, and only so: the reader bounds and checks it all
the same, since whoever mounts or links something else in its place must not harm the gateway.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import WardgateError
from gateway.packetfilter.nft import Count

FILE_BYTES_MAX = 256 * 1024
FILE_MODE = 0o640
FORMAT = 1
_Counter = Annotated[int, msgspec.Meta(ge=0)]
_Text = Annotated[str, msgspec.Meta(max_length=400)]


class SnapshotError(WardgateError):
    """There is no counters' file, or it can't be used."""

    reason = "packet_filter"


class Snapshot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in force, and its counters, at one time."""

    v: int
    gateway: _Text
    at_us: int
    ruleset: _Text
    """SHA-256 of the script in force."""
    policy: _Text
    """Version of the policy that it was made from; empty: none."""
    fault: _Text
    """Why the newest files are not what is in force; empty: they are."""
    counters: dict[_Text, tuple[_Counter, _Counter]]
    """Packets and bytes."""


def write(path: Path, snapshot: Snapshot) -> None:
    """Replace the file at once; without a sync, since it means nothing after a crash.

    It is for root and the writer's group alone: how much a hospital sends is not its neighbour's to
    know.

    Raises:
        OSError: the file before stays.
    """
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(scratch, flags, FILE_MODE), "wb") as file:
        os.fchmod(file.fileno(), FILE_MODE)
        file.write(msgspec.json.encode(snapshot))
    scratch.replace(path)


def read(path: Path, gateway: str) -> Snapshot:
    """The file, checked.

    Raises:
        SnapshotError: it is missing, no regular file, too large, malformed or another gateway's.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SnapshotError(f"{path}: not a regular file")
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SnapshotError(f"{path}: {error.strerror}") from error
    if len(content) > FILE_BYTES_MAX:
        raise SnapshotError(f"{path}: larger than {FILE_BYTES_MAX} bytes")
    try:
        found = msgspec.json.decode(content, type=Snapshot)
    except UNDECODABLE as error:
        raise SnapshotError(f"{path}: {error}") from error
    if found.v != FORMAT or found.gateway != gateway:
        raise SnapshotError(f"{path}: not of gateway {gateway}, or of another format")
    return found


def counts(snapshot: Snapshot) -> Mapping[str, Count]:
    """The counters by name."""
    return {name: Count(*both) for name, both in snapshot.counters.items()}
