"""The view of infusions as text of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final
from unicodedata import combining, east_asian_width

from gateway.domain.texts import one_line
from protos.wardgate.v1 import infusion_pb2 as pb

COLUMNS: Final = 80
_HEAD: Final = ("BED", "DEVICE", "DRUG", "mL/h", "mL LEFT", "MIN LEFT", "STATE", "ORDER")
_WIDTHS: Final = (9, 12, 15, 6, 7, 8, 8, 7)
_RIGHT: Final = frozenset((3, 4, 5))
EXACT_PERCENT: Final = 1.0
"""An order that is met within this is met."""
SURE_MIN: Final = 1.0
"""A spread below it is not worth telling."""


def table(infusions: Iterable[pb.Infusion], now_us: int) -> Iterator[str]:
    """The lines of a list that is sorted by ward; a ward's name stands before its infusions."""
    found = list(infusions)
    running = sum(each.state == "running" and not each.offline for each in found)
    alarms = sum(len(each.alarms) for each in found)
    when = datetime.fromtimestamp(now_us / 1e6, UTC)
    counts = f"{len(found)} infusions, {running} running, {alarms} alarms"
    yield f"{counts}  {when:%Y-%m-%d %H:%M:%S} UTC"
    if not found:
        return
    yield _row(_HEAD)
    ward = None
    for each in found:
        if each.ward != ward:
            ward = each.ward
            name = cut(ward or "no ward", COLUMNS - 8)
            yield f"-- {name} {'-' * (COLUMNS - 4 - width(name))}"
        yield _row(
            (
                each.bed or "-",
                each.device_id,
                each.drug or "-",
                _number(each, "rate_ml_h"),
                _number(each, "remaining_ml"),
                minutes(each),
                "offline" if each.offline else each.state,
                order(each),
            )
        )
        for alarm in each.alarms:
            yield cut(
                f"   ! {alarm.priority}: {alarm.text} ({_since(alarm.onset_us, now_us)})", COLUMNS
            )


def details(found: pb.GetInfusionResponse) -> Iterator[str]:
    """Everything about one infusion."""
    each = found.infusion
    heard = _since(each.heard_us, found.now_us)
    place = " ".join(filter(None, (each.ward, each.bed))) or "no bed"
    yield f"{each.device_id}  {place}  {'offline' if each.offline else each.state}"
    yield f"drug        {each.drug or '-'}"
    yield f"time left   {minutes(each) or '-'} min"
    yield f"heard       {heard}, by {each.driver} ({each.kind})"
    if each.event:
        yield f"event       {each.event} {_since(each.event_us, found.now_us)}"
    if each.HasField("order"):
        yield from _order_lines(each, found.now_us)
    for alarm in each.alarms:
        since = _since(alarm.onset_us, found.now_us)
        about = f"{alarm.condition}, {alarm.source}, {since}"
        yield f"alarm       {alarm.priority}: {alarm.text} ({about})"
    for value in found.values:
        yield f"            {value.refid:<34} {value.value:>10g} {value.unit}".rstrip()
    for word in found.words:
        yield f"            {word.refid:<38} {word.word}"


def _order_lines(each: pb.Infusion, now_us: int) -> Iterator[str]:
    told = each.order
    parts = [told.drug]
    if told.HasField("volume_ml"):
        parts.append(f"{told.volume_ml:g} mL")
    if told.HasField("rate_ml_h"):
        parts.append(f"{told.rate_ml_h:g} mL/h")
    if told.HasField("dose"):
        parts.append(f"{told.dose:g} {told.dose_unit}")
    parts.append(told.route)
    yield f"order       {told.order_id} {told.action} {_since(told.ordered_us, now_us)}"
    yield f"            {', '.join(filter(None, parts))}"
    yield f"            {order(each)}, told by {told.told_by}"


def minutes(each: pb.Infusion) -> str:
    """Minutes left, with the spread where it says something: ``42±3``."""
    if not each.HasField("minutes_left"):
        return ""
    spread = (each.minutes_left_late - each.minutes_left_early) / 2
    sure = spread < SURE_MIN or each.minutes_left <= 0
    return f"{each.minutes_left:.0f}" if sure else f"{each.minutes_left:.0f}±{spread:.0f}"


def order(each: pb.Infusion) -> str:
    """How a pump is off its order: ``as told``, ``+12 %``, ``DRUG``, ``over``; ``-``: no order."""
    if not each.HasField("order"):
        return "-"
    told = each.order
    if told.action == "cancelled":
        return "over"
    if told.other_drug:
        return "DRUG"
    if not told.HasField("deviation_percent"):
        return "?"
    percent = told.deviation_percent
    return "as told" if abs(percent) <= EXACT_PERCENT else f"{percent:+.0f} %"


def _number(each: pb.Infusion, field: str) -> str:
    return f"{getattr(each, field):.5g}" if each.HasField(field) else ""


def _since(then_us: int, now_us: int) -> str:
    if not then_us:
        return "never"
    seconds = max(0, now_us - then_us) // 1_000_000
    if seconds < 120:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"


def _row(cells: tuple[str, ...]) -> str:
    parts = []
    for at, (cell, room) in enumerate(zip(cells, _WIDTHS, strict=True)):
        text = cut(cell, room)
        space = " " * (room - width(text))
        parts.append(f"{space}{text}" if at in _RIGHT else f"{text}{space}")
    return " ".join(parts).rstrip()


def width(text: str) -> int:
    """Columns that a text takes in a terminal: Chinese characters take two."""
    return sum(
        0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text
    )


def cut(text: str, room: int) -> str:
    """A text in at most so many columns; what is cut ends in an ellipsis."""
    clean = one_line(text)
    if width(clean) <= room:
        return clean
    while width(clean) > room - 1:
        clean = clean[:-1]
    return f"{clean}…"
