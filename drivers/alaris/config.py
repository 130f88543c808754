"""The driver's configuration: one entry per pump."""

from __future__ import annotations

from drivers.base.lines import BoundLines, BoundPort

POLL_S_MIN, POLL_S_MAX = 0.5, 60.0
"""A round takes about 0.2 s; a pump that answers nothing keeps it busy for 4 s."""
SILENCE_S_MIN = 5.0


class PumpPort(BoundPort, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One serial port and the pump that the gateway attests behind it."""

    baud_rate: int = 38400
    poll_s: float = 2.0
    """Between two rounds of questions."""
    silence_s: float = 15.0
    """Without an answer: the pump is offline."""
    serial_number: str = ""
    """Of the pump (``8002-51740``); what another one says is not taken. Empty: any."""

    def __post_init__(self) -> None:
        self.check()
        if not POLL_S_MIN <= self.poll_s <= POLL_S_MAX:
            raise ValueError(f"poll_s must be {POLL_S_MIN} to {POLL_S_MAX}")
        if self.silence_s < max(SILENCE_S_MIN, 2 * self.poll_s):
            raise ValueError(f"silence_s must be at least {SILENCE_S_MIN} and twice poll_s")


class AlarisConfig(BoundLines, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The pumps of one driver instance."""

    pumps: tuple[PumpPort, ...]
