"""One thread, one thing after the other."""

import asyncio
import threading
from contextlib import closing
from functools import partial

import pytest

from gateway.worker import Worker


async def test_jobs_are_done_in_order_in_a_thread_of_their_own():
    with closing(Worker("work", asyncio.get_running_loop())) as worker:
        done: list[int] = []

        def job(n: int) -> int:
            done.append(n)
            return threading.get_ident()

        (thread,) = set(await asyncio.gather(*[worker.run(partial(job, n)) for n in range(9)]))
        assert done == list(range(9))
        assert thread != threading.get_ident()


async def test_what_a_job_raises_the_one_who_waits_gets():
    with closing(Worker("work", asyncio.get_running_loop())) as worker:
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 / 0)
        assert await worker.run(lambda: 7) == 7


async def test_a_job_is_finished_though_nobody_waits_any_more():
    go, finished = threading.Event(), threading.Event()

    def job() -> None:
        go.wait(20)
        finished.set()

    with closing(Worker("work", asyncio.get_running_loop())) as worker:
        waiting = worker.run(job)
        behind = worker.run(lambda: None)
        waiting.cancel()
        go.set()
        await behind
        assert finished.is_set()


async def test_closing_finishes_what_was_given_and_may_be_repeated():
    worker = Worker("work", asyncio.get_running_loop())
    last = worker.run(lambda: "done")
    worker.close()
    worker.close()
    assert await last == "done"
