"""Watches the gateway's own clock, and tells what it is worth.

Rules:

1. What is known is told to the pipeline at once: the clock's error adds to that of each report, and
   a clock that nobody vouches for makes every report uncertain.
2. A record is made at the start, when something changes (source, reference, stratum, leap), when
   the clock was set, and every ``record_every_s``. What the journal did not take is told again.
3. A MEC platform's time is a second opinion (:mod:`gateway.ownclock.opinion`). That it contradicts
   the time service, or is all there is, and the end of either, is an entry in the audit log.
4. A clock that is not synchronised, or may be off by more than ``error_max_s``, for
   ``alarm_after_s`` is an alarm, and ends as soon as it is not; so is one that is contradicted.
5. A step is noticed within a second, also when no device sends anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from gateway.domain.ports import Clock, Counters, Outcome, Sink, Submission
from gateway.domain.records import Attestation, GatewayClock, Provenance
from gateway.ownclock.config import ClockTable
from gateway.ownclock.opinion import Judgement, Opinion, PlatformTime, Verdict
from gateway.ownclock.reading import NOBODY, Reading
from gateway.pipeline.clocks.steady import Steady
from security.identity import Auditor

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
UNSYNCHRONISED = ("clock_unsynchronised", "No time service vouches for the gateway's clock")
INACCURATE = ("clock_inaccurate", "The gateway's clock may be off by more than it is allowed to")
CONTRADICTED = (
    "clock_contradicted",
    "The platform's time and the gateway's time service contradict each other",
)
_TOLD: Final = (Verdict.CONTRADICTS, Verdict.VOUCHES)
"""What the audit log hears of, and its end."""
_SOURCE: Final = Provenance("gateway", Attestation.GATEWAY)


class Told(Protocol):
    """Whoever must know of the clock's error: the pipeline's ``Clockwork``."""

    steady: Steady

    def own_clock(self, error_us: int, *, synchronised: bool) -> None: ...


class Bell(Protocol):
    """Raises alarms of the gateway's."""

    def condition(self, condition: str, text: str, *, active: bool) -> None: ...


class Around(NamedTuple):
    """What the watch touches."""

    gateway: str
    sink: Sink
    clock: Clock
    counters: Counters
    told: Told
    bell: Bell
    audit: Auditor
    ask: Callable[[], Awaitable[Reading]]


class OwnClock:
    """One gateway's; to be used on the loop's thread."""

    def __init__(self, config: ClockTable, around: Around) -> None:
        self._config = config
        self._around = around
        self.reading = NOBODY
        """What the clock is worth, with the second opinion."""
        self._opinion = Opinion(round(config.platform_error_s * 1e6))
        self._verdict = Verdict.SILENT
        self._recorded: Reading | None = None
        """The last that a record was made of."""
        self._recorded_s = 0.0
        self._steps = 0
        """How many have been recorded."""
        self._bad_since_s: dict[str, float] = {}
        self._asked_s: float | None = None

    def follow(self, config: ClockTable) -> None:
        """Go on under a changed configuration."""
        self._config = config
        self._opinion.follow(round(config.platform_error_s * 1e6))
        self._asked_s = None

    def platform_said(self, told: PlatformTime) -> None:
        """A MEC platform told its time; it counts from the next look on."""
        self._opinion.take(told)
        self._asked_s = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def prepare(self) -> None:
        """Tell the pipeline, before any device is let in; records are for those who listen."""
        self._asked_s = self._around.clock.monotonic()
        self._take(await self._around.ask())

    async def look(self) -> None:
        """Notice a step, and ask where it is time to."""
        around = self._around
        around.told.steady.look()
        now_s = around.clock.monotonic()
        stepped = around.told.steady.steps - self._steps
        if self._asked_s is None or stepped or now_s - self._asked_s >= self._config.poll_s:
            self._asked_s = now_s
            self._take(await around.ask())
        self._ring(around.clock.monotonic())
        self._record()

    def _take(self, own: Reading) -> None:
        around, before = self._around, self.reading
        steady = around.told.steady
        judgement = self._opinion.judge(own, steady.base_us, steady.moment_us())
        self._tell(judgement)
        self.reading = reading = judgement.reading
        if reading.kind != before.kind:
            # A reference may be an address of the hospital's: it is in the record, not in the log.
            log.info("the clock is told by %s, stratum %d", reading.source, reading.stratum)
        around.told.own_clock(reading.error_us, synchronised=reading.synchronised)
        around.counters.set("clock_synchronised", float(reading.synchronised))
        around.counters.set("clock_error_seconds", reading.error_us / 1e6)
        around.counters.set("clock_offset_seconds", reading.offset_us / 1e6)
        around.counters.set("clock_stratum", reading.stratum)

    def _tell(self, found: Judgement) -> None:
        """Say in the audit log what the platform's word is now, where that makes a difference."""
        before, self._verdict = self._verdict, found.verdict
        contradicts = found.verdict is Verdict.CONTRADICTS
        self._around.counters.set("clock_contradicted", float(contradicts))
        if found.verdict is before or not {before, found.verdict} & set(_TOLD):
            return
        log.warning("the platform's time and the gateway's clock: %s", found.verdict.value)
        self._around.audit.record(
            "clock_opinion",
            verdict=found.verdict.value,
            source=found.reading.source,
            error_us=found.reading.error_us,
            least_us=found.least_us,
            most_us=found.most_us,
        )

    def _ring(self, now_s: float) -> None:
        reading = self.reading
        off = reading.synchronised and reading.error_us > self._config.error_max_s * 1e6
        for (condition, text), bad in (
            (UNSYNCHRONISED, not reading.synchronised),
            (INACCURATE, off),
            (CONTRADICTED, self._verdict is Verdict.CONTRADICTS),
        ):
            if not bad:
                self._bad_since_s.pop(condition, None)
                self._around.bell.condition(condition, text, active=False)
                continue
            since_s = self._bad_since_s.setdefault(condition, now_s)
            if now_s - since_s >= self._config.alarm_after_s:
                self._around.bell.condition(condition, text, active=True)

    def _record(self) -> None:
        """Make a record where one is due; a refused one is due again."""
        around, reading = self._around, self.reading
        steady = around.told.steady
        now_s = around.clock.monotonic()
        step_us = 0
        if self._recorded is None:
            cause = "started"
        elif steady.steps != self._steps:
            cause, step_us = "set", steady.stepped_us
        elif reading.kind != self._recorded.kind:
            cause = "changed"
        elif now_s - self._recorded_s >= self._config.record_every_s:
            cause = "periodic"
        else:
            return
        before = self._recorded, self._recorded_s, self._steps
        if step_us:
            around.counters.add("clock_steps", "ahead" if step_us > 0 else "back")
            log.warning("the gateway's clock was set by %.3f s", step_us / 1e6)
        self._recorded, self._recorded_s, self._steps = reading, now_s, steady.steps
        record = GatewayClock(
            device_id=around.gateway,
            provenance=_SOURCE,
            at_us=around.clock.now_us(),
            cause=cause,
            step_us=step_us,
            **reading._asdict(),
        )

        def done(outcome: Outcome) -> None:
            if outcome is not Outcome.COMMITTED:
                self._recorded, self._recorded_s, self._steps = before

        around.sink.submit(Submission([record], done))
