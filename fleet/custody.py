"""Where the pseudonym key is: what was agreed by two is computed here, and noted here.

The custodian's machine is the only one besides the gateway that holds the key. It believes nothing
that it was not shown: what it computes has the digest that was approved.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Self

from gateway.clock import SystemClock
from gateway.domain.errors import ConfigError
from protos.wardgate.v1 import fleet_pb2 as pb
from security.audit import AuditLog, load_or_create_key
from security.files import read_secret
from security.pseudonyms import Pseudonyms

KEY_NAME = "audit.key"


class Custodian:
    """Holds the key while a request is carried out; a context manager."""

    def __init__(self, key: Path, log: Path) -> None:
        """Read the key, and open the log: what can't be noted is not done.

        Raises:
            ConfigError: the key is readable by others or too short.
            OSError: a file can't be read or written.
        """
        self._secret = read_secret(key)
        try:
            Pseudonyms(self._secret, "", "")
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from error
        log.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._audit = AuditLog(log, load_or_create_key(log / KEY_NAME), SystemClock())

    def reveal(self, approval: pb.Approval, digest: str, known: list[str]) -> dict[str, str]:
        """Pseudonym -> device id, empty where none of ``known`` has it.

        Raises:
            ConfigError: the fleet answers with something else than what was approved.
        """
        computed = hashlib.sha256(f"{approval.kind}\n{approval.parameters}".encode()).hexdigest()
        if not digest or computed != digest:
            self._note(approval, "refused", 0)
            raise ConfigError("the fleet's answer is not what was approved: nothing is revealed")
        asked = json.loads(approval.parameters)
        names = Pseudonyms(self._secret, asked["destination"], asked["project"])
        devices = names.found(asked["pseudonyms"], known)
        found = {each: devices.get(each, "") for each in asked["pseudonyms"]}
        self._note(approval, "revealed", len(devices))
        return found

    def _note(self, approval: pb.Approval, result: str, found: int) -> None:
        self._audit.record(
            "reidentify",
            result=result,
            approval=approval.approval_id,
            digest=approval.digest,
            by=f"{approval.requested_by}+{approval.decided_by}",
            found=found,
        )
        self._audit.checkpoint()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._audit.close()
