"""What decoding raises over bytes that are not what they should be."""

from __future__ import annotations

from typing import Final

import msgspec

UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""Of msgspec's ``decode``. The last two are Python's own: ValueError for a text that is no UTF-8,
and in TOML for a number of more digits than Python reads (4300); RecursionError for what is nested
deeper than Python's stack, which takes a peer a thousand bytes."""
