"""Which signed policy root's service has believed: never an older one again, also after a restart.

What the gateway remembers of it lies where the gateway's process can write. This lies in a
directory of root's, so that a gateway that was broken into can't put back an older policy, which a
restart of the service would believe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import ConfigError, WardgateError, words
from security.files import write_atomic
from security.policybundle import Bundle

FILE_MODE: Final = 0o600


class Believed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest; as it lies on disk."""

    number: int = 0
    substance: str = ""

    def check(self, bundle: Bundle) -> None:
        """Refuse what is older, or another under the same number.

        Raises:
            ConfigError: it is.
        """
        if bundle.number < self.number:
            raise ConfigError(f"policy {bundle.number} is older than {self.number}")
        if bundle.number == self.number and bundle.substance != self.substance:
            raise ConfigError(f"another policy {self.number} was believed here")


class ForgottenError(WardgateError):
    """It can't be told which policy was believed: then none is."""

    reason = "packet_filter"


def read(path: Path) -> Believed:
    """What was believed last; nothing where the service has never run.

    Raises:
        ForgottenError: it can't be told.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Believed)
    except FileNotFoundError:
        return Believed()
    except (OSError, *UNDECODABLE) as error:
        raise ForgottenError(
            f"{path}: which policy was believed can't be told: {words(error)}"
        ) from error


def write(path: Path, believed: Believed) -> None:
    """Keep it, durably.

    Raises:
        OSError: what was there before is.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.encode(believed), FILE_MODE)
