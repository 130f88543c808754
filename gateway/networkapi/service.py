"""``NetworkService``: what the network can be asked, for people on site."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

from gateway.domain.devices import Device
from gateway.domain.errors import ConfigError, MalformedError
from gateway.errands import REASON_CHARS_MAX, reason_given
from gateway.fence.fence import Fence
from gateway.local.access import ANY, ENGINEER, Caller
from gateway.local.calls import (
    CallError,
    InvalidError,
    Service,
    Unary,
    UnknownError,
    UnsavedError,
)
from gateway.mec.http import PlatformError, ProblemError
from gateway.network.swaps import Swaps
from gateway.networkapi.config import AreaTable
from gateway.networkapi.interface import LocationApi, whose
from gateway.networkapi.keeper import NotGivenError, QualityKeeper, Shown
from gateway.networkapi.quality import State
from protos.wardgate.v1 import network_pb2 as pb

SETTLED_S_MAX: Final = 5.0
"""How long who asks for quality waits for the network's word."""
POLL_S: Final = 0.1


class Looks(NamedTuple):
    """What the service looks at."""

    apis: LocationApi
    area: AreaTable | None
    keeper: QualityKeeper | None
    device: Callable[[str], Device | None]
    addresses: Callable[[str], frozenset[str]]
    fence: Fence
    swaps: Swaps | None
    """None: the network is not asked about them."""


class NetworkDesk:
    """Answers people."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    def service(self) -> Service:
        """What people may call."""
        return Service(
            "wardgate.v1.NetworkService",
            (
                # It tells an operator that somebody looks for the device: audited, as a change is.
                _changing("VerifyLocation", pb.VerifyLocationRequest, self.verify),
                Unary("ListQuality", pb.ListQualityRequest, self.quality, ANY),
                _changing("AskQuality", pb.AskQualityRequest, self.ask),
                _changing("GiveBackQuality", pb.GiveBackQualityRequest, self.give_back),
                Unary("ListSwaps", pb.ListSwapsRequest, self.swaps, ANY),
                _changing("ConfirmSwaps", pb.ConfirmSwapsRequest, self.confirm),
            ),
        )

    async def verify(
        self, _caller: Caller, request: pb.VerifyLocationRequest
    ) -> pb.VerifyLocationResponse:
        """Ask whether a device is on campus."""
        looks, device = self._looks, self._device(request.device_id)
        if looks.area is None:
            raise CallError("network_apis.area is not configured")
        called = whose(device.network, looks.addresses(device.device_id))
        if not called:
            raise CallError("the network knows the device by nothing: no GPSI, no address")
        try:
            found = await looks.apis.verify_location(called, looks.area.circle, looks.area.age_s)
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

    async def quality(
        self, _caller: Caller, _request: pb.ListQualityRequest
    ) -> pb.ListQualityResponse:
        """Every session."""
        keeper = self._looks.keeper
        shown = keeper.shown() if keeper is not None else []
        return pb.ListQualityResponse(sessions=map(_session, shown))

    async def ask(self, _caller: Caller, request: pb.AskQualityRequest) -> pb.AskQualityResponse:
        """Ask for a device, and wait a little for what the network says."""
        _check_reason(request.reason)
        device, keeper = self._device(request.device_id), self._keeper()
        if not request.minutes:
            raise InvalidError("for how many minutes?")
        try:
            keeper.ask(device.device_id, request.minutes * 60.0)
        except NotGivenError as error:
            raise CallError(str(error)) from error
        found: list[Shown] = []
        for _ in range(int(SETTLED_S_MAX / POLL_S)):
            found = [each for each in keeper.shown() if each.device_id == device.device_id]
            if not found or found[0].state not in (State.NONE, State.ASKING):
                break
            await asyncio.sleep(POLL_S)
        return pb.AskQualityResponse(session=_session(found[0]) if found else None)

    async def give_back(
        self, _caller: Caller, request: pb.GiveBackQualityRequest
    ) -> pb.GiveBackQualityResponse:
        """End what was asked for."""
        try:
            self._keeper().give_back(request.device_id)
        except NotGivenError as error:
            raise CallError(str(error)) from error
        return pb.GiveBackQualityResponse()

    async def swaps(self, _caller: Caller, _request: pb.ListSwapsRequest) -> pb.ListSwapsResponse:
        """What the network said of each device."""
        return pb.ListSwapsResponse(
            devices=[
                pb.DeviceSwaps(
                    device_id=name,
                    sim_us=last.sim_us,
                    modem_us=last.modem_us,
                    standing=sorted(kinds),
                )
                for name, last, kinds in self._swaps().list()
            ]
        )

    async def confirm(
        self, _caller: Caller, request: pb.ConfirmSwapsRequest
    ) -> pb.ConfirmSwapsResponse:
        """Take what changed as right."""
        _check_reason(request.reason)
        try:
            ended = await self._swaps().confirm(request.device_id)
        except KeyError as error:
            raise UnknownError("the network has said nothing of this device") from error
        except OSError as error:
            raise UnsavedError("the journal takes nothing: it counts once it does") from error
        return pb.ConfirmSwapsResponse(ended=sorted(ended))

    def _device(self, device_id: str) -> Device:
        device = self._looks.device(device_id)
        if device is None:
            raise UnknownError(f"there is no device {device_id}")
        return device

    def _keeper(self) -> QualityKeeper:
        if self._looks.keeper is None:
            raise CallError("network_apis.quality is not configured")
        return self._looks.keeper

    def _swaps(self) -> Swaps:
        if self._looks.swaps is None:
            raise CallError("network_apis does not say who tells of SIMs and modems")
        return self._looks.swaps


def _changing(
    name: str, request: type[Message], answer: Callable[[Caller, Any], Awaitable[Message]]
) -> Unary:
    """A call for engineers, audited with what it says: device, minutes, reason."""
    return Unary(name, request, answer, ENGINEER, changes=True, about=_about)


def _about(request: Any) -> dict[str, str | int]:
    found: dict[str, str | int] = {"device": request.device_id}
    if hasattr(request, "minutes"):
        found["minutes"] = request.minutes
    if hasattr(request, "reason"):
        found["reason"] = request.reason[:REASON_CHARS_MAX]
    return found


def _session(shown: Shown) -> pb.QualitySession:
    return pb.QualitySession(
        device_id=shown.device_id,
        state=shown.state.value,
        left_seconds=shown.left_s,
        needs=shown.needs,
    )


def _check_reason(reason: str) -> None:
    try:
        reason_given(reason)
    except ConfigError as error:
        raise InvalidError(str(error)) from error
