"""PCD-04 -> alarms: the rows of one alert, and the phases of one condition (IHE PCD TF-2, PCD-04).

- An alert is one order (OBR) with an event row and its facets. The event is the coded value of
  ``MDC_EVT_ALARM``, or the row at the first facet itself; a code 0 is told by its REFID or text.
- ``start`` begins, ``end`` and ``reset`` end, whatever else is said updates; without a phase the
  state (``active``, ``inactive``) says it. ``tpoint`` is an event of one moment: no alarm.
- Priority PH, PM, PL and type SP, ST, SA come from rows of their own or from OBX-8. ``PN`` is no
  alarm (the sender's own heartbeat is one of these). Where nothing is said: MEDIUM, TECHNICAL.
- A condition is told apart by its event alone: the device's own numbers for an alert differ between
  its messages. Which alarm it is, and whether it stands, the gateway's alarm engine keeps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from drivers.hl7.metrics import Term
from drivers.hl7.observation import TEXT_CHARACTERS_MAX, Row
from drivers.hl7.quirks import EVENTS, FACETS
from gateway.domain import terms
from gateway.domain.records import AlarmKind, AlarmPhase, AlarmPriority

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
_EVENTS: Final = 3
"""The partition of events."""
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
        event_code(event) or terms.DEVICE_ALARM,
        tuple(row.code for row in measured),
        tuple(row.value for row in measured),
        0.0 if source is None else _limit(source),
    )


def event_code(event: Term) -> int:
    """The event's code of the standard; 0: it has none, or none that we know."""
    return event.code if event.code >> 16 == _EVENTS else EVENTS.get(event.refid, 0)


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
