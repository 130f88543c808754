"""Parts are restarted, a vital one ends the daemon, and all end on stop."""

import asyncio

import pytest

from gateway import supervisor as module
from gateway.supervisor import Part, Supervisor


async def test_a_part_that_fails_is_started_again(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_S_MIN", 0.001)
    again = asyncio.Event()
    runs = 0

    async def flaky():
        nonlocal runs
        runs += 1
        if runs < 3:
            raise OSError("no")
        again.set()
        await asyncio.Event().wait()

    keeper = Supervisor()
    keeper.start(Part("flaky", flaky))
    await again.wait()
    assert keeper.restarts == {"flaky": 2}
    await keeper.stop()


async def test_a_vital_part_ends_the_daemon():
    async def vital():
        raise OSError("disk gone")

    ended = asyncio.Event()

    async def neighbour():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    keeper = Supervisor()
    keeper.start(Part("neighbour", neighbour))
    keeper.start(Part("vital", vital, vital=True))
    with pytest.raises(OSError, match="disk gone"):
        await keeper.failed()
    await keeper.stop()
    assert ended.is_set()
