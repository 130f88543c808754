"""Whatever happens to a reader: a tag that lay before it was told of, or the time as not seen."""

from __future__ import annotations

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.llrp.settings import ReaderSettings
from firmware_sim.llrp.reader import LOOK_S
from gateway.domain.tags import ReaderCondition, ReaderState, TagReads
from tests.unit.llrp.scene import A, B, Scene

STEP_S: Final = 0.05
SWEEP_MS: Final = 200
NEAR_US: Final = round((LOOK_S + 2 * STEP_S) * 1e6)
"""A tag may have come just after a look, and gone before the next."""
UNSEEN: Final = (ReaderCondition.RESUMED, ReaderCondition.OVERFLOW)
DEEDS = (
    *(("put", each) for each in (A, B)),
    *(("take", each) for each in (A, B)),
    *((what, "") for what in ("lose", "connect", "restart", "drift")),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(DEEDS), st.sampled_from([0.0, 0.3, 1.0, 2.0])), max_size=12
)
"""What is done, and how long nothing is done after it."""


class World(Scene):
    """Remembers what lay there at each moment."""

    def __init__(self, single: bool, held_max: int, uptime: bool) -> None:
        report = {"report_ms": 0, "report_tags": 1} if single else {"report_ms": SWEEP_MS}
        chosen = ReaderSettings(keepalive_s=1.0, **report)  # type: ignore[arg-type]
        super().__init__(chosen, held_max=held_max, uptime=uptime)
        self.lay: set[str] = set()
        self.truth: list[tuple[int, str]] = []

    def pass_by(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.run(STEP_S, STEP_S)
            self.truth += [(self.clock.now_us(), epc) for epc in sorted(self.lay)]

    def do(self, what: str, which: str) -> None:
        match what:
            case "put":
                self.reader.field.put(which, 1)
                self.lay.add(which)
            case "take":
                self.reader.field.take(which)
                self.lay.discard(which)
            case "lose" if self.dialogue is not None:
                self.lose()
            case "connect" if self.dialogue is None:
                self.connect()
            case "restart":
                if self.dialogue is not None:
                    self.lose()
                self.reader.restart()
            case "drift":
                self.clock.advance(0.013)


@settings(max_examples=50, deadline=None)
@given(STEPS, st.booleans(), st.sampled_from([3, 1000]), st.booleans())
def test_what_lay_there_is_told_or_not_seen(
    steps: list[tuple[tuple[str, str], float]], single: bool, held_max: int, uptime: bool
) -> None:
    world = World(single, held_max, uptime)
    world.do("put", A)
    world.connect()
    begun_us = world.clock.now_us()
    world.pass_by(1)
    for deed, seconds in steps:
        world.do(*deed)
        world.pass_by(seconds)
    if world.dialogue is None:
        world.connect()
    world.pass_by(2)
    told: dict[str, list[tuple[int, int]]] = {A: [], B: []}
    for reads in world.said(TagReads):
        for read in reads.reads:
            span = (reads.placed_us(read.first_us), reads.placed_us(read.last_us))
            told[read.epc].append(span)
    unseen = [
        (state.from_us, state.to_us)
        for state in world.said(ReaderState)
        if state.condition in UNSEEN and not state.held
    ]
    end_us = world.clock.now_us()
    for at_us, epc in world.truth:
        if at_us <= begun_us + NEAR_US or at_us > end_us - 1_000_000:
            continue
        spans = [*told[epc], *unseen]
        near = any(first - NEAR_US <= at_us <= last + NEAR_US for first, last in spans)
        assert near, f"{epc[-1]} lay there at {(at_us - begun_us) / 1e6:.2f} s"
    for epc, spans in told.items():
        for _, last_us in spans:  # and nothing is told that was not there
            lay = any(abs(at - last_us) <= 2 * NEAR_US for at, which in world.truth if which == epc)
            assert lay, f"{epc[-1]} was told at {(last_us - begun_us) / 1e6:.2f} s"
