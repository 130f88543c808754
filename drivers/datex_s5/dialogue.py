"""What is asked of a monitor, and when it is asked again.

Three flows are requested: numbers, curves, alarms. A monitor that was switched off has forgotten
them, and says nothing of it: a flow that stays away is asked for again. Alarm messages come only
when they change; so the present ones are asked for once a minute, which also renews the request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from drivers.base.dialogue import Event, Malformed, Missed, Moment, Said
from drivers.base.silence import Listening, Silence
from drivers.datex_s5 import codec, framing, requests
from drivers.datex_s5.codec import AlarmStatus, Curve, Physiological
from drivers.datex_s5.config import MonitorPort
from drivers.datex_s5.curves import KINDS
from drivers.datex_s5.framing import FRAME_BYTES_MAX, Damage, FrameDecoder
from drivers.datex_s5.mapping import Mapper
from gateway.domain.errors import MalformedError

ASK_AGAIN_S: Final = 5.0
"""After a request that nothing followed."""
CURVES_AWAY_S: Final = 10.0
"""Curves come every second or so."""
ALARMS_EVERY_S: Final = 60.0


class MonitorDialogue(Listening):
    """See :class:`drivers.base.dialogue.Dialogue`."""

    def __init__(self, bound: MonitorPort, mapper: Mapper) -> None:
        super().__init__(Silence(bound.silence_s))
        self._mapper = mapper
        self._frames = FrameDecoder()
        self._asking = {
            Physiological: (requests.numbers(bound.interval_s),),
            AlarmStatus: (requests.alarm_status(), requests.alarm_changes()),
        }
        self._patience = {Physiological: bound.silence_s / 2, AlarmStatus: ALARMS_EVERY_S}
        if bound.curves:
            kinds = tuple(KINDS[name].number for name in bound.curves)
            self._asking[Curve] = (requests.curves(kinds),)
            self._patience[Curve] = CURVES_AWAY_S
        self._due: dict[type, float] = {}
        """Flow -> when it is asked for (again)."""
        self._beginning = FRAME_BYTES_MAX
        """Bytes that may still be the rest of a frame whose beginning we did not hear."""
        self._unknown = 0

    def begin(self, now: Moment) -> Iterable[Event]:
        """Ask for everything."""
        self._due = dict.fromkeys(self._asking, now.monotonic_s)
        return self.tick(now)

    def receive(self, data: bytes, now: Moment) -> Iterator[Event]:
        """Decode and map."""
        for found in self._frames.feed(data):
            if isinstance(found, Damage):
                self._beginning -= len(found.sample)
                if self._beginning < 0 or found.reason != "noise":
                    self._mapper.damaged()
                    yield Malformed(found.reason, found.sample)
                continue
            self._beginning = 0
            try:
                record = codec.decode(found)
            except MalformedError as error:
                self._mapper.damaged()
                yield Malformed(error.reason, found)
                continue
            yield from self._silence.heard(now.monotonic_s)
            for flow in {type(subrecord) for subrecord in record.subrecords}:
                if flow in self._due and flow is not AlarmStatus:
                    self._due[flow] = now.monotonic_s + self._patience[flow]
            yield Said(self._mapper.records(record, now))
        if self._mapper.unknown > self._unknown:
            yield Missed("unknown_curve", self._mapper.unknown - self._unknown)
            self._unknown = self._mapper.unknown

    def deadline(self) -> float | None:
        """When the next request, or the end of our patience, is due."""
        silent = super().deadline()
        return min((*self._due.values(), *(() if silent is None else (silent,))), default=None)

    def tick(self, now: Moment) -> Iterable[Event]:
        """Ask for what has not come."""
        for flow, due in self._due.items():
            if now.monotonic_s >= due:
                self.output += map(framing.encode, self._asking[flow])
                wait = ALARMS_EVERY_S if flow is AlarmStatus else ASK_AGAIN_S
                self._due[flow] = now.monotonic_s + wait
        return super().tick(now)

    def excuse(self, now: Moment) -> None:
        """We did not listen: nothing is overdue."""
        super().excuse(now)
        for flow, due in self._due.items():
            self._due[flow] = max(due, now.monotonic_s + self._patience[flow])

    def leave(self, now: Moment) -> Iterable[Event]:
        """Stop every flow; the monitor does not answer."""
        del now
        self._due.clear()
        goodbye = (requests.numbers(0), requests.no_curves(), requests.no_alarms())
        self.output += map(framing.encode, goodbye)
        return ()
