"""A directory of files that is never seen half-written, and a link to the newest.

``DIRECTORY/<digest>/…`` holds the files, ``DIRECTORY/current`` links to it. A new one is written,
synced beside the old, then the link is swapped; the same content is written once. The one before is
kept, so that whoever reads it can finish.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from security.files import sync_directory

CURRENT = "current"
DIGEST_CHARS = 16
_DIRECTORY_MODE, _FILE_MODE = 0o750, 0o640


def digest(files: Mapping[str, bytes]) -> str:
    """Names the content."""
    found = hashlib.sha256()
    for name, content in sorted(files.items()):
        found.update(f"{len(name)}:{name}:{len(content)}:".encode() + content)
    return found.hexdigest()[:DIGEST_CHARS]


def publish(directory: Path, files: Mapping[str, bytes], group: int | None = None) -> bool:
    """Make ``files`` the newest; False: they are it already.

    ``group`` may read all of it.

    Raises:
        OSError: the newest is what it was.
    """
    name = digest(files)
    if newest(directory) == name:
        return False
    if not directory.exists():
        directory.mkdir(parents=True)
        directory.chmod(_DIRECTORY_MODE)
    _write(directory / name, files, group)
    put(directory, name)
    return True


def put(directory: Path, name: str) -> None:
    """Swap the link, and delete what is older than the one before.

    Raises:
        OSError: the link is what it was.
    """
    before = newest(directory)
    link = directory / f".{CURRENT}.{secrets.token_hex(4)}"
    link.symlink_to(name)
    try:
        link.replace(directory / CURRENT)
    except OSError:
        link.unlink()
        raise
    sync_directory(directory)
    for each in directory.iterdir():
        if each.is_dir() and not each.is_symlink() and each.name not in {name, before}:
            shutil.rmtree(each, ignore_errors=True)


def newest(directory: Path) -> str:
    """Which is the newest; empty: none."""
    try:
        return str((directory / CURRENT).readlink())
    except OSError:
        return ""


def read(directory: Path) -> dict[str, bytes]:
    """Every file of one, by its path below it.

    Raises:
        OSError: it can't be read.
    """
    return {
        str(each.relative_to(directory)): each.read_bytes()
        for each in sorted(directory.rglob("*"))
        if each.is_file()
    }


def _write(place: Path, files: Mapping[str, bytes], group: int | None) -> None:
    scratch = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        for name, content in files.items():
            path = scratch / name
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE
            )
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), _FILE_MODE)  # the umask may only have taken bits away
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for each in {scratch, *(path.parent for path in scratch.rglob("*"))}:
            each.chmod(_DIRECTORY_MODE)
            sync_directory(each)
        if group is not None:
            for each in (place.parent, scratch, *scratch.rglob("*")):
                os.chown(each, -1, group)
        if place.exists():  # a run that was killed before it swapped the link
            shutil.rmtree(place)
        scratch.rename(place)
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(scratch)
        raise
