"""What the simulated ward asks of a transport: the device's side of one connection.

Implementations reconnect by themselves, with jittered back-off, until ``close``. They never
invent or change a message: what ``send`` is given is what goes on the wire, as often as the
protocol has it repeated, under the same ``message_id``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """What became of one message, as the device knows it."""

    ACKNOWLEDGED = "acknowledged"
    """The gateway took it over: a PUBACK, PUBREC or 2.04 of success."""
    UNCONFIRMED = "unconfirmed"
    """Written to a transport that acknowledges nothing (QoS 0, CoAP NON, serial)."""
    REFUSED = "refused"
    """The gateway said no, and why is for its log: a failing reason code, 4.xx."""
    GIVEN_UP = "given_up"
    """No answer before the link was closed or the transport's own retries ended."""


class DeviceLink(Protocol):
    """One device's connection to the gateway."""

    async def connect(self) -> None:
        """Start connecting, and return once the link is up for the first time.

        Raises:
            OSError: the gateway refused this device's credential, or can't be reached; also
                every ``ssl.SSLError``. Nothing is left running.
        """

    async def send(self, kind: str, payload: bytes, message_id: str) -> Outcome:
        """Send one message and wait for what becomes of it.

        Several may be under way at once, up to the link's own bound, beyond which this waits
        before writing. Never raises for the network's sake.

        Args:
            kind: ``vitals``, ``drip`` or ``status``: the last part of topic or path.
            payload: the encoded message, as it goes on the wire.
            message_id: ``"boot:n"``, for the log; the payload says the same.
        """

    async def close(self) -> None:
        """Say goodbye as the protocol has it, and end; outstanding sends are GIVEN_UP."""
