"""What a reader says -> TagReads, InputChange, ReaderState; see :mod:`gateway.domain.tags`.

Rules:

- Reports carry no message id: LLRP numbers none that would last, and acknowledges none. What the
  reader tells twice is told twice; at least once.
- A reader with a clock stamps in UTC, one without in uptime (LLRP 1.0.1, UTCTimestamp); which one
  is said with each statement. How it differs from the gateway's is estimated here
  (:class:`ReaderTime`), the time itself stays as it came.
- A tag without an EPC, or with one that no Gen2 tag can have, is no tag that could be found again:
  it is counted (``epc``) and left out.
- RSSI is PeakRSSI in whole dBm, or Impinj's own in hundredths where the reader gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypedDict, Unpack

from llrpkit.protocol import enums, impinj, messages, params

from drivers.base.dialogue import Moment
from gateway.domain.records import Provenance
from gateway.domain.tags import (
    InputChange,
    ReaderClock,
    ReaderCondition,
    ReaderState,
    TagRead,
    TagReads,
)

EPC_BITS_MAX: Final = 496
"""Gen2: the length in the PC has five bits, of words."""
TEXT_CHARS_MAX: Final = 255
WINDOW_S: Final = 600.0
"""In so long the shortest delay is looked for: two clocks that differ by 100 ppm are 60 ms apart
after it."""
OLD_US: Final = 5_000_000
"""Later than the reader's quickest word by so much: it was held, in the reader or by us."""
SET_BACK_S: Final = 15.0
"""What is held comes within seconds, once it comes."""
STAMP_US_MAX: Final = 1 << 52
"""The year 2112; what is beyond is no time, and means that the reader has given none."""


class About(TypedDict, total=False):
    """What else a ReaderState says; see there."""

    from_us: int
    to_us: int
    held: bool
    antenna: int
    percent: int
    text: str


class ReaderTime:
    """How far a reader's clock is from the gateway's.

    What the reader stamps arrives later than it was stamped, never sooner: the smallest difference
    is the nearest to the truth. It is looked for in the present window and the one before, so that
    a clock that drifts is followed, and one that is set forward at once. One that is set back looks
    like a reader that tells old things: it is believed when nothing else has come for
    ``SET_BACK_S``. The gateway's wall clock may jump: the difference is to its monotonic one.
    """

    def __init__(self) -> None:
        self._least: float | None = None
        self._earlier: float | None = None
        self._until_s = 0.0
        self._old_since_s: float | None = None
        """Since when everything that came was stamped long before."""

    def told(self, stamp_us: int, now: Moment) -> None:
        """The reader has stamped something that has just arrived."""
        late_us = now.monotonic_s * 1e6 - stamp_us
        known = self._known()
        if known is None or late_us <= known + OLD_US:
            self._old_since_s = None
        elif self._old_since_s is None:
            self._old_since_s = now.monotonic_s
        elif now.monotonic_s - self._old_since_s >= SET_BACK_S:
            self._least = self._earlier = self._old_since_s = None
        if now.monotonic_s >= self._until_s:
            self._earlier, self._least = self._least, None
            self._until_s = now.monotonic_s + WINDOW_S
        self._least = late_us if self._least is None else min(self._least, late_us)

    def offset_us(self, now: Moment) -> int:
        """To be added to the reader's times; 0 while it has told none."""
        known = self._known()
        return 0 if known is None else round(known + now.wall_us - now.monotonic_s * 1e6)

    def _known(self) -> float | None:
        known = [each for each in (self._least, self._earlier) if each is not None]
        return min(known, default=None)


class Mapper:
    """One connection's."""

    def __init__(
        self, device_id: str, provenance: Provenance, counted: Callable[[int], object] = bool
    ) -> None:
        """``counted`` is told of each report with tags: how often they were read."""
        self._device_id = device_id
        self._provenance = provenance
        self._counted = counted
        self._times = {ReaderClock.UTC: ReaderTime(), ReaderClock.UPTIME: ReaderTime()}
        self.left_out = 0
        """Tags without an EPC that could be one; whoever counts them sets it back."""

    def reads(self, report: messages.RO_ACCESS_REPORT, now: Moment) -> Iterator[TagReads]:
        """A report's tags, by the clock that stamped them."""
        by_clock: dict[ReaderClock, list[TagRead]] = {}
        for tag in report.tag_report_datas:
            epc = _epc(tag.epc_parameter)
            if not epc:
                self.left_out += 1
                continue
            clock, first_us, last_us = _seen(tag)
            if clock is not ReaderClock.NONE:
                self._times[clock].told(last_us, now)
            antenna, seen = tag.antenna_id, tag.tag_seen_count
            by_clock.setdefault(clock, []).append(
                TagRead(
                    epc,
                    antenna.antenna_id if antenna is not None else 0,
                    _rssi(tag),
                    first_us,
                    last_us,
                    max(1, seen.tag_count) if seen is not None else 1,
                )
            )
        if by_clock:
            self._counted(sum(each.count for found in by_clock.values() for each in found))
        for clock, found in by_clock.items():
            yield TagReads(
                device_id=self._device_id,
                provenance=self._provenance,
                received_us=now.wall_us,
                clock=clock,
                offset_us=self._offset_us(clock, now),
                reads=tuple(found),
            )

    def hear(self, event: params.ReaderEventNotificationData, now: Moment) -> None:
        """Learn the reader's time of an event."""
        clock, at_us = _stamp(event)
        if clock is not ReaderClock.NONE:
            self._times[clock].told(at_us, now)

    def change(self, event: params.ReaderEventNotificationData, now: Moment) -> InputChange | None:
        """The input that an event tells of, if it tells of one."""
        if event.gpi_event is None:
            return None
        clock, at_us = _stamp(event)
        return InputChange(
            device_id=self._device_id,
            provenance=self._provenance,
            received_us=now.wall_us,
            clock=clock,
            offset_us=self._offset_us(clock, now),
            port=event.gpi_event.gpi_port_number,
            high=event.gpi_event.gpi_event,
            at_us=at_us,
        )

    def asked(self, port: int, now: Moment, *, high: bool) -> InputChange:
        """The state of an input that the reader was asked for."""
        return InputChange(
            device_id=self._device_id,
            provenance=self._provenance,
            received_us=now.wall_us,
            clock=ReaderClock.NONE,
            port=port,
            high=high,
            at_us=0,
            asked=True,
        )

    def conditions(
        self, event: params.ReaderEventNotificationData, heard_us: int, now: Moment
    ) -> Iterator[ReaderState]:
        """What an event says of the reader itself; an overflow is since ``heard_us`` at most."""
        if event.antenna_event is not None:
            up = event.antenna_event.event_type == enums.AntennaEventType.Antenna_Connected
            yield self.antenna(event.antenna_event.antenna_id, now, up=up)
        if event.report_buffer_level_warning_event is not None:
            percent = event.report_buffer_level_warning_event.report_buffer_percentage_full
            yield self.state(ReaderCondition.BUFFER_WARNING, now, percent=percent)
        if event.report_buffer_overflow_error_event is not None:
            yield self.state(
                ReaderCondition.OVERFLOW, now, from_us=heard_us or now.wall_us, to_us=now.wall_us
            )
        if event.reader_exception_event is not None:
            text = printable(event.reader_exception_event.message)
            yield self.state(ReaderCondition.EXCEPTION, now, text=text)

    def antenna(self, antenna: int, now: Moment, *, up: bool) -> ReaderState:
        """An antenna is connected, or is not."""
        condition = ReaderCondition.ANTENNA_UP if up else ReaderCondition.ANTENNA_DOWN
        return self.state(condition, now, antenna=antenna)

    def state(self, condition: ReaderCondition, now: Moment, **about: Unpack[About]) -> ReaderState:
        """How the reader is."""
        return ReaderState(
            device_id=self._device_id,
            provenance=self._provenance,
            received_us=now.wall_us,
            condition=condition,
            **about,
        )

    def _offset_us(self, clock: ReaderClock, now: Moment) -> int:
        return 0 if clock is ReaderClock.NONE else self._times[clock].offset_us(now)


def printable(text: str) -> str:
    """A reader's own words, bounded, in one line."""
    cut = text[:TEXT_CHARS_MAX]
    return "".join(each if each.isprintable() else " " for each in cut).strip()


def _epc(said: params.EPCData | params.EPC_96) -> str:
    if isinstance(said, params.EPC_96):
        return said.epc.hex().upper()
    if said.epc.bit_len > EPC_BITS_MAX:
        return ""
    return said.epc.data.hex().upper()


def _seen(tag: params.TagReportData) -> tuple[ReaderClock, int, int]:
    """Which clock, first and last."""
    clock, first_us, last_us = _stamps(tag)
    if clock is ReaderClock.NONE or not 0 < max(first_us, last_us) <= STAMP_US_MAX:
        return ReaderClock.NONE, 0, 0
    return clock, first_us, max(first_us, last_us)


def _stamps(tag: params.TagReportData) -> tuple[ReaderClock, int, int]:
    first_utc, last_utc = tag.first_seen_timestamp_utc, tag.last_seen_timestamp_utc
    if first_utc is not None or last_utc is not None:
        first = (first_utc or last_utc).microseconds  # type: ignore[union-attr]  # one of them is
        last = (last_utc or first_utc).microseconds  # type: ignore[union-attr]
        return ReaderClock.UTC, first, last
    first_up, last_up = tag.first_seen_timestamp_uptime, tag.last_seen_timestamp_uptime
    if first_up is not None or last_up is not None:
        first = (first_up or last_up).microseconds  # type: ignore[union-attr]
        last = (last_up or first_up).microseconds  # type: ignore[union-attr]
        return ReaderClock.UPTIME, first, last
    return ReaderClock.NONE, 0, 0


def _stamp(event: params.ReaderEventNotificationData) -> tuple[ReaderClock, int]:
    stamp = event.timestamp
    if stamp.microseconds > STAMP_US_MAX:
        return ReaderClock.NONE, 0
    clock = ReaderClock.UPTIME if isinstance(stamp, params.Uptime) else ReaderClock.UTC
    return clock, stamp.microseconds


def _rssi(tag: params.TagReportData) -> float | None:
    for each in tag.custom:
        if isinstance(each, impinj.ImpinjPeakRSSI):
            return each.rssi / 100
    return float(tag.peak_rssi.peak_rssi) if tag.peak_rssi is not None else None
