"""Asks the network for quality while an alarm stands or a person wants it, and gives it back.

Rules:

* Nothing waits for it: an alarm goes its way at once, with quality or without.
* Alarms that come and go in quick turn keep one session: the need outlasts them by ``linger_s``.
* A person asks for a device and a time. An alarm that finds no room takes that of a device which
  only a person asked for, the one that would end first.
* What is in memory alone is lost with the process: the session then runs out, or is taken up again.
* A session that is found to be for another address than the device has by now is asked for anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol

from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError, WardgateError
from gateway.domain.ports import Clock, Counters
from gateway.domain.records import AlarmPriority
from gateway.mec.http import GONE, PlatformError, ProblemError
from gateway.networkapi.config import QualityTable
from gateway.networkapi.interface import QualityApi, Session, Status, Whose, whose
from gateway.networkapi.quality import TABLE, Action, Input, State

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
CHECK_S: Final = 30.0
"""How often a session is looked at, that the network may have ended."""
RETRY_S: Final = 10.0
STOP_S: Final = 5.0
"""For giving back what stands when the gateway stops."""
MARGIN: Final = 0.25
"""Of a session: so long before its end it is extended."""

STATUS_INPUT: Final = {
    Status.REQUESTED: Input.PENDING,
    Status.AVAILABLE: Input.AVAILABLE,
    Status.UNAVAILABLE: Input.GONE,
}


class Journalled(Protocol):
    """The audit log."""

    def record(self, event: str, **fields: str | int) -> None:
        """One entry."""


class Around(NamedTuple):
    """What the keeper needs of the gateway."""

    standing: Callable[[AlarmPriority], Iterable[str]]
    """Devices with an alarm that is at least so grave."""
    device: Callable[[str], Device | None]
    addresses: Callable[[str], frozenset[str]]
    """Of a device's live sessions; empty where they say nothing."""
    clock: Clock
    counters: Counters
    audit: Journalled


class Line:
    """One device's session; times are monotonic."""

    __slots__ = (
        "alarm_until",
        "asked_until",
        "check_at",
        "device_id",
        "ends_at",
        "rest_until",
        "session_id",
        "started",
        "state",
        "total_until",
        "whose",
    )

    def __init__(self, device_id: str, known: Whose, mono: float) -> None:
        self.device_id = device_id
        self.whose = known
        self.state = State.NONE
        self.session_id = ""
        self.alarm_until = self.asked_until = mono
        """When alarms, and people, will need it no more."""
        self.total_until = mono
        """It may not be longer in sum."""
        self.started = self.ends_at = self.check_at = self.rest_until = 0.0

    @property
    def need_until(self) -> float:
        """When nobody will need it any more."""
        return max(self.alarm_until, self.asked_until)


class Shown(NamedTuple):
    """What people see of one device's session."""

    device_id: str
    state: State
    left_s: float
    needs: tuple[str, ...] = ()
    """Whose it is: ``alarm``, ``person``."""


class NotGivenError(WardgateError):
    """What a person asked for is not to be had now; the message says why."""

    reason = "not_given"


class QualityKeeper:
    """The sessions of one gateway; :meth:`run` is its life."""

    def __init__(self, apis: QualityApi, table: QualityTable, around: Around) -> None:
        self._apis = apis
        self._table = table
        self._around = around
        self._priority = AlarmPriority[table.priority.upper()]
        self._lines: dict[str, Line] = {}
        self._stopped = False

    async def run(self) -> None:
        """Look, every second."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """One look at the need and the time; returns when its calls have been answered."""
        if self._stopped:
            return
        mono = self._around.clock.monotonic()
        without = self._note_needs(mono)
        due = [each for each in self._lines.values() if mono >= each.rest_until]
        await asyncio.gather(*(self._step(each, self._heard(each, mono)) for each in due))
        counts = Counter(each.state for each in self._lines.values())
        for state in State:
            if state is not State.NONE:
                self._around.counters.set("network_quality", counts[state], state.value)
        self._around.counters.set("network_quality", without, "without")

    async def stop(self) -> None:
        """Give back what stands, within ``STOP_S``; the rest runs out."""
        self._stopped = True
        for line in self._lines.values():
            line.alarm_until = line.asked_until = 0.0
        try:
            async with asyncio.timeout(STOP_S):
                lines = list(self._lines.values())
                await asyncio.gather(*(self._step(each, Input.NOT_NEEDED) for each in lines))
        except TimeoutError:
            log.warning("the network did not take every session back in time")

    def shown(self) -> list[Shown]:
        """Every session, by device."""
        mono = self._around.clock.monotonic()
        return [_shown(line, mono) for _, line in sorted(self._lines.items())]

    def ask(self, device_id: str, seconds: float) -> None:
        """A person needs it from now on for so long; the next look asks the network.

        Raises:
            NotGivenError: it can't be asked for.
        """
        mono = self._around.clock.monotonic()
        line = self._lines.get(device_id)
        if seconds > self._table.total_s:
            raise NotGivenError(f"at most {self._table.total_s // 60} minutes at a time")
        if line is not None and line.state in (State.SPENT, State.ENDING):
            raise NotGivenError(f"the device's last session is {line.state.value}: ask again later")
        if line is None:
            known = self._known(device_id)
            if not known:
                raise NotGivenError("the network knows the device by nothing: no GPSI, no address")
            if len(self._lines) >= self._table.devices_max:
                raise NotGivenError("as many devices have quality as may: devices_max")
            line = self._lines[device_id] = Line(device_id, known, mono)
        line.asked_until = mono + seconds
        line.total_until = max(line.total_until, line.asked_until)

    def give_back(self, device_id: str) -> None:
        """A person needs it no more; an alarm keeps its own.

        Raises:
            NotGivenError: nobody had asked for it.
        """
        mono = self._around.clock.monotonic()
        line = self._lines.get(device_id)
        if line is None or line.asked_until <= mono:
            raise NotGivenError("nobody asked for it")
        line.asked_until = mono

    def _note_needs(self, mono: float) -> int:
        """Whose flow is to have a session; returns how many find no room."""
        left_out = set()
        for device_id in self._around.standing(self._priority):
            line = self._lines.get(device_id)
            if line is None:
                known = self._meant(device_id)
                if not known:
                    continue
                if len(self._lines) >= self._table.devices_max:
                    left_out.add(device_id)
                    continue
                line = self._lines[device_id] = Line(device_id, known, mono)
            if line.alarm_until <= mono:
                if line.state is State.SPENT:
                    # A need of its own: what a person had left of it ends, and it is asked anew.
                    line.asked_until = mono
                    continue
                line.total_until = max(line.total_until, mono + self._table.total_s)
            line.alarm_until = max(mono + self._table.linger_s, line.alarm_until)
        self._make_room(len(left_out), mono)
        return len(left_out)

    def _make_room(self, count: int, mono: float) -> None:
        """For so many devices with an alarm; sessions that already end count."""
        lines = self._lines.values()
        ending = sum(each.need_until <= mono for each in lines)
        asked = [each for each in lines if each.alarm_until <= mono < each.asked_until]
        asked.sort(key=lambda line: line.asked_until)
        for line in asked[: max(count - ending, 0)]:
            log.info("%s gives up its quality for a device with an alarm", line.device_id)
            line.asked_until = mono

    def _meant(self, device_id: str) -> Whose:
        """What the network knows a device by, if its alarms are meant."""
        found = self._around.device(device_id)
        meant = found is not None and found.kind in self._table.kinds
        return self._known(device_id) if meant else Whose()

    def _known(self, device_id: str) -> Whose:
        """What the network knows a device by."""
        found = self._around.device(device_id)
        if found is None:
            return Whose()
        return whose(found.network, self._around.addresses(device_id))

    def _heard(self, line: Line, mono: float) -> Input:
        """What need and time say."""
        if line.session_id and mono >= line.ends_at:
            return Input.GONE
        if mono >= line.need_until:
            return Input.NOT_NEEDED
        if line.state in (State.NONE, State.ASKING):
            return Input.NEEDED if self._room(line, mono) >= 1 else Input.TOTAL_OVER
        if line.ends_at - mono <= self._table.session_s * MARGIN:
            return Input.END_NEAR if self._room(line, line.ends_at) >= 1 else Input.TOTAL_OVER
        return Input.LOOK_DUE if mono >= line.check_at else Input.NEEDED

    def _room(self, line: Line, since: float) -> int:
        """Seconds that a session may go on, ``since`` a time."""
        return min(self._table.session_s, int(line.total_until - since))

    async def _step(self, line: Line, told: Input) -> None:
        before = line.state
        line.state, action = TABLE[line.state, told]
        if told is Input.GONE:
            line.session_id = ""
        if action is not Action.NOTHING:
            answer = await self._do(line, action)
            if answer in (Input.AWAY, Input.GONE):
                line.rest_until = self._around.clock.monotonic() + RETRY_S
            if answer is Input.GONE:
                line.session_id = ""
            line.state, _ = TABLE[line.state, answer]
        if line.state is not before:
            self._around.audit.record(
                "network_quality", device=line.device_id, state=line.state.value
            )
        over = before is State.ENDING or line.need_until <= self._around.clock.monotonic()
        if line.state is State.NONE and over:
            self._lines.pop(line.device_id, None)

    async def _do(self, line: Line, action: Action) -> Input:
        """One call; what the network says."""
        try:
            return await self._call(line, action)
        except ProblemError as error:
            log.warning("the network refuses quality (%s): %s", action.value, error)
            gone = action is Action.EXTEND and error.status in GONE
            return Input.GONE if gone else Input.REFUSED
        except (PlatformError, MalformedError) as error:
            log.warning("the network can't be asked for quality (%s): %s", action.value, error)
            return Input.AWAY

    async def _call(self, line: Line, action: Action) -> Input:
        mono = self._around.clock.monotonic()
        if action is Action.ASK:
            line.started = mono
            # Its address may be another one by now; without any, the old one is as good.
            line.whose = self._known(line.device_id) or line.whose
            return self._took(
                line,
                await self._apis.request_quality(
                    line.whose, self._table.flow, self._table.profile, self._room(line, mono)
                ),
            )
        if not line.session_id:
            return Input.GONE  # there never was one
        if action is Action.END:
            await self._apis.end_quality(line.session_id)
            return Input.GONE
        known = self._known(line.device_id)
        if line.state is State.GRANTED and known and not self._apis.same(line.whose, known):
            await self._apis.end_quality(line.session_id)
            return Input.GONE
        if action is Action.EXTEND:
            seconds = self._room(line, line.ends_at)
            return self._took(line, await self._apis.extend_quality(line.session_id, seconds))
        found = await self._apis.quality(line.session_id)
        return Input.GONE if found is None else self._took(line, found)

    def _took(self, line: Line, session: Session) -> Input:
        line.session_id = session.session_id
        line.ends_at = line.started + session.duration_s
        line.check_at = self._around.clock.monotonic() + CHECK_S
        return STATUS_INPUT[session.status]


def _shown(line: Line, mono: float) -> Shown:
    left_s = max(line.ends_at - mono, 0.0) if line.session_id else 0.0
    needs = {"alarm": line.alarm_until > mono, "person": line.asked_until > mono}
    return Shown(
        line.device_id, line.state, left_s, tuple(name for name, there in needs.items() if there)
    )
