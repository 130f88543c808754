"""The nurse's screen in a terminal, as lines of text: no I/O, so that it can be looked at in tests.

Rules:

1. It is clear without colour: priority is a word and a mark, what is chosen has an arrow, what is
   lost is said in words. Colour and reverse video only underline that.
2. High before medium before low; within these the unacknowledged first, then the oldest.
3. What does not fit is counted, never left out in silence; what is less urgent goes first.
4. A screen that hears nothing says so, with the time: old news must not look like news.
5. It fits 80 columns and 24 lines, and uses more where there is more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from protos.wardgate.v1 import alarms_pb2 as pb
from protos.wardgate.v1 import ingest_pb2 as ingest

WIDTH_MIN: Final = 60
HEIGHT_MIN: Final = 12
LOST_AFTER_S: Final = 6.0
"""Three signs of life of the gateway's."""
SECONDARY: Final = "Secondary notification: the bedside device stays the primary source."
_MARK: Final = {
    ingest.ALARM_PRIORITY_HIGH: ("!!!", "HIGH"),
    ingest.ALARM_PRIORITY_MEDIUM: ("!! ", "med"),
    ingest.ALARM_PRIORITY_LOW: ("!  ", "low"),
}
_BOLD, _REVERSE, _PLAIN = "\x1b[1m", "\x1b[7m", "\x1b[0m"
_ALARM_MIN: Final = 22


class Paint(NamedTuple):
    """How a line is underlined where the terminal can."""

    text: str
    style: str = ""

    def ansi(self) -> str:
        """For a terminal."""
        return f"{self.style}{self.text}{_PLAIN}" if self.style else self.text


class Board:
    """What the gateway told, and which alarm is chosen."""

    def __init__(self, ward: str = "") -> None:
        self._ward = ward
        self._alarms: dict[str, pb.StandingAlarm] = {}
        self._silences: Sequence[pb.StandingSilence] = ()
        self._outlets: Sequence[pb.OutletStanding] = ()
        self.gateway = ""
        self.chosen = ""
        """An alarm's id."""
        self.said = ""
        """What came of the last key."""
        self._heard_s: float | None = None
        self._behind_s = 0.0
        """The gateway's clock is ahead of ours by so much."""
        self._lost = ""

    def take(self, answer: pb.WatchAlarmsResponse, mono_s: float, now_s: float) -> None:
        """The gateway told something; at our two clocks."""
        if answer.complete:
            self._alarms.clear()
        for alarm in answer.alarms:
            self._alarms[alarm.alarm.alarm_id] = alarm
        for alarm_id in answer.ended:
            self._alarms.pop(alarm_id, None)
        self._silences, self._outlets = answer.silences, answer.outlets
        self.gateway = answer.gateway
        self._heard_s, self._lost = mono_s, ""
        self._behind_s = answer.now_us / 1e6 - now_s
        if self.chosen not in self._alarms:
            self.chosen = next((each.alarm.alarm_id for each in self.rows()), "")

    def lost(self, why: str) -> None:
        """The gateway is not reached."""
        self._lost = why

    def rows(self) -> list[pb.StandingAlarm]:
        """The alarms in the order in which they are shown."""
        return sorted(self._alarms.values(), key=_order)

    def move(self, by: int) -> None:
        """Choose another alarm."""
        ids = [each.alarm.alarm_id for each in self.rows()]
        if ids:
            at = ids.index(self.chosen) if self.chosen in ids else 0
            self.chosen = ids[max(0, min(len(ids) - 1, at + by))]

    def alarm(self) -> pb.StandingAlarm | None:
        """The chosen one."""
        return self._alarms.get(self.chosen)

    # -- lines

    def listing(self, now_s: float) -> Iterator[str]:
        """All of it as text, each alarm with its id and who was told."""
        now_s += self._behind_s
        rows = self.rows()
        if not rows:
            yield "no alarms stand"
        for row in rows:
            alarm = row.alarm
            mark, word = _MARK.get(alarm.priority, ("?  ", "?"))
            told = ", ".join(f"{e.outlet} {e.state}" for e in row.receipts) or "nobody"
            yield (
                f"{mark} {word:<5}{row.ward or '?'}/{alarm.bed or '?'}  {_what(row)}"
                f"  {_span(now_s - alarm.onset_us / 1e6)}  level {_step(row, now_s)}"
            )
            by = f", acknowledged by {row.acknowledged_by}" if row.acknowledged_by else ""
            yield f"      {alarm.alarm_id}  {alarm.device_id}; told: {told}{by}"
        yield from self._foot(now_s)

    def lines(self, width: int, height: int, mono_s: float, now_s: float) -> list[Paint]:
        """A picture of at most so many lines, none of which is wider."""
        width, height = max(width, WIDTH_MIN), max(height, HEIGHT_MIN)
        now_s += self._behind_s
        head = [self._title(width, now_s), Paint(SECONDARY), *self._warnings(width, mono_s)]
        foot = [Paint(each[:width]) for each in self._foot(now_s)][: height // 3]
        foot += [Paint(self.said[:width]), Paint(self._keys(width))]
        body = self._body(width, height - len(head) - len(foot), now_s)
        return [each._replace(text=each.text[:width]) for each in (*head, *body, *foot)]

    def _title(self, width: int, now_s: float) -> Paint:
        counts = [
            f"{n} {_MARK[priority][1]}"
            for priority in _MARK
            if (n := sum(e.alarm.priority == priority for e in self._alarms.values()))
        ]
        place = f"WARD {self._ward}" if self._ward else "ALL WARDS"
        left = f"{place}   {', '.join(counts) or 'no alarms'}"
        clock = datetime.fromtimestamp(now_s, UTC).strftime("%H:%M:%S UTC")
        right = f"{self.gateway}  {clock}"
        return Paint(f"{left:<{width - len(right) - 1}} {right}", _REVERSE)

    def _warnings(self, width: int, mono_s: float) -> Iterator[Paint]:
        if self._heard_s is None:
            why = self._lost or "waiting for the gateway"
            yield Paint(f"*** NOT CONNECTED: {why} ***".center(width), _REVERSE)
            return
        silent_s = mono_s - self._heard_s
        if self._lost or silent_s > LOST_AFTER_S:
            words = f"*** NO CONNECTION FOR {silent_s:.0f} s: WHAT FOLLOWS IS OLD ***"
            yield Paint(words.center(width), _REVERSE)

    def _body(self, width: int, height: int, now_s: float) -> list[Paint]:
        rows = self.rows()
        text_width = max(_ALARM_MIN, width - 49)
        head = f"   {'PRIORITY':<9}{'BED':<8}{'ALARM':<{text_width}} {'AGE':>7} {'STEP':<7} WHO"
        room = height - 2
        top = self._top(rows, room)
        lines = [Paint(head, _BOLD)]
        for index, row in enumerate(rows[top : top + room], start=top):
            lines.append(self._row(index, row, text_width, now_s))
        hidden = len(rows) - len(rows[top : top + room])
        lines += [Paint("")] * (height - 1 - len(lines))
        lines.append(Paint(f"   … {hidden} more, see with the arrow keys" if hidden else ""))
        return lines

    def _top(self, rows: Sequence[pb.StandingAlarm], room: int) -> int:
        """The first row that is shown, so that the chosen one is."""
        ids = [each.alarm.alarm_id for each in rows]
        at = ids.index(self.chosen) if self.chosen in ids else 0
        return max(0, min(at - room + 1, len(rows) - room)) if at >= room else 0

    def _row(self, index: int, row: pb.StandingAlarm, text_width: int, now_s: float) -> Paint:
        alarm = row.alarm
        mark, word = _MARK.get(alarm.priority, ("?  ", "?"))
        arrow = ">" if alarm.alarm_id == self.chosen else " "
        number = str(index + 1) if index < 9 else " "
        bed = alarm.bed or "?"
        what = _what(row)
        age = _span(now_s - alarm.onset_us / 1e6)
        step = _step(row, now_s)
        who = row.acknowledged_by.partition(" (")[0] or "-"
        text = (
            f"{arrow}{number} {mark} {word:<5}{bed[:7]:<8}{what[:text_width]:<{text_width}}"
            f" {age:>7} {step:<7} {who}"
        )
        unanswered = row.standing == pb.ALARM_STANDING_OPEN
        urgent = alarm.priority == ingest.ALARM_PRIORITY_HIGH
        return Paint(text, (_REVERSE if urgent else _BOLD) if unanswered else "")

    def _foot(self, now_s: float) -> Iterator[str]:
        for outlet in self._outlets:
            if outlet.failing:
                waits = f", {outlet.waiting} wait" if outlet.waiting else ""
                yield f"outlet {outlet.outlet} FAILS: {outlet.reason.replace('_', ' ')}{waits}"
        for each in self._silences:
            of = " ".join(filter(None, (each.bed and f"bed {each.bed}", each.device_id)))
            what = each.condition or "everything but high"
            left = _span(each.until_us / 1e6 - now_s)
            yield f"silenced: {of}, {what}, {left} left, by {each.by} ({each.silence_id})"

    def _keys(self, width: int) -> str:
        keys = "1-9, arrows: choose   a: acknowledge   s: silence bed 5 min   q: quit"
        return keys if len(keys) <= width else "1-9 choose  a acknowledge  s silence  q quit"


def _order(row: pb.StandingAlarm) -> tuple[int, int, int, str]:
    answered = row.standing != pb.ALARM_STANDING_OPEN
    return (-row.alarm.priority, answered, row.alarm.onset_us, row.alarm.alarm_id)


def _what(row: pb.StandingAlarm) -> str:
    """The alarm in words, with its values where the words have none."""
    alarm = row.alarm
    text = alarm.text or alarm.condition.replace("_", " ")
    if any(char.isdigit() for char in text):
        return text
    values = zip(alarm.values, row.units, strict=False)
    return " ".join((text, *(f"{value:g} {unit}".rstrip() for value, unit in values)))


def _step(row: pb.StandingAlarm, now_s: float) -> str:
    """Who is told, and when the next are."""
    if row.standing == pb.ALARM_STANDING_ACKNOWLEDGED:
        return "ackn."
    if row.standing == pb.ALARM_STANDING_MUTED:
        left = _span(row.muted_until_us / 1e6 - now_s) if row.muted_until_us else ""
        return f"mute {left}".rstrip()[:8]
    if row.next_level_us:
        return f"{row.level}>{_span(row.next_level_us / 1e6 - now_s)}"
    return str(row.level)


def _span(seconds: float) -> str:
    """``0:42``, ``12:07``, ``3h05``, ``2d``."""
    whole = max(0, int(seconds))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}"
    return f"{whole // 86_400}d"
