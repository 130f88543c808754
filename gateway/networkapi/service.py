"""``NetworkService``: what the network can be asked, for people on site."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.fence.fence import Fence
from gateway.local.access import ANY, ENGINEER, Caller
from gateway.local.calls import CallError, Service, Unary, UnknownError
from gateway.mec.http import PlatformError, ProblemError
from gateway.networkapi.config import AreaTable
from gateway.networkapi.interface import LocationApi, whose
from gateway.networkapi.keeper import QualityKeeper
from protos.wardgate.v1 import network_pb2 as pb


class Looks(NamedTuple):
    """What the service looks at."""

    apis: LocationApi
    area: AreaTable | None
    keeper: QualityKeeper | None
    device: Callable[[str], Device | None]
    addresses: Callable[[str], frozenset[str]]
    fence: Fence


def network_service(looks: Looks) -> Service:
    """The service."""

    async def verify(
        _caller: Caller, request: pb.VerifyLocationRequest
    ) -> pb.VerifyLocationResponse:
        device = looks.device(request.device_id)
        if device is None:
            raise UnknownError(f"there is no device {request.device_id}")
        if looks.area is None:
            raise CallError("network_apis.area is not configured")
        known = whose(device.network, looks.addresses(device.device_id))
        if not known:
            raise CallError("the network knows the device by nothing: no GPSI, no address")
        try:
            found = await looks.apis.verify_location(known, looks.area.circle, looks.area.age_s)
        except (PlatformError, ProblemError, MalformedError) as error:
            raise CallError(f"the network gives no answer: {error}") from error
        fence = [
            each.state.value for each in looks.fence.list() if each.device_id == device.device_id
        ]
        return pb.VerifyLocationResponse(
            verdict=found.verdict.value,
            located_us=found.at_us,
            match_percent=found.match_percent,
            why=found.why,
            fence_state=fence[0] if fence else "",
        )

    async def quality(_caller: Caller, _request: pb.ListQualityRequest) -> pb.ListQualityResponse:
        shown = looks.keeper.shown() if looks.keeper is not None else []
        return pb.ListQualityResponse(
            sessions=[
                pb.QualitySession(device_id=name, state=state.value, left_seconds=left_s)
                for name, state, left_s in shown
            ]
        )

    return Service(
        "wardgate.v1.NetworkService",
        (
            # It tells an operator that somebody looks for the device: audited, as a change is.
            Unary(
                "VerifyLocation",
                pb.VerifyLocationRequest,
                verify,
                ENGINEER,
                changes=True,
                about=lambda request: {"device": request.device_id},
            ),
            Unary("ListQuality", pb.ListQualityRequest, quality, ANY),
        ),
    )
