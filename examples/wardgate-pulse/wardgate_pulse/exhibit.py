"""The device's side, for the contract suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from gateway.domain.errors import MalformedError
from wardgate_pulse.codec import Damage, LineDecoder, Reading, encode
from wardgate_pulse.mapping import PULSE_RATE


class PulseDevice(Device):
    """Says each number in a line of its own."""

    def show(self, number: float) -> Sequence[bytes]:
        """See the base's."""
        return (encode(Reading(round(number))),)


def config(place: Place) -> Mapping[str, Any]:
    """One device, behind a serial server."""
    return {"devices": [{"device_id": DEVICE_ID, "port": f"socket://127.0.0.1:{place.port}"}]}


def decode(stream: bytes) -> object:
    """All lines.

    Raises:
        MalformedError: one of them is damaged.
    """
    found = LineDecoder().feed(stream)
    for each in found:
        if isinstance(each, Damage):
            raise MalformedError(each.reason)
    return found


EXHIBIT = Exhibit(
    driver="pulse",
    reach=Reach.DIALLED,
    config=config,
    device=PulseDevice,
    code=PULSE_RATE,
    guarded=True,
    endless=b"$PR,",
    filler=b"0",
    decode=decode,
    frames=(encode(Reading(72)), encode(Reading(None))),
)
