"""The way to the gateway: what the player asks of it, and what every way shares."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod

from gateway.domain.errors import WardgateError


class GoneError(WardgateError):
    """The gateway could not be reached, refused, or ended the connection; says how."""

    reason = "gone"


class Way(ABC):
    """One connection, line or socket on which a device speaks with the gateway."""

    def __init__(self) -> None:
        self.heard_bytes = 0
        """What the gateway has said."""
        self._news = asyncio.Event()
        self._ended = ""

    @abstractmethod
    async def open(self) -> None:
        """Return when the gateway is at the other end.

        Raises:
            GoneError: it can't be.
        """

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Say something; waits while there is no room.

        Raises:
            GoneError: the gateway is gone.
        """

    @abstractmethod
    async def close(self) -> None:
        """End it; idempotent."""

    async def said_since(self, heard_bytes: int, wait_s: float) -> bool:
        """Wait until the gateway has said more than so many bytes; False when it does not.

        Raises:
            GoneError: it is gone.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while self.heard_bytes <= heard_bytes:
                    self.check()
                    self._news.clear()
                    await self._news.wait()
        return self.heard_bytes > heard_bytes

    def check(self) -> None:
        """Whether the gateway is there.

        Raises:
            GoneError: it is not any more.
        """
        if self._ended:
            raise GoneError(self._ended)

    def heard(self, data: bytes) -> None:
        """For the transport: the gateway said something."""
        self.heard_bytes += len(data)
        self._news.set()

    def ended(self, how: str) -> None:
        """For the transport: the gateway is gone."""
        self._ended = self._ended or how
        self._news.set()
