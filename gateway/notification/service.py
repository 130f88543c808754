"""``AlarmsService``: alarms for people on site, as the policy lets who watches see them.

What is shown is released as to any outlet: asked of the policy, and in the ledger first. Without an
outlet ``by = "watch"`` nothing is shown. An acknowledgement or a silence is answered when it is
durable.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from gateway.config import GatewayConfig
from gateway.domain.errors import WardgateError
from gateway.domain.ports import Clock, Outcome, Sink, Submission
from gateway.domain.records import Alarm
from gateway.domain.statements import Statement
from gateway.domain.terms import metric
from gateway.local.access import ANY, NURSE, Caller
from gateway.local.calls import (
    CallError,
    InvalidError,
    Service,
    Streaming,
    Unary,
    UnknownError,
    UnsavedError,
)
from gateway.notification import statements as said
from gateway.notification.answers import NotAcknowledgedError
from gateway.notification.config import WatchOutlet
from gateway.notification.desk import Desk
from gateway.notification.outlets.watch import Watcher, Watchers
from gateway.notification.releasing import Releases
from gateway.notification.silences import Silence, SilenceRefusedError
from gateway.notification.statements import Seen
from gateway.notification.story import State, Story, Told
from gateway.wire.records import encode
from protos.wardgate.v1 import alarms_pb2 as pb
from protos.wardgate.v1 import ingest_pb2 as ingest

BEAT_S: Final = 2.0
"""Who watches hears something at least so often."""
SILENCE_ID_BYTES: Final = 6
_STANDING: Final = {
    State.OPEN: pb.ALARM_STANDING_OPEN,
    State.ACKNOWLEDGED: pb.ALARM_STANDING_ACKNOWLEDGED,
    State.MUTED: pb.ALARM_STANDING_MUTED,
}
_SEEN: Final = {Seen.DISPLAYED: "displayed", Seen.READ: "read"}


class People:
    """What people ask; used on the event loop."""

    def __init__(  # the parts that it looks at
        self,
        desk: Desk,
        releases: Releases,
        watchers: Watchers,
        sink: Sink,
        clock: Clock,
        config: GatewayConfig,
    ) -> None:
        self._desk = desk
        self._releases = releases
        self._watchers = watchers
        self._sink = sink
        self._clock = clock
        self.follow(config)

    def follow(self, config: GatewayConfig) -> None:
        """Go on with these outlets."""
        self._gateway = config.gateway.name
        self._outlets = [e for e in config.notification.outlets if isinstance(e, WatchOutlet)]

    # -- looking

    async def list_alarms(
        self, _caller: Caller, request: pb.ListAlarmsRequest
    ) -> pb.ListAlarmsResponse:
        """What stands."""
        outlet = self._outlet(request.ward)
        alarms = [await self._shown(outlet, each) for each in self._of(request.ward)]
        return pb.ListAlarmsResponse(
            gateway=self._gateway,
            now_us=self._clock.now_us(),
            alarms=[each for each in alarms if each is not None],
            silences=self._silences(request.ward),
            outlets=self._standing(),
        )

    async def watch_alarms(
        self, _caller: Caller, request: pb.WatchAlarmsRequest
    ) -> AsyncIterator[pb.WatchAlarmsResponse]:
        """What stands, and every change of it."""
        outlet = self._outlet(request.ward)
        watcher = self._watchers.open(outlet)
        if watcher is None:
            raise CallError("too many are watching already")
        try:
            ids = tuple(each.alarm_id for each in self._of(request.ward))
            yield await self._changes(watcher, request.ward, ids, complete=True)
            self._seen(watcher, ids)
            while True:
                changed = await watcher.wait(BEAT_S)
                yield await self._changes(watcher, request.ward, changed, complete=False)
                self._seen(watcher, changed)
        finally:
            self._watchers.close(watcher)

    async def _changes(
        self, watcher: Watcher, ward: str, ids: Iterable[str], *, complete: bool
    ) -> pb.WatchAlarmsResponse:
        answer = pb.WatchAlarmsResponse(
            gateway=self._gateway,
            now_us=self._clock.now_us(),
            complete=complete,
            silences=self._silences(ward),
            outlets=self._standing(),
        )
        for alarm_id in filter(None, ids):
            story = self._desk.stories.get(alarm_id)
            stands = story is not None and not story.is_over
            if story is None or not stands:
                answer.ended.append(alarm_id)
            elif _is_of(story, ward):
                shown = await self._shown(watcher.outlet, story)
                if shown is not None:
                    answer.alarms.append(shown)
        return answer

    def _seen(self, watcher: Watcher, ids: Iterable[str]) -> None:
        """The stream has taken what was yielded."""
        for alarm_id in ids:
            story = self._desk.stories.get(alarm_id)
            told = story.told.get(watcher.outlet) if story is not None else None
            if told is not None:
                self._watchers.shown(watcher.outlet, alarm_id, told.n)

    def _outlet(self, ward: str) -> str:
        """By whose right is shown what is shown.

        Raises:
            UnknownError: there is no outlet for who watches.
        """
        for outlet in self._outlets:
            if not ward or outlet.ward in ("", ward):
                return outlet.name
        place = f" in ward {ward}" if ward else ""
        raise UnknownError(f'nobody may watch{place}: there is no outlet by = "watch"')

    def _of(self, ward: str) -> list[Story]:
        found = [e for e in self._desk.stories if not e.is_over and _is_of(e, ward)]
        return sorted(found, key=lambda e: (-e.last.alarm.priority, e.last.alarm.onset_us))

    async def _shown(self, outlet: str, story: Story) -> pb.StandingAlarm | None:
        try:
            alarm = await self._releases.release(outlet, story.last)
        except WardgateError as error:
            raise UnsavedError("the journal of releases takes nothing; try again") from error
        return None if alarm is None else self._view(story, alarm)

    def _view(self, story: Story, alarm: Alarm) -> pb.StandingAlarm:
        whole = alarm.device_id == story.last.alarm.device_id
        view = pb.StandingAlarm(
            alarm=ingest.Record.FromString(encode(alarm)).alarm,
            ward=story.ward if whole else "",
            standing=_STANDING[story.state],
            n=story.n,
            level=story.level,
            next_level_us=story.due_us,
            refids=[metric(code).refid for code in alarm.codes],
            units=[metric(code).unit for code in alarm.codes],
            receipts=[
                pb.OutletReceipt(outlet=name, state=_receipt(told), level=told.level)
                for name, told in story.told.items()
            ],
        )
        acknowledged = story.acknowledged
        if acknowledged is not None:
            view.acknowledged_by = acknowledged.by if whole else ""
            view.acknowledged_us = acknowledged.at_us
            view.acknowledged_until_us = acknowledged.until_us
        silence = self._desk.silences.get(story.silence)
        if silence is not None:
            view.muted_until_us = silence.until_us
        return view

    def _silences(self, ward: str) -> list[pb.StandingSilence]:
        found = [e for e in self._desk.silences if ward in ("", e.ward) or not e.ward]
        return [_silence(each) for each in found]

    def _standing(self) -> list[pb.OutletStanding]:
        telling = self._desk.telling
        return [
            pb.OutletStanding(
                outlet=name,
                failing=standing.failing,
                reason=standing.reason if standing.failing else "",
                waiting=len(telling.queues[name]),
            )
            for name, standing in telling.standing.items()
        ]

    # -- changing

    async def acknowledge_alarm(
        self, caller: Caller, request: pb.AcknowledgeAlarmRequest
    ) -> pb.AcknowledgeAlarmResponse:
        """Somebody has it in hand."""
        try:
            self._desk.answers.check(request.alarm_id, request.n)
        except NotAcknowledgedError as error:
            kind = UnknownError if error.reason == "unknown" else CallError
            raise kind(str(error)) from error
        by = _person(caller, request.by)
        await self._commit(
            said.AcknowledgedBy(
                **self._now(), alarm_id=request.alarm_id, n=request.n, by=by, via=caller.name
            )
        )
        return pb.AcknowledgeAlarmResponse(by=by)

    async def silence_alarms(
        self, caller: Caller, request: pb.SilenceAlarmsRequest
    ) -> pb.SilenceAlarmsResponse:
        """For a while."""
        now_us = self._clock.now_us()
        silence = Silence(
            secrets.token_hex(SILENCE_ID_BYTES),
            request.bed,
            request.device_id,
            request.condition,
            now_us,
            now_us + request.seconds * 1_000_000,
            _person(caller, request.by),
            request.reason,
            request.ward,
        )
        try:
            self._desk.silences.check(silence)
        except SilenceRefusedError as error:
            raise InvalidError(str(error)) from error
        await self._commit(said.Silenced(**self._now(), silence=silence))
        return pb.SilenceAlarmsResponse(silence=_silence(silence))

    async def unsilence_alarms(
        self, caller: Caller, request: pb.UnsilenceAlarmsRequest
    ) -> pb.UnsilenceAlarmsResponse:
        """Before its time."""
        if self._desk.silences.get(request.silence_id) is None:
            raise UnknownError(f"there is no silence {request.silence_id}")
        by = _person(caller, request.by)
        await self._commit(said.Unsilenced(**self._now(), silence_id=request.silence_id, by=by))
        return pb.UnsilenceAlarmsResponse()

    async def _commit(self, statement: Statement) -> None:
        """Say it, and wait until it is durable.

        Raises:
            UnsavedError: it is not; it counts as long as the gateway runs.
        """
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._sink.submit(Submission([statement], done.set_result))
        if await done is not Outcome.COMMITTED:
            raise UnsavedError("the journal takes nothing: it counts until a restart; try again")

    def _now(self) -> Mapping[str, Any]:
        return {
            "device_id": self._gateway,
            "provenance": said.GATEWAY,
            "received_us": self._clock.now_us(),
        }


def alarms_service(people: People) -> Service:
    """What is offered, and to whom."""

    def about_alarm(request: pb.AcknowledgeAlarmRequest) -> dict[str, str | int]:
        return {"alarm": request.alarm_id, "notification": request.n}

    def about_silence(request: pb.SilenceAlarmsRequest) -> dict[str, str | int]:
        return {"bed": request.bed, "device": request.device_id, "seconds": request.seconds}

    def about_end(request: pb.UnsilenceAlarmsRequest) -> dict[str, str | int]:
        return {"silence": request.silence_id}

    return Service(
        "wardgate.v1.AlarmsService",
        (
            Unary("ListAlarms", pb.ListAlarmsRequest, people.list_alarms, ANY),
            Streaming("WatchAlarms", pb.WatchAlarmsRequest, people.watch_alarms, ANY),
            Unary(
                "AcknowledgeAlarm",
                pb.AcknowledgeAlarmRequest,
                people.acknowledge_alarm,
                NURSE,
                changes=True,
                about=about_alarm,
            ),
            Unary(
                "SilenceAlarms",
                pb.SilenceAlarmsRequest,
                people.silence_alarms,
                NURSE,
                changes=True,
                about=about_silence,
            ),
            Unary(
                "UnsilenceAlarms",
                pb.UnsilenceAlarmsRequest,
                people.unsilence_alarms,
                NURSE,
                changes=True,
                about=about_end,
            ),
        ),
    )


def _is_of(story: Story, ward: str) -> bool:
    """An alarm of which nobody knows where it is concerns every ward."""
    return not ward or story.ward in ("", ward)


def _person(caller: Caller, by: str) -> str:
    """Who it was: who called, and for whom."""
    named = "".join(char for char in by if char.isprintable()).strip()[:60]
    return f"{named} ({caller.name})" if named else caller.name


def _receipt(told: Told) -> str:
    if told.failed:
        return "failed"
    if told.waits and told.received < told.n:
        return "waiting"
    return _SEEN.get(Seen(told.seen), "received") if told.seen else "received"


def _silence(silence: Silence) -> pb.StandingSilence:
    return pb.StandingSilence(
        silence_id=silence.silence_id,
        ward=silence.ward,
        bed=silence.bed,
        device_id=silence.device_id,
        condition=silence.condition,
        begun_us=silence.begun_us,
        until_us=silence.until_us,
        by=silence.by,
        reason=silence.reason,
    )
