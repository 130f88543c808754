"""When a reload runs: every state with every input, and that no wish is lost."""

from __future__ import annotations

import asyncio
from itertools import product
from typing import Any

import pytest

from gateway import reload
from gateway.desired import Desired
from gateway.reload import Effect, Input, Reloader, State


def test_every_state_has_an_answer_to_every_input():
    assert set(reload.TABLE) == set(product(State, Input))


@pytest.mark.parametrize("state", State)
def test_nothing_runs_once_it_is_closed(state):
    effect, after = reload.TABLE[state, Input.CLOSE]
    assert (effect, after) == (Effect.NOTHING, State.CLOSED)
    for seen in Input:
        assert reload.TABLE[State.CLOSED, seen] == (Effect.NOTHING, State.CLOSED)


@pytest.mark.parametrize("state", [State.IDLE, State.RUNNING, State.AGAIN])
def test_who_asks_gets_a_run_that_begins_later(state):
    """However it was: after asking, the next end of a run, or this very moment, begins one."""
    effect, after = reload.TABLE[state, Input.ASKED]
    if effect is not Effect.RUN:
        effect, after = reload.TABLE[after, Input.DONE]
    assert (effect, after) == (Effect.RUN, State.RUNNING)


class Scripted(Reloader):
    """Its runs wait to be let go, and note what they were for."""

    def __init__(self) -> None:
        parts: Any = None
        super().__init__(parts, parts, parts, lambda _verdict: None)
        self.runs: list[str] = []
        self.go = asyncio.Semaphore(0)
        self.fault: Exception | None = None

    async def _take_file(self) -> str:
        return await self._note("file")

    async def _take_wish(self, wish: Desired) -> str:
        return await self._note(f"wish {wish.version}")

    async def _note(self, what: str) -> str:
        self.runs.append(what)
        await self.go.acquire()
        if self.fault is not None:
            raise self.fault
        return ""


async def let(reloader: Scripted, count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
        reloader.go.release()
    await turns()


async def turns() -> None:
    """Let the loop do whatever there is."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_runs_follow_one_another_and_wishes_coalesce():
    reloader = Scripted()
    reloader.file_changed()
    await asyncio.sleep(0)
    for version in (1, 2, 3):
        reloader.fleet_wants(Desired(version))
        reloader.file_changed()
    assert reloader.runs == ["file"]
    await let(reloader, 3)
    assert reloader.runs == ["file", "file", "wish 3"]
    await let(reloader, 9)
    assert reloader.runs == ["file", "file", "wish 3"]


async def test_asked_twice_before_the_first_run_began_runs_once():
    reloader = Scripted()
    reloader.file_changed()
    reloader.file_changed()
    await let(reloader, 5)
    assert reloader.runs == ["file"]


async def test_a_fault_ends_its_run_alone():
    reloader = Scripted()
    reloader.fault = KeyError("ours")
    reloader.file_changed()
    await let(reloader, 1)
    reloader.fault = None
    reloader.file_changed()
    await let(reloader, 2)
    assert reloader.runs == ["file", "file"]


async def test_closing_waits_for_the_run_and_begins_no_other():
    reloader = Scripted()
    reloader.file_changed()
    await asyncio.sleep(0)
    reloader.fleet_wants(Desired(1))
    closing = asyncio.ensure_future(reloader.close())
    await turns()
    assert not closing.done()
    reloader.go.release()
    await closing
    reloader.file_changed()
    await let(reloader, 2)
    assert reloader.runs == ["file"]
