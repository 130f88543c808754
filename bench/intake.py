"""What a report costs the intake, by how its delivery is delayed, beside what decoding it costs.

Only the intake: a device's reports, decoded, go in, and a committer takes everything. The ways run
in turns, round by round, so that whatever else the machine does meets all of them; what is told is
the quickest round's CPU time. "beside" is the bedside payload's decoding by msgspec, which no
change of the gateway's touches.

- ``steady``: a report each 100 ms, received 5 ms later.
- ``queue``: a connection that stalls now and then for up to 1.5 s, and then delivers what waited.
- ``jitter``: each report is delayed by up to 1.5 s, but only one in five by less than 20 ms.
- ``bursts``: 512 reports at once, as after a pause of the network.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from bench.load import FIRST, PAYLOAD
from gateway.domain import terms
from gateway.domain.ports import Outcome, StateDelta, Submission
from gateway.domain.records import Attestation, Provenance, Report
from gateway.journal.types import Labelled
from gateway.pipeline.config import PipelineConfig
from gateway.pipeline.intake import Intake

REPORTS: Final = 4_000
ROUNDS: Final = 9
TOGETHER: Final = 32
"""Reports of one read, at most."""
EVERY_US: Final = 100_000
STALL_US: Final = 1_500_000
BURST: Final = 512
_WALL_US: Final = 1_790_000_000_000_000
_SOURCE: Final = Provenance("mqtt", Attestation.CERTIFICATE)
_VALUES: Final = {
    terms.HEART_RATE: 72.5,
    terms.PULSE_RATE: 73.0,
    terms.SPO2: 97.5,
    terms.RESP_RATE: 16.0,
}

Pair = tuple[int, int]
"""When a report was measured and received, microseconds from the start."""


def _steady(_dice: random.Random) -> Iterable[Pair]:
    for number in range(REPORTS):
        yield number * EVERY_US, number * EVERY_US + 5_000


def _queue(dice: random.Random) -> Iterable[Pair]:
    busy_us = 0
    for number in range(REPORTS):
        at_us = number * EVERY_US
        if number > BURST and dice.random() < EVERY_US / 3_000_000:
            busy_us = max(busy_us, at_us) + dice.randrange(STALL_US)
        busy_us = max(at_us, busy_us) + dice.randrange(3_000, 15_000)
        yield at_us, busy_us


def _jitter(dice: random.Random) -> Iterable[Pair]:
    last_us = 0
    for number in range(REPORTS):
        at_us = number * EVERY_US
        quick = number < BURST or dice.random() < 0.2
        last_us = max(last_us + 1, at_us + dice.randrange(3_000, 20_000 if quick else STALL_US))
        yield at_us, last_us


def _bursts(dice: random.Random) -> Iterable[Pair]:
    for number in range(0, REPORTS, BURST):
        delay_us = dice.randrange(3_000, 60_000)
        yield from [(number * 3_000, number * 3_000 + delay_us)] * min(BURST, REPORTS - number)


WAYS: Final[dict[str, Callable[[random.Random], Iterable[Pair]]]] = {
    "steady": _steady,
    "queue": _queue,
    "jitter": _jitter,
    "bursts": _bursts,
}


class _World:
    """The Clock port."""

    def __init__(self) -> None:
        self.at_us = 0

    def now_us(self) -> int:
        return _WALL_US + self.at_us

    def monotonic(self) -> float:
        return self.at_us / 1e6


class _Commits:
    """Takes everything at once."""

    def add(
        self,
        _alarms: Sequence[Labelled],
        _telemetry: Sequence[Labelled],
        _alarm_deltas: Sequence[StateDelta],
        _telemetry_deltas: Sequence[StateDelta],
        done: Callable[[Outcome], None],
        _waves: Sequence[Labelled] = (),
    ) -> None:
        done(Outcome.COMMITTED)

    def writable(self) -> bool:
        return True

    def when_writable(self, resume: Callable[[], None]) -> None:
        raise NotImplementedError


class _Counts:
    """The Counters port."""

    def add(self, name: str, *labels: str, n: float = 1) -> None:
        pass

    def set(self, name: str, value: float, *labels: str) -> None:
        pass

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        pass


async def intake() -> dict[str, Any]:
    """Microseconds per report, and times the decoding beside."""
    return await asyncio.to_thread(_intake)


def _intake() -> dict[str, Any]:
    spent: dict[str, list[float]] = {name: [] for name in (*WAYS, "beside")}
    gc.collect()
    for _ in range(ROUNDS):
        for name, way in WAYS.items():
            spent[name].append(_taken(list(way(random.Random(1)))))
        spent["beside"].append(_decoded())
    least = {name: min(each) for name, each in spent.items()}
    return {
        "us": {name: round(each, 2) for name, each in least.items()},
        "times_decoding": {name: round(least[name] / least["beside"], 1) for name in WAYS},
        "times_steady": {name: round(least[name] / least["steady"], 2) for name in WAYS},
    }


def _taken(pairs: list[Pair]) -> float:
    world = _World()
    intake = Intake(PipelineConfig(), _Commits(), world, _Counts(), random.Random(1).randbytes)
    reads = []
    for first in range(0, len(pairs), TOGETHER):
        part = pairs[first : first + TOGETHER]
        reports = tuple(
            Report(
                "mon-1",
                "vitals",
                _SOURCE,
                _WALL_US + received_us,
                device_us=_WALL_US + measured_us,
                message_id=f"b0:{FIRST + first + number}",
                codes=tuple(_VALUES),
                values=tuple(_VALUES.values()),
            )
            for number, (measured_us, received_us) in enumerate(part)
        )
        reads.append((part[-1][1], Submission(reports, None)))
    began = time.thread_time()
    for at_us, submission in reads:
        world.at_us = at_us
        intake.submit(submission)
    return (time.thread_time() - began) / len(pairs) * 1e6


def _decoded() -> float:
    payloads = [PAYLOAD % (b"b0", FIRST + n, _WALL_US // 1000 + n) for n in range(REPORTS)]
    began = time.thread_time()
    for payload in payloads:
        msgspec.json.decode(payload)
    return (time.thread_time() - began) / REPORTS * 1e6
