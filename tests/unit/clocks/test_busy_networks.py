"""Delays that vary, queues and bursts: nothing that is claimed is wrong, whatever the clock does.

The same worlds are shown to estimates that were weakened in one place each: they must be found out,
or these tests would prove nothing.
"""

import random
from collections.abc import Iterator

import pytest

from gateway.pipeline.clocks import device, runs
from gateway.pipeline.clocks.bounds import Bounds, Rule, Window
from gateway.pipeline.clocks.device import DeviceClock
from gateway.pipeline.clocks.offset import Offset
from gateway.pipeline.clocks.succession import Succession
from tests.unit.clocks.world import SECOND, WALL_US, DeviceTime, Outcome, Ward, World

MS = 1000
SEEDS = range(40)


def delays_of(dice: random.Random, count: int) -> list[int]:
    """Stalls of up to 1.9 s; between them the quickest of four takes 20 ms at most."""
    delays: list[int] = []
    while len(delays) < count:
        if dice.random() < 0.7:
            delays.append(dice.randint(60, 1900) * MS)
        calm = dice.choice((1, 12, 12, 30))
        delays += [dice.randint(1, 45 if n % 4 else 20) * MS for n in range(calm)]
    return delays[:count]


def world_of(seed: int) -> Ward:
    """One device's life on a network that is busy: a clock that drifts, is set, is cut off."""
    dice = random.Random(seed)
    resolution = dice.choice((1, MS, MS, 10 * MS, SECOND))
    clock = DeviceTime(WALL_US + dice.choice((0, -WALL_US + 10**12, dice.randint(-(10**9), 10**9))))
    clock.drift_ppm, clock.resolution_us = dice.uniform(-190, 190), resolution
    ward = Ward(World(), clock=clock, numbered=dice.random() < 0.7)
    base_us = dice.choice((SECOND // 5, SECOND, 5 * SECOND))
    if dice.random() < 0.5:
        every = [base_us]
    else:
        every = [round(base_us * dice.uniform(0.5, 3.0)) for _ in range(7)]
    overtaking = ward.numbered and dice.random() < 0.3
    ward.live(40, max(every), [5 * MS, 30 * MS, 12 * MS, 41 * MS])
    for _ in range(dice.randint(1, 5)):
        act = dice.random()
        back = dice.randint(100, 1900) * MS + 3 * resolution
        # Neither behind a silence nor behind what the clock may have drifted in one.
        ward.live(8 + 40 * SECOND // max(every), max(every), [5 * MS, 30 * MS])
        if act < 0.25:
            # Within the jitter of such a network.
            clock.offset_us -= back
        elif act < 0.35:
            # Nothing under way is as late as that.
            clock.offset_us += back
            ward.live(8, max(every), [8 * MS, 3 * MS])
        elif act < 0.45:
            ward.world.true_us += dice.randint(1, 900) * SECOND
        elif act < 0.5:
            ward.away(dice.randint(5, 60), base_us)
            ward.drain()
        ward.busy(delays_of(dice, dice.randint(10, 100)), every, overtaking=overtaking)
    ward.live(12, max(every), [5 * MS, 12 * MS])
    return ward


def wrong() -> Iterator[tuple[int, Outcome]]:
    for seed in SEEDS:
        for found in world_of(seed).outcomes:
            if found.is_wrong:
                yield seed, found


def test_nothing_claimed_is_wrong_on_a_busy_network():
    assert next(wrong(), None) is None


def takes_clocks_for_never_set_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(device, "READ_US", -(1 << 60))


def believes_that_usual_steps_hide_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Succession, "hidden_us", 0)


def takes_any_step_for_usual(patch: pytest.MonkeyPatch) -> None:
    settle = Succession._settle

    def lenient(self: Succession) -> None:
        settle(self)
        self.usual_min, self.usual_max = 0, 4 * max(0, self.gap_max)

    patch.setattr(Succession, "_settle", lenient)
    patch.setattr(Succession, "hidden_us", MS)


def forgets_that_clocks_drift(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Bounds, "at", lambda self, _moment: (self.lo_us, self.hi_us))


def takes_late_reports_for_prompt(patch: pytest.MonkeyPatch) -> None:
    place = Offset._place

    def deep(self: Offset, g: int) -> None:
        place(self, g)
        self.low -= 500 * MS

    patch.setattr(Offset, "_place", deep)


def calls_a_short_queue_a_step(patch: pytest.MonkeyPatch) -> None:
    for module in (runs, device):
        patch.setattr(module, "WINDOW_US", 200 * MS)


def believes_that_the_quickest_takes_no_time(patch: pytest.MonkeyPatch) -> None:
    take = Bounds.take

    def at_once(self: Bounds, window: Window, now_us: int, resolution_us: int, rule: Rule) -> None:
        take(self, window, now_us, resolution_us, rule._replace(delay_floor_us=0))

    patch.setattr(Bounds, "take", at_once)


def cuts_nothing_off(patch: pytest.MonkeyPatch) -> None:
    take = DeviceClock.take

    def fine(self: DeviceClock, d: int, g: int, message_id: str):
        self.resolution = 1
        return take(self, d, g, message_id)

    patch.setattr(DeviceClock, "take", fine)


@pytest.mark.parametrize(
    "weakened",
    [
        takes_clocks_for_never_set_back,
        believes_that_usual_steps_hide_nothing,
        takes_any_step_for_usual,
        forgets_that_clocks_drift,
        takes_late_reports_for_prompt,
        calls_a_short_queue_a_step,
        believes_that_the_quickest_takes_no_time,
        cuts_nothing_off,
    ],
)
def test_an_estimate_that_is_weakened_is_found_out(weakened, monkeypatch):
    weakened(monkeypatch)
    assert next(wrong(), None) is not None
