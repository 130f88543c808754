"""One thread that does one thing after the other for the event loop.

``loop.run_in_executor`` makes two futures, a condition and a chain of callbacks per call, which at
hundreds of calls a second costs more than the disk's answer. This is one queue and one call back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")


class Worker:
    """Made and used on the loop's thread."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread.

        Args:
            name: the thread's, for people who look at one.
            loop: gets the results.
        """
        self._loop = loop
        self._jobs: SimpleQueue[tuple[asyncio.Future[Any], Callable[[], Any]] | None] = (
            SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def run(self, job: Callable[[], _T]) -> asyncio.Future[_T]:
        """Do ``job`` behind everything given before; what it raises, the future raises.

        A job that was begun is finished, also when nobody waits for its future any more.
        """
        done: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put((done, job))
        return done

    def close(self) -> None:
        """Finish what was given and end the thread. Idempotent."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (given := self._jobs.get()) is not None:
            done, job = given
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001  # the one who waits gets it
                self._loop.call_soon_threadsafe(_fail, done, error)
            else:
                self._loop.call_soon_threadsafe(_succeed, done, result)


def _succeed(done: asyncio.Future[Any], result: object) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)
