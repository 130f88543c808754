"""What the fan-out asks of an outlet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol


class Letter(NamedTuple):
    """One message for one outlet."""

    message: Mapping[str, Any]
    """As in :mod:`gateway.notification.message`."""
    key: str
    """The same whenever this notification is sent again."""
    alarm_id: str = ""
    """Empty: a summary."""
    n: int = 0


class Sender(Protocol):
    """One outlet's way out; used on the event loop."""

    every_s: float
    """How often :meth:`look` wants to be called; 0: never."""

    async def send(self, letter: Letter) -> None:
        """Give it to the outlet; returns when the outlet has it.

        Raises:
            NotSentError: it has not, or nobody knows. :class:`AbsentError`: nobody is there, and
                nobody has to be.
        """

    async def look(self) -> None:
        """Whether the outlet is there.

        Raises:
            NotSentError: it is not.
        """

    async def close(self) -> None:
        """Let go of connections; idempotent."""
