"""Readers for tests of the whole: beside a test, by another implementation, behind TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Self, TypeVar

from llrpkit.emulator import EmulatedTag, LLRPEmulator

from demo.plan import free_ports

PATIENCE_S = 30.0
T = TypeVar("T")


class TlsFront:
    """TLS before a plain port, as a reader's own would be; it can be cut off."""

    def __init__(self, behind: int, context: ssl.SSLContext) -> None:
        self._behind = behind
        self._context = context
        self._server: asyncio.Server | None = None
        self._pairs: set[asyncio.Task[None]] = set()
        (self.port,) = free_ports(1)
        self.connections = 0

    async def open(self) -> None:
        """It can be reached, at the same port as before."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self._context
        )

    async def close(self) -> None:
        """Nobody reaches it; who was connected is cut off."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for each in self._pairs:
            each.cancel()
        if self._pairs:
            await asyncio.wait(self._pairs)

    async def _serve(self, near: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        if self._server is None:
            out.transport.abort()  # it was shaking hands when nobody could reach it any more
            return
        task = asyncio.current_task()
        assert task is not None
        self._pairs.add(task)
        self.connections += 1
        both: list[asyncio.Task[None]] = []
        try:
            back, far = await asyncio.open_connection("127.0.0.1", self._behind)
            both = [asyncio.create_task(_move(near, far)), asyncio.create_task(_move(back, out))]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # cut off
        finally:
            for each in both:
                each.cancel()
            out.transport.abort()
            if both:
                far.transport.abort()
            self._pairs.discard(task)


async def _move(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()


class Emulated:
    """``llrpkit``'s emulator behind TLS."""

    def __init__(self, context: ssl.SSLContext, epcs: dict[str, int]) -> None:
        tags = [EmulatedTag(bytes.fromhex(epc), (antenna,)) for epc, antenna in epcs.items()]
        self.emulator = LLRPEmulator(tags=tags, reads_per_sec=50.0)
        self._context = context
        self.front: TlsFront

    async def __aenter__(self) -> Self:
        await self.emulator.start()
        self.front = TlsFront(self.emulator.port, self._context)
        await self.front.open()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.front.close()
        await self.emulator.stop()


class Beside:
    """A loop in a thread of its own, for a test that waits for processes."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """Do it there; what it returns."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(PATIENCE_S)

    def call(self, what: Callable[[], T]) -> T:
        """Call it there."""

        async def done() -> T:
            return what()

        return self.run(done())

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


@contextlib.contextmanager
def beside() -> Iterator[Beside]:
    """See :class:`Beside`."""
    made = Beside()
    try:
        yield made
    finally:
        made.end()
