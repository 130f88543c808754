"""The public RTMMS tables (state of 2019), read with their known flaws handled.

- A term's context-free code is partition << 16 | code; a few rows say otherwise and are left out.
- The ST leads stand in partition 0 instead of 2: what is written there is a discriminator.
- ``CF_UCODE10`` of the Rosetta table repeats the term's code: units are joined through ``UOM_MDC``.
- Rows for trying the tool out (``test``) say nothing.
- Some units have a code of none of theirs (``MDC_DIM_SEC``), or a spelling that is another unit's
  (``MDC_DIM_X_AMPS`` as ``a``).
"""

import csv
import os
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

_ROOT = Path(__file__).resolve().parents[3]
TABLES = Path(os.environ.get("WARDGATE_SHARED", _ROOT.parent / "shared")) / "terminology"

needs_tables = pytest.mark.skipif(
    not TABLES.is_dir(), reason="needs terminology/ beside the checkout (WARDGATE_SHARED)"
)

METRICS = 2
"""The partition of supervisory and clinical measurements."""
PREFIXES = {"KILO": 3, "HECTO": 2, "DECI": 16, "CENTI": 17, "MILLI": 18, "MICRO": 19, "NANO": 20}
"""What a decimal prefix adds to the code of the unit that is named with an X in its place."""


class Term(NamedTuple):
    codes: frozenset[int]
    units: frozenset[str]
    """Names of units (MDC_DIM_…); empty: it is no number, or the table does not say."""


def _rows(name: str) -> list[dict[str, str]]:
    with (TABLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _is_a_trial(row: dict[str, str]) -> bool:
    return any("test" in row[column].lower().split() for column in ("Display Name", "Description"))


def terms() -> dict[str, Term]:
    """By REFID."""
    codes: dict[str, set[int]] = defaultdict(set)
    units: dict[str, set[str]] = defaultdict(set)
    for row in _rows("rtmms_rosetta_terms.csv"):
        if not (row["Part"].isdigit() and row["CODE10"].isdigit()) or _is_a_trial(row):
            continue
        partition = int(row["Part"])
        if str(partition << 16 | int(row["CODE10"])) != row["CF_CODE10"]:
            continue
        partition = partition or METRICS
        codes[row["REFID"]].add(partition << 16 | int(row["CODE10"]))
        units[row["REFID"]].update(row["UOM_MDC"].split())
    return {refid: Term(frozenset(codes[refid]), frozenset(units[refid])) for refid in codes}


class DeclaredUnit(NamedTuple):
    code: int
    ucum: frozenset[str]


def units() -> dict[str, DeclaredUnit]:
    """By REFID; also those that the table only has with an X for the decimal prefix."""
    found: dict[str, DeclaredUnit] = {}
    for row in _rows("rtmms_unit_terms.csv"):
        if row["UCODE10"].isdigit():
            code = 4 << 16 | int(row["UCODE10"])
            found[row["UOM_MDC"]] = DeclaredUnit(code, frozenset(row["UOM_UCUM"].split()))
    for name, unit in list(found.items()):
        if "_X_" in name:
            for prefix, added in PREFIXES.items():
                prefixed = name.replace("_X_", f"_{prefix}_", 1)
                found.setdefault(prefixed, DeclaredUnit(unit.code + added, frozenset()))
    return found
