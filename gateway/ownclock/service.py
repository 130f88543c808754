"""``ClocksService``: what the gateway knows of its own clock and the devices'."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from gateway.domain.ports import Clock
from gateway.local.access import ANY, Caller
from gateway.local.calls import Service, Unary
from gateway.ownclock.reading import Reading
from gateway.pipeline.clocks.steady import Steady
from gateway.pipeline.seen import Seen
from protos.wardgate.v1 import clocks_pb2 as pb


class Looks(NamedTuple):
    """Where to look."""

    clock: Clock
    steady: Steady
    reading: Callable[[], Reading]
    seen: Callable[[], Iterable[Seen]]


def clocks_service(looks: Looks) -> Service:
    """The service."""

    async def list_clocks(_caller: Caller, _request: pb.ListClocksRequest) -> pb.ListClocksResponse:
        steady = looks.steady
        moment_us = steady.moment_us()
        return pb.ListClocksResponse(
            own=_own(looks),
            clocks=[
                _device(each, steady, moment_us)
                for each in sorted(looks.seen(), key=lambda seen: seen.device_id)
                if each.clock is not None
            ],
        )

    method = Unary("ListClocks", pb.ListClocksRequest, list_clocks, ANY)
    return Service("wardgate.v1.ClocksService", (method,))


def _own(looks: Looks) -> pb.OwnClock:
    reading, steady = looks.reading(), looks.steady
    return pb.OwnClock(
        now_us=looks.clock.now_us(),
        source=reading.source,
        synchronised=reading.synchronised,
        error_us=reading.error_us,
        offset_us=reading.offset_us,
        stratum=reading.stratum,
        reference=reading.reference,
        steps=steady.steps,
        step_us=steady.stepped_us,
        stepped_at_us=steady.stepped_at_us + steady.base_us if steady.steps else 0,
    )


def _device(seen: Seen, steady: Steady, moment_us: int) -> pb.DeviceClock:
    clock = seen.clock
    assert clock is not None
    bounds = clock.bounds
    return pb.DeviceClock(
        device_id=seen.device_id,
        offset_us=clock.offset_us(moment_us) - steady.base_us,
        uncertainty_us=clock.offset_uncertainty_us(moment_us),
        drift_ppm=bounds.drift * 1e6,
        drift_uncertainty_ppm=bounds.spread * 1e6,
        resolution_us=clock.resolution,
        steps=clock.steps,
        step_us=clock.stepped_by,
        stepped_at_us=clock.stepped_at + steady.base_us if clock.steps else 0,
        report_uncertainty_us=clock.uncertainty if bounds.known else 0,
    )
