"""How a serial port is opened, and its bounds."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import msgspec

URL_SCHEMES: Final = ("rfc2217://", "socket://")


class SerialSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a port is opened; the line settings mean nothing to ``socket://``."""

    port: str
    """An absolute device path, or a URL of :data:`URL_SCHEMES`."""
    baud_rate: int = 115200
    data_bits: Literal[5, 6, 7, 8] = 8
    parity: Literal["none", "even", "odd", "mark", "space"] = "none"
    stop_bits: Literal[1, 2] = 1
    flow_control: Literal["none", "rts_cts", "xon_xoff"] = "none"

    def __post_init__(self) -> None:
        if not self.port.startswith(("/", *URL_SCHEMES)):
            raise ValueError("port must be an absolute path, socket:// or rfc2217://")
        if self.baud_rate <= 0:
            raise ValueError("baud_rate must be positive")


class SerialLimits(NamedTuple):
    """Bounds of one port."""

    received_bytes_max: int = 256 * 1024
    """Read and not yet taken by the loop: 22 s at 115200 baud."""
    queued_bytes_max: int = 64 * 1024
    """To be written; requests are a few dozen bytes."""
    write_s: float = 5.0
    """Without progress in writing: the link is lost (a flow control that never lets go)."""
    flush_s: float = 0.25
    """For what is still to be written when the port is closed."""
    rest_min_s: float = 0.5
    rest_max_s: float = 3.0
    """Before opening again; doubles between the two. Asking for a path that is not there costs
    nothing, and whoever plugs a cable in wants to see data."""
