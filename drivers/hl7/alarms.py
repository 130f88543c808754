"""PCD-04 -> alarms: the rows of one alert, and the phases of one condition (IHE PCD TF-2, PCD-04).

- An alert is one order (OBR) with an event row and its facets. The event is the coded value of
  ``MDC_EVT_ALARM``, or the row at the first facet itself; a code 0 is told by its REFID or text.
- ``start`` begins, ``end`` and ``reset`` end, whatever else is said updates; without a phase the
  state (``active``, ``inactive``) says it. ``tpoint`` is an event of one moment: no alarm.
- Priority PH, PM, PL and type SP, ST, SA come from rows of their own or from OBX-8. ``PN`` is no
  alarm (the sender's own heartbeat is one of these). Where nothing is said: MEDIUM, TECHNICAL.
- A condition's alarm id is made of the message that began it, and held until its end, also across
  a restart; the device's own numbers for an alert differ between its messages.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from drivers.hl7.metrics import Term
from drivers.hl7.observation import TEXT_CHARACTERS_MAX, Row
from drivers.hl7.quirks import FACETS
from gateway.domain import terms
from gateway.domain.ports import StateDelta, StateView
from gateway.domain.records import AlarmKind, AlarmPhase, AlarmPriority

SPACE: Final = "hl7.alarms"
"""State space: device and condition -> the id of the alarm that stands."""
STANDING_MAX: Final = 20_000
ENDED_MAX: Final = 1024
ALARM_ID_BYTES: Final = 12
CONDITION_CHARACTERS_MAX: Final = 64

PRIORITIES: Final = {
    "PH": AlarmPriority.HIGH,
    "PM": AlarmPriority.MEDIUM,
    "PL": AlarmPriority.LOW,
    "HIGH": AlarmPriority.HIGH,
    "MEDIUM": AlarmPriority.MEDIUM,
    "LOW": AlarmPriority.LOW,
}
NO_ALARM: Final = "PN"
KINDS: Final = {
    "SP": AlarmKind.PHYSIOLOGICAL,
    "ST": AlarmKind.TECHNICAL,
    "SA": AlarmKind.ADVISORY,
}
PHASES: Final = {
    "start": AlarmPhase.START,
    "present": AlarmPhase.START,
    "end": AlarmPhase.END,
    "reset": AlarmPhase.END,
}
"""All other words update."""
STATES: Final = {"active": AlarmPhase.START, "inactive": AlarmPhase.END}
WORDS: Final = frozenset(("phase", "state", "inactivation", "priority", "type"))
MOMENT: Final = "tpoint"
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")
_RANGE = re.compile(r"([+-]?\d+(?:\.\d+)?)?\s*([-<>])\s*=?\s*([+-]?\d+(?:\.\d+)?)?", re.ASCII)


class Alert(NamedTuple):
    """What the rows of one order say of an alarm."""

    event: Term
    phase: AlarmPhase | None
    """None: an event of one moment, or no alarm."""
    priority: AlarmPriority
    kind: AlarmKind
    text: str
    condition: str
    code: int
    codes: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    limit: float = 0.0


def facet(row: Row) -> str:
    """Which part of an alert a row is; empty if it is a measurement."""
    return FACETS.get(row.named.code, "") or FACETS.get(row.named.refid, "")


def read_alert(rows: Sequence[Row]) -> Alert | None:
    """The alert of one order's rows; None if there is no event among them."""
    said: dict[str, Row] = {}
    measured: list[Row] = []
    for row in rows:
        name = facet(row)
        if name:
            said.setdefault(name, row)
        elif row.path.endswith(".1") and row.path.count(".") >= 4 and "event" not in said:
            said["event"] = row
        elif row.kind == "number" and row.code and not math.isnan(row.value):
            measured.append(row)
    if "event" not in said:
        return None
    event, text = _event(said["event"])
    text = _word(said.get("text")) or text or event.text or event.refid
    flags = [flag for row in rows for flag in row.flags]
    priority = _word(said.get("priority")).upper() or next(
        (flag for flag in flags if flag in PRIORITIES or flag == NO_ALARM), ""
    )
    kind = _word(said.get("type")).upper() or next((flag for flag in flags if flag in KINDS), "")
    source = measured[0] if measured else None
    return Alert(
        event,
        None if priority == NO_ALARM else _phase(said),
        PRIORITIES.get(priority, AlarmPriority.MEDIUM),
        KINDS.get(kind, AlarmKind.TECHNICAL),
        text[:TEXT_CHARACTERS_MAX],
        _condition(event, text),
        event.code if event.code >> 16 == 3 else terms.DEVICE_ALARM,
        tuple(row.code for row in measured),
        tuple(row.value for row in measured),
        0.0 if source is None else _limit(source),
    )


def words(rows: Sequence[Row], alert: Alert) -> list[Row]:
    """The rows of an alert for its report: facets are words, not texts of a person's.

    The text is the alarm's, if there is one.
    """
    told = alert.phase is not None
    kept = [row for row in rows if not (told and facet(row) == "text")]
    return [
        row._replace(kind="coded", coded=Term(0, "", row.text))
        if row.kind == "text" and facet(row) in WORDS
        else row
        for row in kept
    ]


class Standing:
    """The alarms that stand, by device and condition."""

    def __init__(self, state: StateView) -> None:
        self._ids = dict(state.items(SPACE))
        self._ended: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        """Condition and message of ends: an end that was not committed comes again."""

    def turn(
        self, device_id: str, alert: Alert, message_id: str
    ) -> tuple[str, AlarmPhase, StateDelta]:
        """The alarm's id and phase, and what is to be committed with it.

        An update of a condition that is not known to stand begins it: the gateway was not there
        when it began.
        """
        assert alert.phase is not None
        key = f"{device_id}\n{alert.condition}"
        known = self._ids.get(key)
        fresh = _alarm_id(key, message_id)
        if alert.phase is AlarmPhase.END:
            ended = self._ids.pop(key, None) or self._ended.get((key, message_id), fresh)
            self._ended[(key, message_id)] = ended
            if len(self._ended) > ENDED_MAX:
                self._ended.popitem(last=False)
            return ended.decode(), AlarmPhase.END, StateDelta(SPACE, key, None)
        if known is None or alert.phase is AlarmPhase.START:
            if known is None and len(self._ids) >= STANDING_MAX:
                del self._ids[next(iter(self._ids))]
            self._ids[key] = fresh
            return fresh.decode(), AlarmPhase.START, StateDelta(SPACE, key, fresh)
        return known.decode(), alert.phase, StateDelta(SPACE, key, known)


def _alarm_id(key: str, message_id: str) -> bytes:
    """The same for the same message: a repeat begins no second alarm."""
    content = f"{key}\n{message_id}".encode("utf-8", "replace")
    return blake2b(content, digest_size=ALARM_ID_BYTES).hexdigest().encode()


def _event(row: Row) -> tuple[Term, str]:
    """The event that a row names, and a text of its own."""
    if facet(row) == "event":
        if row.kind == "coded":
            return row.coded, row.coded.text
        return Term(0, "", row.text), row.text
    return row.named, row.text or row.coded.text or row.coded.refid


def _word(row: Row | None) -> str:
    if row is None:
        return ""
    return (row.text or row.coded.text or row.coded.refid).strip()


def _phase(said: Mapping[str, Row]) -> AlarmPhase | None:
    word = _word(said.get("phase")).lower()
    if word == MOMENT:
        return None
    if not word:
        return STATES.get(_word(said.get("state")).lower(), AlarmPhase.START)
    return PHASES.get(word, AlarmPhase.UPDATE)


def _condition(event: Term, text: str) -> str:
    """A stable name: ``fluid_line_occl`` of MDC_EVT_FLUID_LINE_OCCL."""
    name = event.refid.removeprefix("MDC_EVT_").removeprefix("MDCX_EVT_")
    name = name or (str(event.code) if event.code else text)
    word = _NOT_A_WORD.sub("_", name.lower()).strip("_")
    return f"hl7_{word or 'alarm'}"[:CONDITION_CHARACTERS_MAX]


def _limit(row: Row) -> float:
    """The limit of the row's range (OBX-7: ``90-160``, ``<500``) that its value is beyond."""
    found = _RANGE.fullmatch(row.range.strip())
    if found is None:
        return 0.0
    first, sign, second = found[1], found[2], found[3]
    if sign == "-" and first and second:
        low, high = float(first), float(second)
        return low if row.value < low else high if row.value > high else 0.0
    return float(second) if second and not first else 0.0
