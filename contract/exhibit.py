"""What a driver's author gives the contract suite: the device's side, and how to show a number.

An exhibit is found by the entry point group ``wardgate.exhibits``; a driver that is registered
without one fails the suite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from gateway.domain.statements import Statement

GROUP = "wardgate.exhibits"
DEVICE_ID = "exhibit-1"


class Reach(Enum):
    """How device and driver get together."""

    DIALLED = "dialled"
    """The driver connects to a TCP port, as to a serial server (``socket://host:port``)."""
    DIALLED_TLS = "dialled_tls"
    """The same over TLS, with certificates on both sides."""
    TLS = "tls"
    """The device connects to the driver's first address, over TLS with a device's certificate."""
    DTLS = "dtls"
    """The same with datagrams."""
    UDP = "udp"
    """The driver sends datagrams to a device's port, which answers."""


class Place(NamedTuple):
    """Where the device is, for a driver that connects to it; ``localhost`` is its host."""

    port: int


class Device:
    """The device's side of the protocol, without I/O.

    The suite moves its bytes, and does to them what cables and networks do. Every method returns
    what the device says at once: frames, each a whole one, so that the suite knows where they end.
    """

    def __init__(self) -> None:
        self.confirmed: set[float] = set()
        """Numbers that the gateway has acknowledged; stays empty where nothing is acknowledged."""

    def opened(self) -> Sequence[bytes]:
        """The line is there, or a connection was made: what was open before is gone."""
        return ()

    def receive(self, data: bytes) -> Sequence[bytes]:
        """Bytes from the driver, in any chunks; it may be a message that was damaged."""
        del data
        return ()

    def show(self, number: float) -> Sequence[bytes]:
        """Show another number, once or from now on; a number is shown once per run.

        A device that is acknowledged repeats, in ``tick`` or when it has connected anew, what was
        not.
        """
        raise NotImplementedError

    def tick(self) -> Sequence[bytes]:
        """What is due; called every :data:`contract.bench.TICK_S` while there is a connection."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """One driver, by one way that its devices reach it."""

    driver: str
    """The driver's entry point."""
    reach: Reach
    config: Callable[[Place], Mapping[str, Any]]
    """The driver's table with one device, :data:`DEVICE_ID`, and waits that suit a test."""
    device: Callable[[], Device]
    """A new device that is switched on."""
    code: int = 0
    """The code under which the numbers arrive: 40 to 190 are plausible values of it. Of a waveform,
    the numbers are its samples."""
    numbers: Callable[[Statement], Iterable[float]] | None = None
    """For a driver that submits statements in place of reports: the numbers in one of them; there
    is no code then."""
    acknowledges: bool = False
    """Whether the protocol acknowledges reports."""
    guarded: bool = False
    """Whether a checksum keeps a flipped bit from becoming a wrong number."""
    endless: bytes = b""
    """The beginning of a frame; what may follow, without an end, is :attr:`filler`. Empty where
    the transport bounds messages."""
    filler: bytes = b"\0"
    decode: Callable[[bytes], object] = bytes
    """The codec as a pure function of one of :attr:`frames`; it raises MalformedError only."""
    frames: Sequence[bytes] = ()
    """Valid ones, of every kind that a device sends."""


def exhibits() -> list[Exhibit]:
    """Every exhibit that is installed."""
    return [each.load() for each in sorted(entry_points(group=GROUP), key=lambda e: e.name)]
