"""What operators may ask about operators; requests to responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from fleet.operators import OperatorRow, Operators
from fleet.roles import parse
from fleet.store import CredentialRow
from gateway.domain.errors import MalformedError
from protos.wardgate.v1 import fleet_pb2 as pb

Call = Callable[[Any, str], Awaitable[Message]]
REASON_CHARS_MAX = 200


class OperatorDesk:
    """Each method takes a request and the operator's name.

    Raises:
        KnownError, NotKnownError, PreconditionError, MalformedError: for the caller to hear of.
    """

    def __init__(self, operators: Operators) -> None:
        self._operators = operators

    def methods(self) -> Mapping[str, tuple[type[Message], Call]]:
        """Method name -> request type and function."""
        return {
            "AddOperator": (pb.AddOperatorRequest, self.add),
            "ListOperators": (pb.ListOperatorsRequest, self.list),
            "SetOperatorRoles": (pb.SetOperatorRolesRequest, self.set_roles),
            "RemoveOperator": (pb.RemoveOperatorRequest, self.remove),
        }

    async def add(self, request: pb.AddOperatorRequest, by: str) -> pb.AddOperatorResponse:
        row, issued = await self._operators.add(
            request.name, parse(request.roles), request.csr, request.days, by
        )
        return pb.AddOperatorResponse(
            operator=await self._message(row),
            certificate_pem=issued.chain_pem if issued else b"",
            root_pem=issued.trust_pem if issued else b"",
        )

    async def list(self, _request: pb.ListOperatorsRequest, _by: str) -> pb.ListOperatorsResponse:
        found = await self._operators.all()
        return pb.ListOperatorsResponse(operators=[_operator(*each) for each in found])

    async def set_roles(
        self, request: pb.SetOperatorRolesRequest, by: str
    ) -> pb.SetOperatorRolesResponse:
        row = await self._operators.set_roles(request.name, parse(request.roles), by)
        return pb.SetOperatorRolesResponse(operator=await self._message(row))

    async def remove(self, request: pb.RemoveOperatorRequest, by: str) -> pb.RemoveOperatorResponse:
        serials = await self.revoke(request.name, None, request.reason, by)
        return pb.RemoveOperatorResponse(serials=[f"{each:X}" for each in serials])

    async def revoke(self, name: str, serial: int | None, reason: str, by: str) -> tuple[int, ...]:
        """As ``Revoke`` asks for it: all certificates and the roles, or one certificate."""
        if len(reason) > REASON_CHARS_MAX:
            raise MalformedError("reason", f"more than {REASON_CHARS_MAX} characters")
        return await self._operators.remove(name, serial, reason, by)

    async def _message(self, row: OperatorRow) -> pb.Operator:
        return _operator(row, await self._operators.credentials(row.name))


def credential(row: CredentialRow) -> pb.Credential:
    """A certificate as operators see it."""
    return pb.Credential(
        serial=f"{row.serial:X}",
        issued_us=row.issued_us,
        not_after_us=row.not_after_us,
        revoked_us=row.revoked_us,
        revoked_reason=row.revoked_reason,
    )


def _operator(row: OperatorRow, credentials: Sequence[CredentialRow]) -> pb.Operator:
    return pb.Operator(
        name=row.name,
        roles=sorted(row.roles),
        added_us=row.added_us,
        added_by=row.added_by,
        credentials=map(credential, credentials),
    )
