"""What operators may ask about requests that wait; requests to responses."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.message import Message

from fleet.approvals import Approval, Approvals
from fleet.operator_desk import Call
from protos.wardgate.v1 import fleet_pb2 as pb


class ApprovalDesk:
    """Each method takes a request and the operator's name.

    Raises:
        NotKnownError, PreconditionError, RefusedError: for the caller to hear of.
    """

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    def methods(self) -> Mapping[str, tuple[type[Message], Call]]:
        """Method name -> request type and function."""
        return {
            "ListApprovals": (pb.ListApprovalsRequest, self.list),
            "GetApproval": (pb.GetApprovalRequest, self.get),
            "DecideApproval": (pb.DecideApprovalRequest, self.decide),
        }

    async def list(self, request: pb.ListApprovalsRequest, _by: str) -> pb.ListApprovalsResponse:
        found = await self._approvals.list(every=request.all)
        return pb.ListApprovalsResponse(approvals=[_message(each, "") for each in found])

    async def get(self, request: pb.GetApprovalRequest, _by: str) -> pb.GetApprovalResponse:
        found = await self._approvals.get(request.approval_id)
        return pb.GetApprovalResponse(approval=_message(found, found.parameters))

    async def decide(self, request: pb.DecideApprovalRequest, by: str) -> pb.DecideApprovalResponse:
        if request.approve:
            found = await self._approvals.approve(request.approval_id, request.digest, by)
        else:
            found = await self._approvals.reject(request.approval_id, by, request.reason)
        return pb.DecideApprovalResponse(approval=_message(found, ""))


def _message(found: Approval, parameters: str) -> pb.Approval:
    return pb.Approval(**{**found._asdict(), "parameters": parameters})
