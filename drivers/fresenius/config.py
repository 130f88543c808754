"""The driver's configuration: one entry per pump; those of one base have the same port."""

from __future__ import annotations

from drivers.base.lines import BoundLines, BoundPort
from drivers.fresenius.codec import MODULES_MAX
from drivers.transport.serial import SerialSettings

POLL_S_MIN, POLL_S_MAX = 0.5, 60.0
SILENCE_S_MIN = 5.0


class PumpPort(BoundPort, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A pump behind one serial port, by itself or in a base."""

    baud_rate: int = 19200
    module: int | None = None
    """Its place in the base, from 1; none: it is on the port by itself."""
    poll_s: float = 5.0
    """Between two questions for its values."""
    silence_s: float = 30.0
    """Without an answer: the pump is offline."""

    def __post_init__(self) -> None:
        self.check()
        if self.module is not None and not 1 <= self.module <= MODULES_MAX:
            raise ValueError(f"module must be 1 to {MODULES_MAX}")
        if not POLL_S_MIN <= self.poll_s <= POLL_S_MAX:
            raise ValueError(f"poll_s must be {POLL_S_MIN} to {POLL_S_MAX}")
        if self.silence_s < max(SILENCE_S_MIN, 2 * self.poll_s):
            raise ValueError(f"silence_s must be at least {SILENCE_S_MIN} and twice poll_s")

    def settings(self) -> SerialSettings:
        """Seven data bits, even parity, one stop bit."""
        return SerialSettings(port=self.port, baud_rate=self.baud_rate, data_bits=7, parity="even")

    @property
    def station(self) -> int | None:
        """See the base's."""
        return self.module


class FreseniusConfig(BoundLines, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The pumps of one driver instance."""

    pumps: tuple[PumpPort, ...]
