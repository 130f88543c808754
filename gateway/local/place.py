"""A socket's path, however long its directory's is.

A socket address holds 107 bytes (unix(7)); a state directory's path may be longer. Through a
descriptor of the directory any path is short.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short(path: Path) -> Iterator[str]:
    """A short path of the same file, as long as the context lasts.

    Raises:
        OSError: there is no such directory.
    """
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
