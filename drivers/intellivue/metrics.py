"""A monitor's codes -> rows of the gateway's table of metrics.

Context-free code = partition << 16 | term: the monitor's 16-bit codes are the standard's terms
of partition 2, so the mapping is arithmetic, with two exceptions:

- A few values have another term in the standard than with the vendor (:data:`SAME_AS`).
- Terms of F000 and above are the vendor's own. They get the private partition 1024, because
  2 << 16 | F001… are Wardgate's own (gateway/domain/terminology/README.md).

A numeric that is in no table is registered when it is first seen, with the unit that the
monitor gave it and no label: unlabelled is treated as identifying, so nothing of it leaves.
"""

from __future__ import annotations

import math

from drivers.intellivue.nomenclature import (
    PARTITION_METRICS,
    PARTITION_PRIVATE,
    PRIVATE_FIRST,
)
from drivers.intellivue.units import ucum
from gateway.domain import terms
from gateway.domain.labels import UNLABELLED

SAME_AS = {
    0x4822: terms.PULSE_RATE,  # from the plethysmogram
    0xF0E5: terms.code("MDC_PULS_RATE_NON_INV"),  # from the cuff
    0x50B0: terms.ETCO2,
    0x5000: terms.code("MDC_IMPED_TTHOR"),  # the respiration wave: the thorax's impedance
}

SEEN_METRICS_MAX = 512
"""Codes registered on sight, per process: a monitor has about 700 labels in all."""

_TERMS = {code: term for term, code in SAME_AS.items()}
_seen: set[int] = set()


def context_free(partition: int, term: int) -> int:
    """The code of a term; the vendor's own terms are moved to the private partition."""
    if term >= PRIVATE_FIRST:
        partition = PARTITION_PRIVATE
    return partition << 16 | term


def metric_code(physio_id: int) -> int:
    """The metric's code inside Wardgate."""
    return SAME_AS.get(physio_id) or context_free(PARTITION_METRICS, physio_id)


def wave_label(refid: str) -> int:
    """The label of a wave by which a monitor's list of waves names it.

    Raises:
        ValueError: no metric has this REFID, or none of a monitor's is it.
    """
    try:
        code = terms.code(refid)
    except LookupError as error:
        raise ValueError(str(error)) from error
    term = _TERMS.get(code, code & 0xFFFF)
    if code not in _TERMS and code >> 16 not in (PARTITION_METRICS, PARTITION_PRIVATE):
        raise ValueError(f"a monitor has no wave {refid}")
    return PARTITION_METRICS << 16 | term


def known(physio_id: int, unit_code: int) -> terms.Metric | None:
    """The metric's row, made on sight if need be.

    None when it has no row and can't get one: its unit is unknown, or there are too many.
    """
    code = metric_code(physio_id)
    row = terms.METRICS.get(code)
    if row is not None:
        return row
    unit = ucum(unit_code)
    if unit is None or len(_seen) >= SEEN_METRICS_MAX:
        return None
    _seen.add(code)
    name = f"{physio_id:04X}"
    row = terms.Metric(code, f"PHILIPS_{name}", unit, name, -math.inf, math.inf, UNLABELLED)
    terms.register(row)
    return row
