"""What the gateway's own clock is worth, by whoever knows best.

chronyd is asked first: it knows its server, and bounds the error. Where none answers, the kernel
tells what its time service told it. Where nobody is synchronised nothing is known, and no error is
claimed.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final, NamedTuple

from gateway.domain.errors import MalformedError
from gateway.domain.records import LeapStatus
from gateway.ownclock import chrony
from gateway.ownclock.kernel import KernelClock, kernel_clock

WAIT_S: Final = 1.0
"""For chronyd's answer; it is on the same machine."""
ATTEMPTS: Final = 2


class Reading(NamedTuple):
    """Microseconds; see ``gateway.domain.records.GatewayClock``."""

    source: str
    synchronised: bool
    error_us: int = 0
    offset_us: int = 0
    stratum: int = 0
    reference: str = ""
    root_delay_us: int = 0
    root_dispersion_us: int = 0
    frequency_ppb: int = 0
    leap: LeapStatus = LeapStatus.UNSYNCHRONISED

    @property
    def kind(self) -> tuple[str, bool, int, str, LeapStatus]:
        """What makes it another one, not only a newer one."""
        return self.source, self.synchronised, self.stratum, self.reference, self.leap


NOBODY: Final = Reading("none", synchronised=False)


def by_chrony(told: chrony.Tracking) -> Reading:
    """What chronyd says."""
    leap = LeapStatus(told.leap + 1) if told.leap <= 3 else LeapStatus.UNSYNCHRONISED
    if not told.synchronised:
        return Reading("chrony", synchronised=False, frequency_ppb=round(told.frequency_ppm * 1e3))
    return Reading(
        "chrony",
        synchronised=True,
        error_us=max(1, round(told.error_s * 1e6)),
        offset_us=round(-told.correction_s * 1e6),
        stratum=told.stratum,
        reference=told.reference,
        root_delay_us=round(told.root_delay_s * 1e6),
        root_dispersion_us=round(told.root_dispersion_s * 1e6),
        frequency_ppb=round(told.frequency_ppm * 1e3),
        leap=leap,
    )


def by_kernel(told: KernelClock | None) -> Reading:
    """What the kernel says."""
    if told is None:
        return NOBODY
    if not told.synchronised:
        return Reading("kernel", synchronised=False, frequency_ppb=told.frequency_ppb)
    leap = LeapStatus.NORMAL
    if told.insert or told.delete:
        leap = LeapStatus.INSERT if told.insert else LeapStatus.DELETE
    return Reading(
        "kernel",
        synchronised=True,
        error_us=max(1, told.error_us),
        offset_us=told.offset_us,
        frequency_ppb=told.frequency_ppb,
        leap=leap,
    )


class _Answer(asyncio.DatagramProtocol):
    """The first datagram, or that there is nobody."""

    def __init__(self) -> None:
        self.got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002  # asyncio's
        if not self.got.done():
            self.got.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.got.done():
            self.got.set_exception(exc)


async def ask_chrony(address: tuple[str, int], wait_s: float = WAIT_S) -> chrony.Tracking | None:
    """Ask chronyd for its tracking; None when nobody answers as it should."""
    loop = asyncio.get_running_loop()
    for _ in range(ATTEMPTS):
        sequence = secrets.randbits(32)
        try:
            transport, answer = await loop.create_datagram_endpoint(_Answer, remote_addr=address)
        except OSError:
            return None
        try:
            transport.sendto(chrony.tracking_request(sequence))
            data = await asyncio.wait_for(answer.got, wait_s)
            return chrony.tracking_of(data, sequence)
        except TimeoutError:
            continue
        except (OSError, MalformedError):
            return None
        finally:
            transport.close()
    return None


async def ask(address: tuple[str, int] | None) -> Reading:
    """Whoever knows best.

    Args:
        address: where chronyd answers; None: the kernel alone is asked.
    """
    if address is not None:
        told = await ask_chrony(address)
        if told is not None:
            return by_chrony(told)
    return by_kernel(kernel_clock())
