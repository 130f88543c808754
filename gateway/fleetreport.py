"""What a gateway reports to the fleet: facts, never what a device measured.

When a device was heard, how much, what was wrong; what of the fleet's word is in force here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from gateway.domain.ports import Clock
from gateway.domain.records import DeviceState
from gateway.wire.heads import to_checkpoint
from protos.wardgate.v1 import fleet_pb2 as pb
from security.audit import TreeHead
from security.identity import IdentityService

DEVICES_PER_TURN: Final = 100
"""Facts gathered before the loop may do something else: less than a millisecond."""


class SeenDevice(Protocol):
    """What the pipeline remembers of a device; see ``gateway.pipeline.seen``."""

    device_id: str
    driver: str
    last_us: int
    messages: int
    marked_values: int
    errors: dict[str, int]
    offset_us: int | None
    battery_percent: float
    firmware: str
    state: DeviceState | None


class Reporter:
    """Makes the reports.

    Args:
        identity: knows the live sessions.
        seen: everything to report on, called once per report.
        clock: for times in reports.
    """

    def __init__(
        self,
        identity: IdentityService,
        seen: Callable[[], Iterable[SeenDevice]],
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._seen = seen
        self._clock = clock
        self._started_us = clock.now_us()
        self.certificate_end_us = 0
        """Of the gateway's own certificate."""
        self.last_head: Callable[[], tuple[TreeHead, bytes] | None] = _no_head
        """Of the gateway's audit log; the fleet keeps it, so that a cut end of the log shows."""
        self.configuration: Callable[[], pb.ConfigurationFacts] = pb.ConfigurationFacts
        """What of the fleet's configuration is in force here."""
        self.policy: Callable[[], pb.PolicyFacts] = pb.PolicyFacts
        """Which policy is, and for which destinations."""

    async def make(self, directory_version: int, revocations_number: int) -> pb.HealthReport:
        """The present; lets the loop go on while there are many devices."""
        report = pb.HealthReport(
            gateway=pb.GatewayFacts(
                started_us=self._started_us,
                sessions=len(self._identity.live),
                directory_version=directory_version,
                revocations_number=revocations_number,
                certificate_end_us=self.certificate_end_us,
                configuration=self.configuration(),
                policy=self.policy(),
            )
        )
        head = self.last_head()
        if head is not None:
            report.gateway.audit.CopyFrom(to_checkpoint(*head))
        seen = list(self._seen())
        for at in range(0, len(seen), DEVICES_PER_TURN):
            report.devices.extend(self._facts(each) for each in seen[at : at + DEVICES_PER_TURN])
            await asyncio.sleep(0)
        report.sent_us = self._clock.now_us()
        return report

    def _facts(self, seen: SeenDevice) -> pb.DeviceFacts:
        facts = pb.DeviceFacts(
            device_id=seen.device_id,
            driver=seen.driver,
            last_seen_us=seen.last_us,
            connected=seen.device_id in self._identity.live,
            messages=seen.messages,
            marked_values=seen.marked_values,
            errors=seen.errors,
            firmware=seen.firmware,
        )
        if seen.offset_us is not None:
            facts.clock_offset_us = seen.offset_us
        if seen.battery_percent >= 0:
            facts.battery_percent = seen.battery_percent
        end = self._identity.live.certificate_end(seen.device_id)
        if end is not None:
            facts.certificate_end_us = round(end * 1e6)
        return facts


def _no_head() -> tuple[TreeHead, bytes] | None:
    return None
