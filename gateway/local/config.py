"""``[local]``: where people on site ask the running gateway, and who may."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from gateway import tomlfile
from gateway.domain.errors import ConfigError
from gateway.local.access import LocalRole

SOCKET_NAME = "local.sock"


class LocalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table of the gateway's configuration."""

    socket: Path | None = None
    """For the command line on the box; left out: ``local.sock`` in the state directory."""
    listen: str = ""
    """``host:port`` for operators' certificates; empty: the box's socket alone."""
    people: dict[str, tuple[LocalRole, ...]] = {}
    """Operators, by the id in their certificate, and their roles."""
    calls_max: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 64
    """At a time, streams included; what is more is refused."""

    def __post_init__(self) -> None:
        """Refuse what can't be meant.

        Raises:
            ConfigError: naming the key.
        """
        if self.listen:
            tomlfile.address(self.listen, "local.listen")
        for name, roles in self.people.items():
            if not roles:
                raise ConfigError(f"local.people.{name}: give at least one role")

    def socket_in(self, state_dir: Path) -> Path:
        """Where the box's socket lies."""
        return self.socket or state_dir / SOCKET_NAME
