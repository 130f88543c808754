"""The fleet's commands on their way to devices, and the answers on their way back.

What can be asked is the closed list :data:`COMMANDS`. A command is delivered at once or not at
all (:mod:`gateway.commands`); only what the fleet asked is answered to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from gateway.commands import Commands
from gateway.domain.ports import Clock, Command
from protos.wardgate.v1 import fleet_pb2 as pb

log = logging.getLogger(__name__)

OUTCOMES_WAITING_MAX: Final = 64
COMMANDS_ASKED_MAX: Final = 256

COMMANDS: Final[Mapping[int, str]] = {
    pb.COMMAND_KIND_IDENTIFY: "identify",
    pb.COMMAND_KIND_REPORT: "report",
    pb.COMMAND_KIND_SYNC_TIME: "sync_time",
}
"""All that can be sent to a device: nothing here changes what it delivers."""


class CommandRelay:
    """Takes commands, and keeps their outcomes until the stream takes them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._commands: Commands | None = None
        self._asked: OrderedDict[str, None] = OrderedDict()
        self._outcomes: asyncio.Queue[pb.CommandOutcome | None] = asyncio.Queue(
            OUTCOMES_WAITING_MAX
        )

    @property
    def waiting(self) -> int:
        """Outcomes that the stream has not taken."""
        return self._outcomes.qsize()

    def use(self, commands: Commands) -> None:
        """Deliver through ``commands``, and return the devices' answers."""
        self._commands = commands
        commands.on_answer = self._answered

    def wake(self) -> None:
        """End a wait for outcomes now: there is something else to tell."""
        if not self._outcomes.full():
            self._outcomes.put_nowait(None)

    async def outcomes_for(self, seconds: float) -> AsyncIterator[pb.CommandOutcome]:
        """What becomes of commands, as it comes, until the time has passed or :meth:`wake`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            try:
                async with asyncio.timeout_at(end):
                    outcome = await self._outcomes.get()
            except TimeoutError:
                return
            if outcome is None:
                return
            yield outcome

    def take(self, asked: pb.DeviceCommand) -> None:
        """Deliver a command of the fleet, and tell what became of it."""
        word = COMMANDS.get(asked.kind)
        delivered = False
        if word is not None and self._commands is not None:
            self._asked[asked.command_id] = None
            if len(self._asked) > COMMANDS_ASKED_MAX:
                self._asked.popitem(last=False)
            now_us = self._clock.now_us()
            body: dict[str, str | int] = {"do": word}
            if asked.kind == pb.COMMAND_KIND_SYNC_TIME:
                body["t"] = now_us // 1000
            command = Command(
                asked.device_id,
                asked.command_id,
                msgspec.json.encode(body),
                now_us + asked.valid_ms * 1000,
            )
            delivered = self._commands.send(command)
        state = pb.COMMAND_STATE_DELIVERED if delivered else pb.COMMAND_STATE_NOT_CONNECTED
        log.info("command %s for %s: %s", word, asked.device_id, pb.CommandState.Name(state))
        # A device that answers at once has done so within send(): that says more.
        if not delivered or asked.command_id in self._asked:
            self._tell(pb.CommandOutcome(command_id=asked.command_id, state=state))

    def _answered(self, device_id: str, command_id: str, result: str) -> None:
        if command_id not in self._asked:
            log.debug("%s answers what the fleet did not ask", device_id)
            return
        del self._asked[command_id]
        self._tell(
            pb.CommandOutcome(command_id=command_id, state=pb.COMMAND_STATE_ANSWERED, result=result)
        )

    def _tell(self, outcome: pb.CommandOutcome) -> None:
        try:
            self._outcomes.put_nowait(outcome)
        except asyncio.QueueFull:
            log.warning("outcomes of commands wait for the fleet; one more is dropped")
