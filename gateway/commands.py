"""Downlink commands: delivered at once or not at all.

A command is for a device that is connected now. It is never kept for a later session, because
what was right to ask a minute ago may be wrong after a reconnect; an expired command is not
delivered either. No command changes delivery: which commands a device understands is its
driver's documentation, and therapy devices understand none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.domain.ports import Clock, Command

log = logging.getLogger(__name__)

PAYLOAD_BYTES_MAX = 16 * 1024
"""A command is a small request; firmware travels another way."""


class Commands:
    """The CommandBox port."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._subscribers: dict[str, list[Callable[[Command], None]]] = {}
        self.on_answer: Callable[[str, str, str], None] = _ignore_answer

    def subscribe(self, device_id: str, deliver: Callable[[Command], None]) -> None:
        """Deliver commands for the device from now on."""
        self._subscribers.setdefault(device_id, []).append(deliver)

    def unsubscribe(self, device_id: str, deliver: Callable[[Command], None]) -> None:
        """Stop delivering; idempotent."""
        subscribers = self._subscribers.get(device_id, [])
        if deliver in subscribers:
            subscribers.remove(deliver)
        if not subscribers:
            self._subscribers.pop(device_id, None)

    def answered(self, device_id: str, command_id: str, result: str) -> None:
        """Pass the device's answer to whoever sent the command."""
        self.on_answer(device_id, command_id, result)

    def send(self, command: Command) -> bool:
        """Deliver to the device's sessions.

        Returns:
            False when the device is not connected, or the command is expired or too long.
        """
        if command.expires_us <= self._clock.now_us() or len(command.payload) > PAYLOAD_BYTES_MAX:
            return False
        subscribers = tuple(self._subscribers.get(command.device_id, ()))
        for deliver in subscribers:
            deliver(command)
        return bool(subscribers)


def _ignore_answer(device_id: str, command_id: str, result: str) -> None:
    log.debug("answer without a listener: %s %s %d characters", device_id, command_id, len(result))
