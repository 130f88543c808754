"""The recorded stream of a real monitor."""

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("WARDGATE_SHARED", _ROOT.parent / "shared")) / "captures/ivy450c"
needs_capture = pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs captures/ivy450c beside the checkout (WARDGATE_SHARED)"
)


def stream() -> bytes:
    """27 messages, behind the last bytes of one before."""
    return (SHARED / "Ivy450C.1.data").read_bytes()
