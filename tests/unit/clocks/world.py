"""A device and a gateway with clocks of their own, and true time, which neither of them knows.

True time is counted in microseconds from the start of the gateway's machine, as its monotonic
clock does. The gateway's wall clock and the device's are true time with an offset that steps; the
device's drifts besides, is cut off to its resolution, and may wrap around as a count of 32 bits
does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.domain.records import Attestation, Provenance, Report, TimeMark
from gateway.pipeline.clocks.device import DeviceClock
from gateway.pipeline.config import TimeRule
from gateway.pipeline.normalise import Clockwork
from gateway.pipeline.seen import Seen

SECOND = 1_000_000
WALL_US = 1_790_000_000 * SECOND
SOURCE = Provenance("mqtt", Attestation.CERTIFICATE)


@dataclass
class World:
    """True time, and the gateway's clocks: the Clock port."""

    true_us: int = 500 * SECOND + 123_000
    base_us: int = WALL_US

    def now_us(self) -> int:
        return self.true_us + self.base_us

    def monotonic(self) -> float:
        return self.true_us / 1e6


@dataclass
class DeviceTime:
    """The device's clock."""

    offset_us: int
    drift_ppm: float = 0.0
    resolution_us: int = 1000
    wraps_s: int = 0
    """The count of seconds begins anew at this one; 0: never."""
    since_us: int = 500 * SECOND

    def shows(self, true_us: int) -> int:
        drifted = round((true_us - self.since_us) * self.drift_ppm / 1e6)
        shown = true_us + self.offset_us + drifted
        if self.wraps_s:
            # From 2**31 to -2**31, or from 2**32 to 0.
            low = -(1 << 31) if self.wraps_s == 1 << 31 else 0
            seconds, part = divmod(shown, SECOND)
            shown = ((seconds - low) % (1 << 32) + low) * SECOND + part
        return shown - shown % self.resolution_us


@dataclass(frozen=True)
class Outcome:
    """One report, and what was made of it."""

    n: int
    true_us: int
    """When it was measured."""
    base_us: int
    """The gateway's wall clock at moment zero when it was received."""
    measured_us: int
    uncertainty_us: int
    marks: int
    order_us: int
    late: bool

    @property
    def error_us(self) -> int:
        return abs(self.measured_us - self.true_us - self.base_us)

    @property
    def is_wrong(self) -> bool:
        """It claims what isn't so. A clock that shows 1970 to the second says it has no time."""
        claimed = self.uncertainty_us and not self.marks & TimeMark.UNDATED
        return bool(claimed) and self.error_us > self.uncertainty_us


@dataclass
class Ward:
    """One device, one gateway."""

    world: World = field(default_factory=World)
    rule: TimeRule = field(default_factory=TimeRule)
    clock: DeviceTime = field(default_factory=lambda: DeviceTime(WALL_US))
    numbered: bool = True
    outcomes: list[Outcome] = field(default_factory=list)
    waiting: list[tuple[int, int, int, str]] = field(default_factory=list)
    n: int = 0
    boot: int = 0x5F3A

    def __post_init__(self) -> None:
        self.clockwork = Clockwork(self.rule, self.world)
        self.seen = Seen("mon-1")

    @property
    def estimate(self) -> DeviceClock:
        """What the gateway knows of the clock."""
        assert self.seen.clock is not None
        return self.seen.clock

    def measure(self) -> None:
        """The device measures something, and numbers it."""
        self.n += 1
        message_id = f"{self.boot:x}:{self.n}" if self.numbered else ""
        shown = self.clock.shows(self.world.true_us)
        self.waiting.append((self.n, self.world.true_us, shown, message_id))

    def deliver(self, at: int = 0) -> Outcome:
        """The gateway receives what waits at this place."""
        n, true_us, shown, message_id = self.waiting.pop(at)
        self.clockwork.steady.glance(self.world.monotonic())
        report = Report(
            "mon-1",
            "vitals",
            SOURCE,
            self.world.now_us(),
            device_us=shown,
            message_id=message_id,
        )
        _, _, late, (measured, uncertainty, marks, order) = self.clockwork.look(report, self.seen)
        outcome = Outcome(
            n, true_us, self.world.base_us, measured, uncertainty, marks, order or measured, late
        )
        self.outcomes.append(outcome)
        return outcome

    def live(self, count: int, every_us: int = SECOND, delays=(5000,)) -> None:
        """Measure and deliver at once, with a little delay that varies."""
        for number in range(count):
            self.measure()
            delay = delays[number % len(delays)]
            self.world.true_us += delay
            self.deliver()
            self.world.true_us += every_us - delay

    def busy(self, delays: Sequence[int], every_us: Sequence[int], *, overtaking: bool) -> None:
        """Measure a report for each delay, and deliver them beside one another.

        Args:
            delays: of each; without overtaking, one also waits for those before it.
            every_us: from one to the next, in turn.
            overtaking: as datagrams do; else in order, as a connection delivers.
        """
        world, under_way = self.world, list[tuple[int, int]]()
        latest = at = world.true_us
        for number, delay in enumerate(delays):
            self._arrive(under_way, at)
            world.true_us = at
            self.measure()
            latest = at + delay if overtaking else max(at + delay, latest + 1)
            under_way.append((latest, self.n))
            at += every_us[number % len(every_us)]
        self._arrive(under_way, max(at, *(arrival for arrival, _ in under_way)))
        world.true_us = max(world.true_us, at)

    def _arrive(self, under_way: list[tuple[int, int]], until_us: int) -> None:
        for due in sorted(under_way):
            if due[0] <= until_us:
                under_way.remove(due)
                self.world.true_us = due[0]
                self.deliver([n for n, *_ in self.waiting].index(due[1]))

    def away(self, count: int, every_us: int = SECOND) -> None:
        """Measure, without a connection."""
        for _ in range(count):
            self.measure()
            self.world.true_us += every_us

    def drain(self, apart_us: int = 4000) -> None:
        """Deliver everything that waits, in order."""
        while self.waiting:
            self.world.true_us += apart_us
            self.deliver()

    def restart_device(self) -> None:
        self.boot += 1
        self.n = 0
