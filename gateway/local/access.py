"""Who calls, and what for: people, by their certificate or at the box itself.

Rules:

* What a method does not allow to a role, that role may not. A person may what any of
  its roles may.
* At the box's own socket nobody is asked: who reaches it is root or the gateway's user, and may
  read its keys. Their name is what they say, and audited as said.
* A certificate alone allows nothing: ``[local.people]`` gives its operator roles.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class LocalRole(StrEnum):
    """What somebody on site is there for."""

    VIEWER = "viewer"
    """Looks."""
    NURSE = "nurse"
    """Answers alarms, and says who lies where."""
    PHARMACIST = "pharmacist"
    """Answers for what is in the cabinets."""
    ENGINEER = "engineer"
    """Answers for devices."""


Roles = frozenset[LocalRole]

ANY: Final[Roles] = frozenset(LocalRole)
NURSE: Final[Roles] = frozenset({LocalRole.NURSE})
PHARMACIST: Final[Roles] = frozenset({LocalRole.PHARMACIST})
ENGINEER: Final[Roles] = frozenset({LocalRole.ENGINEER})


class Caller(NamedTuple):
    """Who calls."""

    name: str
    """``operator/<id>`` by certificate, ``local/<name>`` at the box: as it is audited."""
    roles: Roles
