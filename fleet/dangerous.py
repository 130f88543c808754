"""The fleet service's own calls that take two persons.

| kind | when |
|---|---|
| ``revoke_devices`` | more devices at once than ``limits.revoke_devices_above`` |
| ``remove_officer`` | a security officer or data-protection officer loses role or certificate |
| ``appoint_officer`` | somebody becomes one, once there are two security officers |
| ``add_manufacturer`` | a manufacturer's root is to be believed |

While there is one security officer, that one appoints the second alone: somebody must begin. What
would take that last one away is refused at once, since nobody could approve it.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

from fleet.approvals import Approvals, Kind, Parameters, Within
from fleet.enrolment_desk import EnrolmentDesk
from fleet.operators import Operators
from fleet.registry import Registry
from fleet.roles import OperatorRole, Roles, parse
from fleet.store import PreconditionError
from protos.wardgate.v1 import fleet_pb2 as pb
from security.names import Role

OFFICER: Final = frozenset({OperatorRole.SECURITY_OFFICER})
TRUSTED: Final = frozenset({OperatorRole.SECURITY_OFFICER, OperatorRole.DPO})
APPOINTING_ALONE_BELOW: Final = 2


class Wanted(NamedTuple):
    """A call that has to wait."""

    kind: str
    parameters: Parameters


class Guard:
    """Holds back what takes two persons, and executes it when they agree."""

    def __init__(
        self,
        approvals: Approvals,
        registry: Registry,
        operators: Operators,
        desk: EnrolmentDesk,
        revoke_devices_above: int,
    ) -> None:
        self._approvals = approvals
        self._registry = registry
        self._operators = operators
        self._desk = desk
        self._above = revoke_devices_above
        execute: Mapping[str, Callable[[Any, str, Within], Awaitable[None]]] = {
            "revoke_devices": self._revoke_devices,
            "remove_officer": self._remove_officer,
            "appoint_officer": self._appoint_officer,
            "add_manufacturer": self._add_manufacturer,
        }
        for name, call in execute.items():
            approvals.register(name, Kind(OFFICER, OFFICER, call))

    async def hold(self, request: Message, by: str) -> Message | None:
        """The answer to a call that has to wait; None when it may go on.

        Raises:
            PreconditionError, MalformedError, NotKnownError: it may neither.
        """
        wanted = await self._wanted(request)
        if wanted is None:
            return None
        found = await self._approvals.request(wanted.kind, wanted.parameters, by)
        pending = pb.Pending(
            approval_id=found.approval_id, kind=found.kind, expires_us=found.expires_us
        )
        response: Message = getattr(pb, f"{request.DESCRIPTOR.name[:-7]}Response")(pending=pending)
        return response

    async def _wanted(self, request: Message) -> Wanted | None:
        wanted: Wanted | None = None
        match request:
            case pb.RevokeDevicesRequest():
                names = self._registry.selected(request.device_ids, request.ward, request.all)
                if len(names) > self._above:
                    parameters = {"devices": names, "reason": request.reason}
                    wanted = Wanted("revoke_devices", parameters)
            case pb.RevokeRequest() if request.role == Role.OPERATOR:
                wanted = await self._removal(request.id, request.serial, request.reason)
            case pb.RemoveOperatorRequest():
                wanted = await self._removal(request.name, "", request.reason)
            case pb.SetOperatorRolesRequest():
                wanted = await self._other_roles(request.name, parse(request.roles))
            case pb.AddOperatorRequest():
                if parse(request.roles) & TRUSTED and await self._appointing_takes_two():
                    raise PreconditionError(
                        "an officer is appointed by two: add without the role, then"
                        f" `wardgate operator roles {request.name} {' '.join(request.roles)}`"
                    )
            case pb.AddManufacturerRequest():
                self._desk.check_manufacturer(request.name, request.root_pem)
                root = base64.b64encode(request.root_pem).decode()
                wanted = Wanted("add_manufacturer", {"name": request.name, "root_pem": root})
        return wanted

    async def _removal(self, name: str, serial: str, reason: str) -> Wanted | None:
        if not await self._roles(name) & TRUSTED or await self._alone(name):
            return None
        parameters = {"name": name, "serial": serial, "reason": reason, "change": "revoke"}
        return Wanted("remove_officer", parameters)

    async def _other_roles(self, name: str, roles: Roles) -> Wanted | None:
        before = await self._roles(name)
        parameters = {"name": name, "roles": sorted(roles)}
        if before & TRUSTED - roles and not await self._alone(name):
            return Wanted("remove_officer", {**parameters, "change": "roles"})
        if roles & TRUSTED - before and await self._appointing_takes_two():
            return Wanted("appoint_officer", parameters)
        return None

    async def _appointing_takes_two(self) -> bool:
        officers = await self._registry.run(self._operators.kept.officers)
        return len(officers) >= APPOINTING_ALONE_BELOW

    async def _alone(self, name: str) -> bool:
        """Whether nobody could approve what concerns ``name``.

        The change itself refuses to take the last officer away.
        """
        return set(await self._registry.run(self._operators.kept.officers)) == {name}

    async def _roles(self, name: str) -> Roles:
        return await self._registry.run(self._operators.kept.roles, name)

    # Execution

    async def _revoke_devices(self, parameters: Any, by: str, within: Within) -> None:
        await self._registry.revoke_devices(parameters["devices"], parameters["reason"], by, within)

    async def _remove_officer(self, parameters: Any, by: str, within: Within) -> None:
        if parameters["change"] == "roles":
            await self._appoint_officer(parameters, by, within)
            return
        serial = int(parameters["serial"], 16) if parameters["serial"] else None
        await self._operators.remove(parameters["name"], serial, parameters["reason"], by, within)

    async def _appoint_officer(self, parameters: Any, by: str, within: Within) -> None:
        roles = parse(parameters["roles"])
        await self._operators.set_roles(parameters["name"], roles, by, within)

    async def _add_manufacturer(self, parameters: Any, by: str, within: Within) -> None:
        root = base64.b64decode(parameters["root_pem"])
        await self._desk.believe(parameters["name"], root, by, within)
