"""GS MEC 021, application mobility: devices that move to another host's gateway.

The gateway registers for the service and is told when a device's traffic moves to another host
(``MobilityProcedureNotification``); with it comes where the application's instance there is.
What the gateway does about it is the agent's: its sessions of that address are told to go there.
A device's state stays where it was collected; what it has acknowledged is delivered from here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import msgspec

from gateway.domain.errors import MalformedError
from gateway.mec.http import Platform, made_name
from gateway.mec.reading import address, decoded

IDS_MAX: Final = 4096
"""Addresses in one notification."""
_ADDRESSES: Final = frozenset(("UE_IPv4_ADDRESS", "UE_IPV6_ADDRESS", "NATED_IP_ADDRESS"))


class Status(StrEnum):
    """``MobilityStatus``."""

    TRIGGERED = "INTERHOST_MOVEOUT_TRIGGERED"
    COMPLETED = "INTERHOST_MOVEOUT_COMPLETED"
    FAILED = "INTERHOST_MOVEOUT_FAILED"


class _Address(msgspec.Struct, frozen=True):
    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[0-9A-Za-z.:_-]+$")]
    """A name or an address: devices are sent there, so nothing else is let through."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]


class _Interface(msgspec.Struct, frozen=True, rename="camel"):
    ip_addresses: tuple[_Address, ...] = ()


class _Target(msgspec.Struct, frozen=True, rename="camel"):
    app_instance_id: str
    comm_interface: _Interface = _Interface()


class _AssociateId(msgspec.Struct, frozen=True):
    type: str = ""
    value: str = ""


class Moved(msgspec.Struct, frozen=True, rename="camel"):
    """``MobilityProcedureNotification``, as far as it matters."""

    notification_type: Literal["MobilityProcedureNotification"]
    mobility_status: Status
    associate_id: tuple[_AssociateId, ...]
    target_app_info: _Target | None = None

    @property
    def target(self) -> str:
        """``host:port`` of the gateway there; empty: the platform does not say."""
        if self.target_app_info is None or not self.target_app_info.comm_interface.ip_addresses:
            return ""
        first = self.target_app_info.comm_interface.ip_addresses[0]
        return f"[{first.host}]:{first.port}" if ":" in first.host else f"{first.host}:{first.port}"

    @property
    def addresses(self) -> frozenset[str]:
        """Of the devices that move, as far as they have any."""
        said = (address(each.value) for each in self.associate_id if each.type in _ADDRESSES)
        return frozenset(each for each in said if each)


def read_moved(body: bytes) -> Moved:
    """A notification.

    Raises:
        MalformedError: it is none.
    """
    found = decoded(body, Moved, "MobilityProcedureNotification")
    if len(found.associate_id) > IDS_MAX:
        raise MalformedError("moved", "too many devices")
    return found


class Mobility:
    """The registration and the subscription of one application instance.

    Every call raises PlatformError (not now) or ProblemError (refused).
    """

    def __init__(self, platform: Platform, base: str, instance: str, callback: str) -> None:
        self._platform = platform
        self._base = base.rstrip("/")
        self._instance = instance
        self._callback = callback
        self.service_id = ""
        self._subscription = ""

    async def ensure(self) -> bool:
        """Register and subscribe, if the platform does not know it; whether that was needed."""
        known = self.service_id and await self._platform.knows(self._service_url)
        known = known and self._subscription and await self._platform.knows(self._subscription)
        if known:
            return False
        await self.withdraw()
        consumer = {"serviceConsumerId": {"appInstanceId": self._instance}}
        answer = await self._platform.call(
            "POST", f"{self._base}/app_mobility_services", consumer, expect=(201,)
        )
        self.service_id = made_name(answer, "appMobilityServiceId")
        subscription: Any = {
            "subscriptionType": "MobilityProcedureSubscription",
            "callbackReference": self._callback,
            "filterCriteria": {
                "appInstanceId": self._instance,
                "mobilityStatus": [str(each) for each in Status],
            },
        }
        answer = await self._platform.call(
            "POST", f"{self._base}/subscriptions", subscription, expect=(201,)
        )
        last = quote(made_name(answer), safe="")
        self._subscription = f"{self._base}/subscriptions/{last}"
        return True

    async def withdraw(self) -> None:
        """End both; idempotent."""
        if self._subscription:
            await self._platform.end(self._subscription)
            self._subscription = ""
        if self.service_id:
            await self._platform.end(self._service_url)
            self.service_id = ""

    @property
    def _service_url(self) -> str:
        return f"{self._base}/app_mobility_services/{quote(self.service_id, safe='')}"
