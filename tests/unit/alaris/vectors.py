"""Frames that mdpnp wrote against two real pumps, and what they answered."""

import json
import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("WARDGATE_SHARED", _ROOT.parent / "shared")) / "captures/alaris"
needs_vectors = pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs captures/alaris beside the checkout (WARDGATE_SHARED)"
)

CHANGING = (
    b"!INF_BOLUS^ENABLED|E288\r",
    b"!INF_VTBI^ACTIV^11.000^ml^STOP|4433\r",
    b"!INF_VTBI^DEACT|D8C5\r",
    b"!REMQUERY^DEACT|F295\r",
    b"!REMOTE_CTRL^DISABLED|EF95\r",
    b"!INF_START|38F3\r",
    b"!INF_STOP|CD57\r",
    b"!REMOTE_CTRL^ENABLED^3CC1|B1F1\r",
    b"!REMOTE_CTRL^ENABLED^9535|FB2F\r",
    b"!INF_RATE^3.50^ml/h|3885\r",
    b"!INF_RATE^0.10^ml/h|D407\r",
    b"!INF_VI_CLEAR|A706\r",
)
"""What sets something, or takes control."""
ANSWERS = (
    b"!INST_SERIALNO^8002-51740|050B\r",
    b"!INST_SERIALNO^8002-51733|ACFF\r",
    b"!COMMS_PROTOCOL^Asena Rev 2.1.5|661A\r",
    b"!REMOTE_CTRL^ENABLED^****^PERMIT^0^ms|7BB0\r",
    b"!SYRINGE_STATUS^BD PLASTIPAK^ 50^CONF|1CF8\r",
    b"!SYRINGE_STATUS^BD PERFUSOR^ 50^CONF|4567\r",
    b"!ALARM^AL_NOALM^ ^ |C73B\r",
    b"!COMMS_RESPONSE_MAX^4000^ms|DFDF\r",
)
STATUS = b"!INF^8002-51740^-^SET^3.50^ml/h^^1.234^ml^17.91^mmHg^24+^EVENT^127904|"


def recorded():
    """Of the captures: the frames, and serial number -> code."""
    found = json.loads((SHARED / "alaris_asena_vectors.json").read_text())
    return [frame.encode() for frame in found["frames"]], found["security_code"]
