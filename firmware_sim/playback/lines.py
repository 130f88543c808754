"""Serial ways: a pty that the gateway opens as its port, or a real port with a crossed cable."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import pty
import random
import select
import termios
import tty
from pathlib import Path
from typing import Final

from drivers.transport.serial import SerialLink, SerialSettings
from firmware_sim.playback.way import GoneError, Way

log = logging.getLogger(__name__)

READ_BYTES: Final = 4096
LOOK_S: Final = 0.05
"""Between two looks whether the gateway has opened the pty."""
BYTES_PER_S_MAX: Final = 100_000
"""Also "as fast as possible" goes by a line: 1 Mbaud, faster than any device. A UART can't be
slowed down, so the gateway reports bytes that it can't take as lost."""
BURST_BYTES: Final = 2048
STOP_S: Final = 2.0


class _Limited(Way):
    """Keeps to the rate of a fast line."""

    def __init__(self) -> None:
        super().__init__()
        self._free_at = 0.0

    async def _its_turn(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        burst_s = BURST_BYTES / BYTES_PER_S_MAX
        self._free_at = max(self._free_at, now - burst_s) + size / BYTES_PER_S_MAX
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)


class PtyWay(_Limited):
    """The path that the gateway's configuration names as its port, while this plays.

    Args:
        path: gets the pty's other end; its directory must exist.
        wait_s: how long the gateway may take to open it.
    """

    def __init__(self, path: Path, wait_s: float) -> None:
        super().__init__()
        self._path = path
        self._wait_s = wait_s
        self._master = -1

    async def open(self) -> None:
        """See :meth:`Way.open`; up when somebody has opened the other end."""
        if self._path.exists() and not self._path.is_symlink():
            raise GoneError(f"{self._path} is there already, and no line that was played before")
        master, slave = pty.openpty()
        self._master = master
        tty.setraw(slave)
        try:
            fresh = self._path.with_name(f"{self._path.name}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(os.ttyname(slave))
            fresh.replace(self._path)
        except OSError as error:
            raise GoneError(f"{self._path}: {error.strerror}") from error
        finally:
            os.close(slave)  # so that the gateway's opening and closing can be seen
        os.set_blocking(master, False)
        try:
            async with asyncio.timeout(self._wait_s):
                while self._alone():  # noqa: ASYNC110  # a hang-up's end is no event
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            raise GoneError(
                f"nobody opened {self._path} within {self._wait_s:g} s:"
                " is it the port in the gateway's configuration?"
            ) from error
        asyncio.get_running_loop().add_reader(master, self._readable)

    async def send(self, data: bytes) -> None:
        """See :meth:`Way.send`."""
        await self._its_turn(len(data))
        loop = asyncio.get_running_loop()
        while data:
            self.check()
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                room = loop.create_future()
                loop.add_writer(self._master, _settle, room)
                try:
                    await room
                finally:
                    loop.remove_writer(self._master)
            except OSError as error:
                raise GoneError("the gateway closed the line") from error

    async def close(self) -> None:
        """See :meth:`Way.close`."""
        if self._master < 0:
            return
        await self._taken()
        asyncio.get_running_loop().remove_reader(self._master)
        self._path.unlink(missing_ok=True)
        os.close(self._master)
        self._master = -1

    async def _taken(self) -> None:
        """Wait until the gateway has read what it was sent: a hang-up would take it away."""
        try:
            end = os.open(self._path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            return
        try:
            async with asyncio.timeout(STOP_S):
                while any(fcntl.ioctl(end, termios.FIONREAD, bytes(4))):  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(LOOK_S)
                await asyncio.sleep(LOOK_S)  # what the kernel had not handed over yet
        except TimeoutError:
            log.warning("the gateway does not read %s any more", self._path)
        finally:
            os.close(end)

    def _alone(self) -> bool:
        poller = select.poll()
        poller.register(self._master, select.POLLIN)
        return any(events & select.POLLHUP for _, events in poller.poll(0))

    def _readable(self) -> None:
        try:
            data = os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.heard(data)
            return
        asyncio.get_running_loop().remove_reader(self._master)
        self.ended("the gateway closed the line")


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class PortWay(_Limited):
    """A serial port of this machine, with a crossed cable to one of the gateway's."""

    def __init__(self, settings: SerialSettings, wait_s: float) -> None:
        super().__init__()
        self._port = settings.port
        self._wait_s = wait_s
        self._up = asyncio.Event()
        self._link = SerialLink(settings, self, random.SystemRandom())

    async def open(self) -> None:
        """See :meth:`Way.open`; a real line does not tell whether anybody listens."""
        self._link.start()
        try:
            async with asyncio.timeout(self._wait_s):
                await self._up.wait()
        except TimeoutError as error:
            raise GoneError(f"{self._port} can't be opened") from error

    async def send(self, data: bytes) -> None:
        """See :meth:`Way.send`."""
        await self._its_turn(len(data))
        while not self._link.write(data):
            self.check()
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """See :meth:`Way.close`."""
        with contextlib.suppress(RuntimeError):
            await self._link.stop(STOP_S)

    # For the link.

    def link_up(self) -> None:
        """The port is open."""
        self._up.set()

    def data_received(self, data: bytes) -> None:
        """The gateway said something."""
        self.heard(data)

    def link_lost(self, reason: str) -> None:
        """The port is gone."""
        self.ended(f"{self._port}: {reason}")
