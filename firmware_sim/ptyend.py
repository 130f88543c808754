"""The device's end of a serial line that is a pty.

The port's path is a symbolic link to the pty's other end, so that it stays the same when the
cable is pulled and put back. Everything happens on the event loop that plugged it in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

UNSENT_BYTES_MAX = 64 * 1024
"""What a UART would have lost long before."""
READ_BYTES = 4096


class _Ends(NamedTuple):
    master: int
    slave: int


class PtyEnd:
    """One line.

    Args:
        port: the path that the line's other end gets; its directory must exist.
        received: told of the bytes from the other end.
        unplugged: told when the cable was pulled.
    """

    def __init__(
        self,
        port: Path,
        received: Callable[[bytes], None],
        unplugged: Callable[[], None] = lambda: None,
    ) -> None:
        self.port = str(port)
        self._received = received
        self._unplugged = unplugged
        self._ends: _Ends | None = None
        self._unsent = bytearray()

    @property
    def plugged(self) -> bool:
        """Whether the port is there."""
        return self._ends is not None

    def plug_in(self) -> None:
        """Make the port appear."""
        if self._ends is not None:
            return
        self._ends = ends = _Ends(*pty.openpty())
        tty.setraw(ends.slave)
        os.set_blocking(ends.master, False)
        asyncio.get_running_loop().add_reader(ends.master, self._readable)
        # The slave end stays open here, or the master would hang up between two clients.
        fresh = Path(f"{self.port}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(ends.slave))
        fresh.replace(self.port)

    def pull_cable(self) -> None:
        """Make the port vanish under whoever has it open; idempotent."""
        if self._ends is None:
            return
        ends, self._ends = self._ends, None
        Path(self.port).unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        loop.remove_reader(ends.master)
        loop.remove_writer(ends.master)
        self._unsent.clear()
        os.close(ends.slave)
        os.close(ends.master)
        self._unplugged()

    def write(self, data: bytes) -> bool:
        """Put bytes on the line; False when the cable is out or nobody takes them."""
        if self._ends is None or len(self._unsent) + len(data) > UNSENT_BYTES_MAX:
            return False
        self._unsent += data
        self._flush()
        return True

    def _readable(self) -> None:
        assert self._ends is not None
        try:
            data = os.read(self._ends.master, READ_BYTES)
        except OSError:
            return
        self._received(data)

    def _flush(self) -> None:
        assert self._ends is not None
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                del self._unsent[: os.write(self._ends.master, self._unsent)]
        loop = asyncio.get_running_loop()
        if self._unsent:
            loop.add_writer(self._ends.master, self._flush)
        else:
            loop.remove_writer(self._ends.master)
