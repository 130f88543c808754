"""Statistics over windows of one lane, for one destination.

Rules:

1. A window is a span of commit times, aligned to UTC. It begins with the first group of it that has
   something to aggregate, and is closed by the first group behind it, of another epoch, or
   collected under another policy. So the journal's groups alone decide where it begins, what is in
   it and where it ends: read again after a crash, it is the same to the byte. A clock that was
   set back puts nothing into a window that was closed.
2. Nothing about fewer than ``devices_min`` devices leaves, nor a statistic of which one device gave
   more than SHARE_MAX of the values: the others would be noise around one patient's mean. There is
   no smallest and no largest value, and numbers are rounded to DIGITS digits.
3. Where the beginning is not known to be a window's (a receiver that says it lost data asks for
   it), the first window is withheld whole: whoever chose the ends could take two windows that
   differ by one device from each other.
4. Memory is bounded by CELLS_MAX and PAIRS_MAX. A cell that is not counted whole is withheld.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from google.protobuf.message import DecodeError

from gateway.domain.errors import MalformedError
from gateway.domain.labels import Label
from gateway.domain.records import AlarmPhase, Quality
from gateway.journal.types import StoredGroup
from gateway.uplink.treatments import is_word
from gateway.wire.sections import encode_section
from protos.wardgate.v1 import ingest_pb2 as pb

SHARE_MAX = 0.5
"""Of a cell's values from one device."""
DIGITS = 4
CELLS_MAX = 4096
"""Statistics and counts of one window: 60 bytes each on the wire."""
PAIRS_MAX = 200_000
"""Devices of all cells of one window together, about 100 bytes each."""
KINDS_MAX = 4096
"""Distinct combinations of cells among a window's records."""
_START, _VALID = int(AlarmPhase.START), int(Quality.VALID)


class AggregateConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[destinations.aggregate]``."""

    window_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 300
    devices_min: Annotated[int, msgspec.Meta(ge=3)] = 5
    """Of two devices, whoever has one would know the other."""


class _Numbers(NamedTuple):
    """A cell of values."""

    kind: str
    code: int


class _Alarms(NamedTuple):
    """A cell of alarms."""

    condition: str
    priority: int


_Cell = _Numbers | _Alarms


class _Sums:
    """Welford's running mean and squared distance, and how much each device gave."""

    __slots__ = ("by_device", "mean", "n", "squares", "whole")

    def __init__(self) -> None:
        self.by_device: dict[str, int] = {}
        self.n = 0
        self.mean = 0.0
        self.squares = 0.0
        self.whole = True

    def add(self, value: float) -> None:
        self.n += 1
        distance = value - self.mean
        self.mean += distance / self.n
        self.squares += distance * (value - self.mean)


class Closed(NamedTuple):
    """What a window says of one label, and how many records are in it and left out of it."""

    label: Label
    collected_under: str
    epoch: int
    first_seq: int
    last_seq: int
    section: bytes | None
    """Serialised; None where nothing may leave."""
    records: int
    withheld: int


class Window:
    """One window while it is open."""

    def __init__(self, group: StoredGroup, window_us: int) -> None:
        self.first_seq = group.first_seq
        self.last_seq = group.last_seq
        self._epoch = group.epoch
        self.policy = group.policy_version
        """Under which its records were collected."""
        self._from_us = group.committed_us - group.committed_us % window_us
        self._to_us = self._from_us + window_us
        self._labels: dict[Label, dict[_Cell, _Sums]] = {}
        self._kinds: dict[Label, Counter[frozenset[_Cell]]] = {}
        self._others: Counter[Label] = Counter()
        """Records whose combination is one too many; counted as if they were in what leaves."""
        self.records: Counter[Label] = Counter()
        """What was taken in, whether or not it counts."""
        self._cells = self._pairs = 0

    def is_closed_by(self, group: StoredGroup) -> bool:
        """Whether a group is behind it."""
        if group.epoch != self._epoch:
            return True
        lost = not group.committed_us
        return not lost and (
            group.committed_us >= self._to_us or group.policy_version != self.policy
        )

    def add(self, label: Label, body: bytes) -> None:
        """Take a section in.

        Raises:
            MalformedError: it is none; nothing of it was taken in.
        """
        try:
            section = pb.Section.FromString(body)
        except DecodeError as error:
            raise MalformedError("section", str(error)) from error
        cells = self._labels.setdefault(label, {})
        kinds = self._kinds.setdefault(label, Counter())
        self.records[label] += len(section.records)
        for record in section.records:
            body_name = record.WhichOneof("body")
            if body_name == "report":
                found = self._report(cells, record.report)
            elif body_name == "alarm":
                found = self._alarm(cells, record.alarm)
            else:
                continue
            if found and found not in kinds and len(kinds) >= KINDS_MAX:
                self._others[label] += 1
            elif found:
                kinds[found] += 1

    def _report(self, cells: dict[_Cell, _Sums], report: pb.Report) -> frozenset[_Cell]:
        kind = report.kind if is_word(report.kind) else ""
        values, qualities = report.values, report.qualities
        device, found = report.device_id, set()
        for place, (code, value) in enumerate(zip(report.codes, values, strict=False)):
            valid = not qualities or (place < len(qualities) and qualities[place] == _VALID)
            if valid and math.isfinite(value):
                cell = _Numbers(kind, code)
                sums = self._count(cells, cell, device)
                if sums is not None:
                    sums.add(value)
                    found.add(cell)
        return frozenset(found)

    def _alarm(self, cells: dict[_Cell, _Sums], alarm: pb.Alarm) -> frozenset[_Cell]:
        if alarm.phase != _START or not is_word(alarm.condition):
            return frozenset()
        cell = _Alarms(alarm.condition, alarm.priority)
        sums = self._count(cells, cell, alarm.device_id)
        if sums is None:
            return frozenset()
        sums.n += 1
        return frozenset((cell,))

    def _count(self, cells: dict[_Cell, _Sums], cell: _Cell, device: str) -> _Sums | None:
        """The sums of a cell to which a device adds; None where there is no room for it."""
        sums = cells.get(cell)
        if sums is None:
            if self._cells >= CELLS_MAX:
                return None
            self._cells += 1
            sums = cells[cell] = _Sums()
        given = sums.by_device.get(device, 0)
        if not given:
            if self._pairs >= PAIRS_MAX:
                sums.whole = False
                return None
            self._pairs += 1
        sums.by_device[device] = given + 1
        return sums

    def drop(self, labels: Collection[Label]) -> list[Closed]:
        """Take labels out; what is withheld by that."""
        dropped = []
        for label in sorted(labels):
            if records := self.records.pop(label, 0):
                dropped.append(self._said(label, None, 0, records))
            self._labels.pop(label, None)
            self._kinds.pop(label, None)
            self._others.pop(label, None)
        return dropped

    def close(self, devices_min: int, *, known: bool) -> list[Closed]:
        """What it says, by label; with ``known`` false nothing."""
        return [
            self._closed(label, cells, devices_min if known else 0)
            for label, cells in sorted(self._labels.items())
        ]

    def _closed(self, label: Label, cells: Mapping[_Cell, _Sums], devices_min: int) -> Closed:
        shown = {cell: sums for cell, sums in cells.items() if _shows(sums, devices_min)}
        if not shown:
            rest = self.records[label]
            return self._said(label, None, 0, rest)
        records = self._others[label] + sum(
            n for kind, n in self._kinds[label].items() if not kind.isdisjoint(shown)
        )
        rest = self.records[label] - records
        message = pb.Aggregate(
            from_us=self._from_us,
            to_us=self._to_us,
            epoch=self._epoch,
            first_seq=self.first_seq,
            last_seq=self.last_seq,
            devices_min=devices_min,
            records=records,
        )
        for cell, sums in sorted(shown.items(), key=lambda item: (str(item[0][0]), item[0][1])):
            _tell(message, cell, sums)
        codes = sorted({cell.code for cell in shown if isinstance(cell, _Numbers)})
        encoded = pb.Record(aggregate=message).SerializeToString(deterministic=True)
        section = encode_section(label, 0, (), [encoded], codes, pb.TREATMENT_AGGREGATE)
        return self._said(label, section, records, rest)

    def _said(self, label: Label, section: bytes | None, records: int, withheld: int) -> Closed:
        place = (self._epoch, self.first_seq, self.last_seq)
        return Closed(label, self.policy, *place, section, records, withheld)


class Windows:
    """The windows of one lane as its groups go by, under one release."""

    def __init__(self, config: AggregateConfig, at: int, *, known: bool) -> None:
        """Begin behind record ``at``.

        Args:
            config: the destination's.
            at: the last record that went by.
            known: whether a window may begin there.
        """
        self.at = at
        self._config = config
        self.known = known
        """Whether the open window is whole."""
        self._open: Window | None = None
        self._forgone: list[Closed] = []

    @property
    def hold(self) -> int:
        """Everything behind it is needed to make the open window again, and what is owed."""
        begun = [each.first_seq for each in self._forgone]
        if self._open is not None:
            begun.append(self._open.first_seq)
        return min([self.at, *(seq - 1 for seq in begun)])

    @property
    def owes(self) -> bool:
        """Whether something is to be told with the next group."""
        return bool(self._forgone)

    @property
    def held(self) -> int:
        """Records that went by and were not entered yet: in the open window, or owed."""
        owed = sum(each.records + each.withheld for each in self._forgone)
        return owed + (self._open.records.total() if self._open is not None else 0)

    @property
    def is_open(self) -> bool:
        """Whether there is a window that is not closed yet."""
        return self._open is not None

    def pass_by(self, group: StoredGroup) -> list[Closed]:
        """The next group comes; what the window says that it closes.

        A group that was not the one after ``at`` is a caller's mistake.
        """
        closed, self._forgone = self._forgone, []
        if self._open is not None and self._open.is_closed_by(group):
            closed += self._open.close(self._config.devices_min, known=self.known)
            self._open, self.known = None, True
        elif self._open is not None:
            self._open.last_seq = group.last_seq
        self.at = group.last_seq
        return closed

    def under(self, config: AggregateConfig, keeps: Callable[[str, Label], bool]) -> Windows:
        """Go on under other settings, or another release; these are not to be used any more.

        What the open window holds and must not stay in it is withheld, and told with the next
        group: all of it where windows have another length now, since nobody could say which of
        them it belongs to.

        Args:
            config: from now on.
            keeps: whether what was collected under a policy, with a label, is aggregated now.
        """
        next_ = Windows(config, self.at, known=self.known)
        next_._open, next_._forgone = self._open, list(self._forgone)
        held = self._open
        if held is not None:
            all_go = config.window_s != self._config.window_s
            gone = [label for label in held.records if all_go or not keeps(held.policy, label)]
            next_._forgone += held.drop(gone)
            if not held.records:
                next_._open = None
                next_.known = self.known or all_go
        return next_

    def add(self, group: StoredGroup, label: Label, body: bytes) -> None:
        """Take in a section of the group that went by last.

        Raises:
            MalformedError: it is none; the window does not have it.
        """
        if self._open is None:
            self._open = Window(group, self._config.window_s * 1_000_000)
        self._open.add(label, body)


def _shows(sums: _Sums, devices_min: int) -> bool:
    return (
        devices_min > 0
        and sums.whole
        and len(sums.by_device) >= devices_min
        and max(sums.by_device.values()) <= SHARE_MAX * sums.n
    )


def _tell(message: Any, cell: _Cell, sums: _Sums) -> None:
    if isinstance(cell, _Numbers):
        message.statistics.add(
            kind=cell.kind,
            code=cell.code,
            devices=len(sums.by_device),
            values=sums.n,
            mean=_rounded(sums.mean),
            standard_deviation=_rounded(math.sqrt(sums.squares / sums.n)),
        )
    else:
        message.alarm_counts.add(
            condition=cell.condition,
            priority=cell.priority,
            devices=len(sums.by_device),
            alarms=sums.n,
        )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
