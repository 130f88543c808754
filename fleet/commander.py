"""Commands to devices: sent now, answered now, or not at all.

Nothing is kept for later: what was right to ask a minute ago may be wrong after a reconnect. What
can be asked is the closed list of ``wardgate.v1.CommandKind``.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import NamedTuple

from gateway.domain.errors import MalformedError
from protos.wardgate.v1 import fleet_pb2 as pb

VALID_MS_DEFAULT = 5_000
VALID_MS_MAX = 30_000
PENDING_MAX = 1_000
RESULT_CHARS_MAX = 256


class _Pending(NamedTuple):
    gateway: str
    done: asyncio.Future[pb.CommandOutcome]


class Commander:
    """Matches outcomes with commands; on the loop's thread."""

    def __init__(self, push: Callable[[str, pb.DeviceCommand], bool]) -> None:
        """``push`` hands a command to a gateway's stream; False when it can't."""
        self._push = push
        self._pending: dict[str, _Pending] = {}
        self._delivered: set[str] = set()

    async def send(
        self, gateway: str, device_id: str, kind: pb.CommandKind, valid_ms: int
    ) -> pb.SendCommandResponse:
        """Send a command, and wait for what becomes of it.

        Raises:
            MalformedError: ``command``: no such command, or too many are under way.
        """
        if kind not in pb.CommandKind.values() or kind == pb.COMMAND_KIND_UNSPECIFIED:
            raise MalformedError("command", "no such command")
        if len(self._pending) >= PENDING_MAX:
            raise MalformedError("command", "too many commands are under way")
        valid_ms = min(valid_ms or VALID_MS_DEFAULT, VALID_MS_MAX)
        command_id = secrets.token_hex(8)
        command = pb.DeviceCommand(
            command_id=command_id, device_id=device_id, kind=kind, valid_ms=valid_ms
        )
        pending = _Pending(gateway, asyncio.get_running_loop().create_future())
        self._pending[command_id] = pending
        try:
            if not self._push(gateway, command):
                return pb.SendCommandResponse(state=pb.COMMAND_STATE_NO_GATEWAY)
            async with asyncio.timeout(valid_ms / 1000):
                outcome = await pending.done
        except TimeoutError:
            delivered = command_id in self._delivered
            state = pb.COMMAND_STATE_DELIVERED if delivered else pb.COMMAND_STATE_NO_GATEWAY
            return pb.SendCommandResponse(state=state, gateway=gateway)
        finally:
            del self._pending[command_id]
            self._delivered.discard(command_id)
        return pb.SendCommandResponse(
            state=outcome.state, result=outcome.result[:RESULT_CHARS_MAX], gateway=gateway
        )

    def settle(self, gateway: str, outcome: pb.CommandOutcome) -> None:
        """A gateway's word on a command; ignored unless that gateway was asked and is awaited."""
        pending = self._pending.get(outcome.command_id)
        if pending is None or pending.gateway != gateway or pending.done.done():
            return
        if outcome.state == pb.COMMAND_STATE_DELIVERED:
            self._delivered.add(outcome.command_id)
        else:
            pending.done.set_result(outcome)
