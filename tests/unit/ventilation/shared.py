"""Where the material for comparison lies."""

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("WARDGATE_SHARED", _ROOT.parent / "shared"))
TABLES = SHARED / "captures/mdpnp_tables"
LABELS = SHARED / "captures/intellivue/nomenclature/PhysioLabels.txt"
EVENTS = SHARED / "captures/intellivue/nomenclature/EventTypes.txt"
ROSETTA = SHARED / "terminology/rtmms_rosetta_terms.csv"
UNITS = SHARED / "terminology/rtmms_unit_terms.csv"
ENUMERATIONS = SHARED / "terminology/rtmms_enum_terms.csv"

needs_shared = pytest.mark.skipif(
    not TABLES.is_dir(), reason="needs captures and terminology beside the checkout"
)
