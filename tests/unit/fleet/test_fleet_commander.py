"""Commands: what becomes of each, and that only who was asked is believed."""

import asyncio
from typing import Any

import pytest

from fleet import commander
from fleet.commander import Commander
from gateway.domain.errors import MalformedError
from protos.wardgate.v1 import fleet_pb2 as pb


class Stream:
    """A gateway's stream that takes what is pushed."""

    def __init__(self, takes=True):
        self.takes = takes
        self.pushed: asyncio.Queue[Any] = asyncio.Queue()

    def push(self, gateway, command):
        self.pushed.put_nowait((gateway, command))
        return self.takes


def outcome(command, state, result=""):
    return pb.CommandOutcome(command_id=command.command_id, state=state, result=result)


async def sent(stream, commander, valid_ms=0):
    task = asyncio.create_task(commander.send("edge", "one", pb.COMMAND_KIND_IDENTIFY, valid_ms))
    _, command = await stream.pushed.get()
    return task, command


async def test_the_answer_comes_back_from_the_gateway_that_was_asked_alone():
    stream = Stream()
    asked = Commander(stream.push)
    task, command = await sent(stream, asked)
    assert (command.device_id, command.valid_ms) == ("one", commander.VALID_MS_DEFAULT)
    asked.settle("other", outcome(command, pb.COMMAND_STATE_ANSWERED, "forged"))
    asked.settle("edge", outcome(command, pb.COMMAND_STATE_DELIVERED))
    asked.settle("edge", outcome(command, pb.COMMAND_STATE_ANSWERED, "x" * 1000))
    asked.settle("edge", outcome(command, pb.COMMAND_STATE_ANSWERED, "twice"))
    done = await task
    assert (done.state, done.gateway) == (pb.COMMAND_STATE_ANSWERED, "edge")
    assert done.result == "x" * commander.RESULT_CHARS_MAX
    asked.settle("edge", outcome(command, pb.COMMAND_STATE_ANSWERED, "late"))


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (pb.COMMAND_STATE_DELIVERED, pb.COMMAND_STATE_DELIVERED),
        (pb.COMMAND_STATE_NOT_CONNECTED, pb.COMMAND_STATE_NOT_CONNECTED),
        (None, pb.COMMAND_STATE_NO_GATEWAY),
    ],
)
async def test_without_an_answer_the_last_word_stands(told, state):
    stream = Stream()
    asked = Commander(stream.push)
    task, command = await sent(stream, asked, valid_ms=20)
    if told is not None:
        asked.settle("edge", outcome(command, told))
    assert (await task).state == state
    assert not asked._pending
    assert not asked._delivered


async def test_no_stream_no_command():
    stream = Stream(takes=False)
    task, _ = await sent(stream, Commander(stream.push))
    assert (await task).state == pb.COMMAND_STATE_NO_GATEWAY


async def test_only_known_commands_and_not_too_many(monkeypatch):
    stream = Stream()
    asked = Commander(stream.push)
    unknown: tuple[Any, ...] = (0, 99)
    for kind in unknown:
        with pytest.raises(MalformedError, match="no such command"):
            await asked.send("edge", "one", kind, 0)
    monkeypatch.setattr(commander, "PENDING_MAX", 1)
    task, command = await sent(stream, asked)
    with pytest.raises(MalformedError, match="too many"):
        await asked.send("edge", "one", pb.COMMAND_KIND_REPORT, 0)
    asked.settle("edge", outcome(command, pb.COMMAND_STATE_NOT_CONNECTED))
    await task


async def test_the_time_is_bounded():
    stream = Stream()
    task, command = await sent(stream, Commander(stream.push), valid_ms=10**9)
    assert command.valid_ms == commander.VALID_MS_MAX
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
