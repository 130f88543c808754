"""OBX segments -> rows: one value each, with what the segment says of it (IHE PCD TF-2, B.8).

- A row without a value is a container (MDS, VMD, channel), or a measurement that is not to be had.
- The gravest of OBX-8 (abnormal flags), OBX-11 (result status), the comparator of an SN and the
  message's processing id makes the value's quality. ``L``, ``H`` and the like are no flaw of the
  value: they go with it as an enumeration of the same metric.
- A coded value keeps its MDC code and its name. A string that is a REFID is a coded value, too.
"""

from __future__ import annotations

import math
from datetime import tzinfo
from typing import Final, NamedTuple

from drivers.hl7 import values
from drivers.hl7.codec import Composite, Segment
from drivers.hl7.metrics import NO_TERM, Term, metric_code, term
from drivers.hl7.quirks import PLACES, Quirk, ward_of
from drivers.hl7.units import unit
from gateway.domain.records import Quality

TEXT_CHARACTERS_MAX: Final = 256
SAMPLES_MAX: Final = 8192
"""Of one array; 16 s at 500 Hz."""

NUMERIC: Final = frozenset(("NM", "SN"))
CODED: Final = frozenset(("CWE", "CNE", "CE", "CF", "IS", "ID"))
TEXTUAL: Final = frozenset(("ST", "TX", "FT", "DTM", "TS", "DT", "TM", ""))

FLAGS: Final[dict[str, Quality]] = {
    "INV": Quality.INVALID,
    "QUES": Quality.QUESTIONABLE,
    "NAV": Quality.UNAVAILABLE,
    "CAL": Quality.CALIBRATING,
    "TEST": Quality.DEMO,
    "DEMO": Quality.DEMO,
    "<": Quality.UNDERFLOW,
    ">": Quality.OVERFLOW,
}
"""OBX-8: the measurement's state, of IEEE 11073 and HL7 table 0078."""
ABNORMAL: Final = frozenset(("L", "H", "LL", "HH", "A", "AA"))
STATUSES: Final[dict[str, Quality]] = {
    "X": Quality.QUESTIONABLE,
    "P": Quality.QUESTIONABLE,
    "S": Quality.QUESTIONABLE,
    "I": Quality.QUESTIONABLE,
    "D": Quality.INVALID,
    "W": Quality.INVALID,
    "N": Quality.INVALID,
    "O": Quality.INVALID,
}
"""OBX-11 of a row that has a value (HL7 table 0085); the others say that it stands."""
_GRAVITY: Final = (
    Quality.INVALID,
    Quality.UNAVAILABLE,
    Quality.DEMO,
    Quality.CALIBRATING,
    Quality.OVERFLOW,
    Quality.UNDERFLOW,
    Quality.QUESTIONABLE,
    Quality.VALID,
)


class Reading(NamedTuple):
    """How a message is to be read."""

    zone: tzinfo
    """Of times that name none."""
    quirk: Quirk
    training: bool
    """MSH-11 is not ``P``: nobody's measurements."""


class Row(NamedTuple):
    """One OBX."""

    path: str
    """OBX-4."""
    named: Term
    code: int
    """The metric's; 0 if it is none that we know."""
    kind: str
    """``number``, ``coded``, ``text``, ``array``, ``nothing`` or ``unsupported``."""
    value: float = math.nan
    quality: Quality = Quality.VALID
    unit: str = ""
    coded: Term = NO_TERM
    text: str = ""
    samples: tuple[float, ...] = ()
    flags: tuple[str, ...] = ()
    range: str = ""
    device_us: int = 0
    """OBX-14; 0: the order's time holds."""
    equipment: tuple[str, ...] = ()
    """OBX-18, the components of its first repetition."""
    ward: str = ""
    """Where the device is, in rows that tell it (quirks)."""

    @property
    def mds(self) -> str:
        """The device system that contains it: the first number of OBX-4."""
        first, dot, _ = self.path.partition(".")
        return first if dot else ""

    @property
    def is_mds(self) -> bool:
        """Whether it names the device system itself: ``1.0.0.0``."""
        return self.path.count(".") == 3 and self.path.endswith(".0.0.0")


def read_row(segment: Segment, reading: Reading) -> Row:
    """The row of an OBX segment.

    Raises:
        MalformedError: a field is longer than anything that is meant.
    """
    named = term(segment.components(3))
    flags: tuple[str, ...] = ()
    if segment.raw(8):
        flags = tuple(each[0].strip().upper() for each in segment.repetitions(8))
    equipment: Composite = ((),)
    if segment.raw(18):
        equipment = segment.repetitions(18)
    tells_place = named.refid in PLACES
    row = Row(
        segment.text(4)[:TEXT_CHARACTERS_MAX],
        named,
        metric_code(named),
        "nothing",
        flags=flags,
        range=segment.text(7)[:TEXT_CHARACTERS_MAX],
        device_us=values.time_us(segment.raw(14), reading.zone) if segment.raw(14) else 0,
        equipment=() if tells_place else equipment[0],
        ward=ward_of(equipment) if tells_place else "",
    )
    kind = segment.raw(2).strip().upper()
    if kind in NUMERIC:
        return _number(row, kind, segment, reading)
    if not segment.raw(5).strip():
        return row
    stated = _stated(flags, segment, reading)
    if kind in CODED:
        row = _coded(row, segment, stated)
    elif kind == "NA":
        row = _array(row, segment, stated)
    elif kind in TEXTUAL:
        row = _text(row, segment, stated)
    else:
        row = row._replace(kind="unsupported")
    return row


def _number(row: Row, kind: str, segment: Segment, reading: Reading) -> Row:
    row = row._replace(kind="number", unit=unit(segment.components(6)))
    stated = _stated(row.flags, segment, reading)
    if not segment.raw(5).strip():
        lacking = stated if stated in (Quality.INVALID, Quality.CALIBRATING) else None
        return row._replace(quality=lacking or Quality.UNAVAILABLE)
    if kind == "SN":
        found = values.structured(segment.components(5))
        if found is None:
            text = segment.text(5)[:TEXT_CHARACTERS_MAX]
            return row._replace(kind="text", text=text, quality=stated)
    else:
        value = values.number(segment.components(5)[0])
        found = values.Number(value, Quality.INVALID if math.isnan(value) else Quality.VALID)
    return row._replace(value=found.value, quality=gravest(stated, found.quality))


def _coded(row: Row, segment: Segment, stated: Quality) -> Row:
    components = segment.components(5)
    found = term(components)
    if not found.refid and len(components) < 3:
        # No system: ``^pump-status-infusing``, ``ON``, ``1^on``. The text says what is meant.
        words = [each.strip() for each in reversed(components[:2]) if each.strip()]
        found = Term(0, "", words[0] if words else "")
    return row._replace(kind="coded", coded=found, quality=stated)


def _text(row: Row, segment: Segment, stated: Quality) -> Row:
    text = segment.text(5)[:TEXT_CHARACTERS_MAX]
    refid = term((text,)).refid
    if refid:
        return row._replace(kind="coded", coded=Term(0, refid), quality=stated)
    return row._replace(kind="text", text=text, quality=stated)


def _array(row: Row, segment: Segment, stated: Quality) -> Row:
    entries = segment.array(5, SAMPLES_MAX)
    samples = tuple(map(values.number, entries or ()))
    if not samples or any(map(math.isnan, samples)):
        return row._replace(kind="unsupported")
    sampled_in = unit(segment.components(6))
    return row._replace(kind="array", samples=samples, unit=sampled_in, quality=stated)


def _stated(flags: tuple[str, ...], segment: Segment, reading: Reading) -> Quality:
    """What flags, status and processing id say of a value."""
    status = segment.raw(11).strip().upper()
    if status == "X" and reading.quirk.x_is_a_result:
        status = "R"
    found = [FLAGS[flag] for flag in flags if flag in FLAGS]
    found.append(STATUSES.get(status, Quality.VALID))
    if reading.training:
        found.append(Quality.DEMO)
    return gravest(*found)


def gravest(*qualities: Quality) -> Quality:
    """The one that says most against a value."""
    return min(qualities, key=_GRAVITY.index)
