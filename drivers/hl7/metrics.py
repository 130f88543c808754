"""OBX-3 -> the metric's code.

A code of the standard (system ``MDC``) counts, from the first triple or the alternate one. Senders
give terms that had no code yet the code 0: then the REFID counts, as it does for a code that we
have no row for. A number of a metric without a row gets one on sight, with the sender's unit and
no label: unlabelled is treated as identifying, so nothing of it leaves.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final, NamedTuple

from drivers.hl7.quirks import CODES
from gateway.domain import terms
from gateway.domain.labels import UNLABELLED

SEEN_METRICS_MAX: Final = 512
"""Registered on sight, per process."""
_REFID = re.compile(r"MDCX?_[A-Za-z0-9_]{1,60}", re.ASCII)
_DIGITS_MAX: Final = 9
REMEMBERED_MAX: Final = 4096
"""Terms; a device names the same ones in each message."""

_seen: set[int] = set()


class Term(NamedTuple):
    """A term of IEEE 11073-10101, as a message names it."""

    code: int
    """0: it has none, or none that we know."""
    refid: str
    text: str = ""
    """The original text (CWE.9), or what stands in the place of the REFID."""


NO_TERM: Final = Term(0, "")


@lru_cache(maxsize=REMEMBERED_MAX)
def term(components: tuple[str, ...]) -> Term:
    """The term that a coded value names; ``NO_TERM`` if it is none of the standard's."""
    original = components[8].strip() if len(components) > 8 else ""
    for first in (0, 3):
        triple = [each.strip() for each in components[first : first + 3]]
        code, name, system = (*triple, "", "", "")[:3]
        if system == "MDC" or _REFID.fullmatch(name) or _REFID.fullmatch(code):
            refid = name if _REFID.fullmatch(name) else code if _REFID.fullmatch(code) else ""
            return Term(_code(code), refid, original or ("" if refid else name))
    bare = components[0].strip()
    return Term(_code(bare), "", original) if len(components) == 1 else NO_TERM


def metric_code(named: Term) -> int:
    """The code of the metric; 0 if it has none that we know or could take over."""
    if named.code in terms.METRICS:
        return named.code
    return CODES.get(named.refid) or _code_of(named.refid) or named.code


def row(code: int, named: Term, unit: str) -> terms.Metric | None:
    """The metric's row, made on sight if need be; None if that can't be."""
    known = terms.METRICS.get(code)
    if known is not None:
        return known
    if not unit or code >> 16 == 0 or len(_seen) >= SEEN_METRICS_MAX:
        return None
    refid = named.refid or f"MDC_{code}"
    _seen.add(code)
    made = terms.Metric(code, refid, unit, refid, -math.inf, math.inf, UNLABELLED)
    terms.register(made)
    return made


def _code(text: str) -> int:
    plain = text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
    return int(text) if plain else 0


def _code_of(refid: str) -> int:
    try:
        return terms.code(refid)
    except LookupError:
        return 0
