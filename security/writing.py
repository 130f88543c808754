"""Writing to disk beside a running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def write_in_thread(write: Callable[[], None]) -> None:
    """Write without holding the loop up; whoever is cancelled meanwhile waits for the end.

    Raises:
        OSError: as ``write``.
    """
    writing = asyncio.ensure_future(asyncio.to_thread(write))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait((writing,))
        raise
