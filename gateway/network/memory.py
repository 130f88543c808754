"""What is known by device, kept with the journal's state.

Rules:

* Memory runs ahead of the disk: what the journal did not take is owed, and saved again by whoever
  owns it, as it is by then.
* What can't be read is left out and logged: it must not keep the gateway from starting.

No I/O. To be used on the loop's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.ports import Outcome, Sink, StateDelta, StateView, Submission

log = logging.getLogger(__name__)

_Value = TypeVar("_Value", bound=msgspec.Struct)


class Memory(Generic[_Value]):
    """One state space.

    Args:
        space: its name.
        kind: what is kept of each device.
        what: that is, in words, for the log.
        sink: commits it.
    """

    def __init__(self, space: str, kind: type[_Value], what: str, sink: Sink) -> None:
        self._space = space
        self._kind = kind
        self._what = what
        self._sink = sink
        self._owed: set[str] = set()

    @property
    def owed(self) -> list[str]:
        """The devices whose state is still to be saved, by name."""
        return sorted(self._owed)

    def read(self, view: StateView) -> Iterator[tuple[str, _Value]]:
        """Every device's, as it was committed."""
        for device_id, value in view.items(self._space).items():
            try:
                yield device_id, msgspec.msgpack.decode(value, type=self._kind)
            except UNDECODABLE:
                log.error("%s can't be read: %s", self._what, device_id)  # noqa: TRY400  # nothing more to tell

    def owe(self, device_id: str) -> None:
        """It can't be saved yet."""
        self._owed.add(device_id)

    def save(
        self,
        device_id: str,
        value: _Value | None,
        settled: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        """Commit what is known of a device; None: nothing.

        Args:
            device_id: which.
            value: as it is now.
            settled: is told what became of it; if it was not committed, it is owed.
        """

        def done(outcome: Outcome) -> None:
            if outcome is not Outcome.COMMITTED:
                self._owed.add(device_id)
            settled(outcome)

        self._owed.discard(device_id)
        packed = None if value is None else msgspec.msgpack.encode(value)
        self._sink.submit(Submission([], done, [StateDelta(self._space, device_id, packed)]))
