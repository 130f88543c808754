"""Which of a pump's sources delivers: its values come first (IHE PCD, Infusion Pump Model).

A channel with a piggyback has two sources, each a container (OBX-4 ``1.1.2.0``, ``1.1.3.0``) with a
rate, a volume and a time left of its own, and says which one is active
(``pump-source-info-secondary``). A report has the values of both; who takes the first of a metric
takes that of the source which runs.
"""

from __future__ import annotations

from typing import Final

from drivers.hl7.observation import Row
from gateway.domain import terms

ACTIVE: Final = "pump-source-info-"
CONTAINERS: Final = (
    "MDC_DEV_PUMP_INFUSATE_SOURCE_",
    "MDC_DEV_PUMP_SOURCE_",
    "MDC_DEV_PUMP_INFUS_CHAN_",
)
"""How the REFIDs of the containers begin; behind it stands which one it is."""


def active_first(rows: list[Row]) -> list[Row]:
    """The rows, those of the active source before the others; else in their order."""
    active = {
        word
        for row in rows
        if row.code == terms.ACTIVE_SOURCE and (word := _named(row)) is not None
    }
    first = [prefix for row in rows if _source(row) in active and (prefix := _channel(row))]
    if not first:
        return rows
    return sorted(rows, key=lambda row: not any(row.path.startswith(each) for each in first))


def _named(row: Row) -> str | None:
    """``SECONDARY`` of ``^pump-source-info-secondary``."""
    word = row.coded.text or row.coded.refid or row.text
    return word.removeprefix(ACTIVE).upper() if word.startswith(ACTIVE) else None


def _source(row: Row) -> str:
    """Which source a container is; empty if it is none."""
    for start in CONTAINERS:
        if row.kind == "nothing" and row.named.refid.startswith(start):
            return row.named.refid.removeprefix(start).removesuffix("_CHAN")
    return ""


def _channel(row: Row) -> str:
    """What the paths of a container's rows begin with: ``1.1.3.`` of ``1.1.3.0``."""
    head, dot, last = row.path.rpartition(".")
    return head + dot if last == "0" else ""
