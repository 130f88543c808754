"""What an operator may ask of the fleet service: one table, call -> roles.

Rules:

* What the table doesn't name, nobody may.
* An operator may what any of its roles may; one without a role may nothing.
* A call that does more than its name says needs the roles of every right that it takes:
  ``AddDevice/revoked`` is AddDevice for a device that has been revoked, and
  ``ControlPolicyRollout/forward`` brings a policy to more gateways.
* Operators have nothing to ask over HTTP: enrolment and renewal there are for devices, gateways
  and services.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from gateway.domain.errors import MalformedError, RefusedError

NOT_ALLOWED: Final = "not_allowed"
"""Why a call is refused; a label."""


class OperatorRole(StrEnum):
    """What somebody is there for."""

    VIEWER = "viewer"
    """Looks at devices and gateways."""
    PROVISIONER = "provisioner"
    """Brings devices into service, moves and configures them."""
    SECURITY_OFFICER = "security_officer"
    """Revokes, decides who is believed, and who may do what."""
    DPO = "dpo"
    """The data-protection officer: decides what may leave; where that is more than before, together
    with a second person."""


Roles = frozenset[OperatorRole]

ANY: Final = frozenset(OperatorRole)
_PROVISIONER: Final = frozenset({OperatorRole.PROVISIONER})
_OFFICER: Final = frozenset({OperatorRole.SECURITY_OFFICER})
_DPO: Final = frozenset({OperatorRole.DPO})
_OVERSIGHT: Final = frozenset({OperatorRole.SECURITY_OFFICER, OperatorRole.DPO})

RIGHTS: Final[Mapping[str, Roles]] = {
    "AddDevice": _PROVISIONER,
    "AddDevice/revoked": _OFFICER,
    "AddManufacturer": _OFFICER,
    "AddOperator": _OFFICER,
    "ControlPolicyRollout": _OVERSIGHT,
    "ControlPolicyRollout/forward": _DPO,
    "DecideApproval": _OVERSIGHT,
    "DecideClaim": _PROVISIONER,
    "GetApproval": _OVERSIGHT,
    "GetConfiguration": ANY,
    "GetDevice": ANY,
    "GetFleetStatus": ANY,
    "GetPolicy": ANY,
    "GetPolicyRollout": ANY,
    "GetRevocations": ANY,
    "ListApprovals": _OVERSIGHT,
    "ListClaims": ANY,
    "ListDevices": ANY,
    "ListManufacturers": ANY,
    "ListOperators": _OVERSIGHT,
    "ListPolicies": ANY,
    "ProposePolicy": _DPO,
    "Reidentify": _DPO,
    "RemoveManufacturer": _OFFICER,
    "RemoveOperator": _OFFICER,
    "Revoke": _OFFICER,
    "RevokeDevices": _OFFICER,
    "SendCommand": _PROVISIONER,
    "SetConfiguration": _PROVISIONER,
    "SetOperatorRoles": _OFFICER,
    "StartPolicyRollout": _DPO,
    "TakeReidentification": _DPO,
    "UpdateDevice": _PROVISIONER | _OFFICER,
    "UpdateDevice/reinstate": _OFFICER,
}


def check(name: str, roles: Roles, rights: Iterable[str]) -> None:
    """Whether an operator with these roles has all of the rights.

    Raises:
        RefusedError: ``not_allowed``; says which role it would take.
    """
    for right in rights:
        takes = RIGHTS.get(right, frozenset())
        if roles.isdisjoint(takes):
            has = phrase(roles) or "none"
            raise RefusedError(
                NOT_ALLOWED,
                f"{name} may not {right}: it takes the role {phrase(takes) or '-'}, has {has}",
            )


def parse(words: Iterable[str]) -> Roles:
    """Roles by their names.

    Raises:
        MalformedError: ``operator``: there is no such role.
    """
    wanted = list(words)
    try:
        return frozenset(map(OperatorRole, wanted))
    except ValueError as error:
        raise MalformedError(
            "operator", f"a role is one of {', '.join(OperatorRole)}: {' '.join(wanted)}"
        ) from error


def phrase(roles: Iterable[OperatorRole]) -> str:
    """Roles for people."""
    return " or ".join(sorted(roles))
