"""HL7 gateways of the ward: who sends for whom."""

from __future__ import annotations

from collections.abc import Sequence

from firmware_sim.scenario import SimDevice


def senders(devices: Sequence[SimDevice]) -> list[str]:
    """The gateways that devices send through, each once."""
    return list(dict.fromkeys(each.group.via for each in devices if each.group.via))
