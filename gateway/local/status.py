"""``StatusService``: where the gateway stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import NamedTuple

from gateway.domain.ports import Clock
from gateway.domain.records import AlarmPriority
from gateway.local.access import ANY, Caller
from gateway.local.calls import Service, Unary
from gateway.pipeline.seen import Seen
from gateway.uplink.uplink import Standing
from protos.wardgate.v1 import status_pb2 as pb

LATELY_US = 60_000_000


class Looks(NamedTuple):
    """Where to look."""

    gateway: str
    clock: Clock
    healthy: Callable[[], bool]
    seen: Callable[[], Iterable[Seen]]
    alarms: Callable[[], Mapping[AlarmPriority, int]]
    destinations: Callable[[], Iterable[Standing]]


def status_service(looks: Looks) -> Service:
    """The service; the gateway has started now."""
    started_us = looks.clock.now_us()
    software = version("wardgate")

    async def get_status(_caller: Caller, _request: pb.GetStatusRequest) -> pb.GetStatusResponse:
        now_us = looks.clock.now_us()
        heard = [each.last_us for each in looks.seen() if each.last_us]
        return pb.GetStatusResponse(
            gateway=looks.gateway,
            software_version=software,
            started_us=started_us,
            now_us=now_us,
            healthy=looks.healthy(),
            devices=len(heard),
            devices_heard_lately=sum(now_us - at <= LATELY_US for at in heard),
            alarms=[
                pb.ActiveAlarms(priority=priority.name.lower(), count=count)
                for priority, count in sorted(looks.alarms().items(), reverse=True)
            ],
            destinations=[
                pb.DestinationStanding(
                    name=each.name,
                    connected=each.connected,
                    lag={lane.name.lower(): lag for lane, lag in each.lag.items()},
                )
                for each in looks.destinations()
            ],
        )

    method = Unary("GetStatus", pb.GetStatusRequest, get_status, ANY)
    return Service("wardgate.v1.StatusService", (method,))
