"""Finding the devices behind a project's pseudonyms again: asked by one person, agreed by another.

Rules:

* The key that makes the pseudonyms is the custodian's, and the fleet service never sees it: what is
  approved here is done where the key is (``wardgate reidentify reveal``).
* A data-protection officer asks, a security officer agrees. Then the request stays approved until
  it is taken, once, before it expires; both must still be entitled then.
* What was asked, by whom, agreed by whom and taken by whom is in the audit log of the fleet; what
  was found is in the custodian's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.message import Message

from fleet.approvals import Approvals, Kind, Parameters, Within
from fleet.operator_desk import REASON_CHARS_MAX, Call
from fleet.roles import OperatorRole
from gateway.domain.errors import MalformedError
from protos.wardgate.v1 import fleet_pb2 as pb
from security.pseudonyms import PSEUDONYM_BYTES

KIND: Final = "reidentify"
PSEUDONYMS_MAX: Final = 1000
"""Of one request: whoever needs more needs another project."""
NAME_CHARS_MAX: Final = 64

_PSEUDONYM = re.compile(rf"[0-9a-f]{{{2 * PSEUDONYM_BYTES}}}")


class ReidentificationDesk:
    """Takes a request and the operator's name.

    Raises:
        NotKnownError, PreconditionError, RefusedError, MalformedError: for the caller to hear of.
    """

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals
        asks, agrees = OperatorRole.DPO, OperatorRole.SECURITY_OFFICER
        kind = Kind(frozenset({asks}), frozenset({agrees}), _elsewhere, taken=True)
        approvals.register(KIND, kind)

    def methods(self) -> Mapping[str, tuple[type[Message], Call]]:
        """Method name -> request type and function."""
        return {
            "Reidentify": (pb.ReidentifyRequest, self.ask),
            "TakeReidentification": (pb.TakeReidentificationRequest, self.take),
        }

    async def ask(self, request: pb.ReidentifyRequest, by: str) -> pb.ReidentifyResponse:
        found = await self._approvals.request(KIND, parameters(request), by)
        pending = pb.Pending(
            approval_id=found.approval_id, kind=found.kind, expires_us=found.expires_us
        )
        return pb.ReidentifyResponse(pending=pending)

    async def take(
        self, request: pb.TakeReidentificationRequest, by: str
    ) -> pb.TakeReidentificationResponse:
        found = await self._approvals.take(request.approval_id, KIND, request.digest, by)
        return pb.TakeReidentificationResponse(approval=pb.Approval(**found._asdict()))


def parameters(request: pb.ReidentifyRequest) -> Parameters:
    """What is asked for, as it is kept and shown.

    Raises:
        MalformedError: ``reidentify``: not pseudonyms, too many, or no reason.
    """
    pseudonyms = sorted(set(request.pseudonyms))
    if not 0 < len(pseudonyms) <= PSEUDONYMS_MAX:
        raise MalformedError("reidentify", f"name 1 to {PSEUDONYMS_MAX} pseudonyms")
    for each in pseudonyms:
        if not _PSEUDONYM.fullmatch(each):
            raise MalformedError("reidentify", f"no pseudonym of a device: {each[:40]!r}")
    if not request.destination or len(request.destination) > NAME_CHARS_MAX:
        raise MalformedError("reidentify", "name the destination that has the pseudonyms")
    if len(request.project) > NAME_CHARS_MAX:
        raise MalformedError("reidentify", f"a project of more than {NAME_CHARS_MAX} characters")
    if not 0 < len(request.reason) <= REASON_CHARS_MAX:
        raise MalformedError("reidentify", f"give a reason of up to {REASON_CHARS_MAX} characters")
    return {
        "destination": request.destination,
        "project": request.project,
        "pseudonyms": pseudonyms,
        "reason": request.reason,
    }


async def _elsewhere(_parameters: Any, _by: str, _within: Within) -> None:
    """Nothing is done here; see :meth:`Approvals.take`."""
