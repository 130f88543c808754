"""Who makes records of statements (:mod:`gateway.domain.statements`), and what becomes of them.

Rules:

- An interpreter is a state machine without I/O. It is asked on the event loop, per statement and
  per tick, and puts what follows into :class:`Findings`: records, state, and alarm conditions,
  which the alarm engine keeps.
- Records and state are committed with the submission; until then its driver acknowledges nothing.
- An interpreter's memory runs ahead of the disk. What the journal did not take is committed again
  at the next tick, with the state as it is then; until then newer findings queue up behind it and
  drivers are told that the journal is full; what was under way already may arrive before it. Hence
  news: a device that was not acknowledged says it again.
- Bounded: beyond :data:`UNSAVED_MAX` the oldest records go, and a Gap says how many.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from gateway.domain.ports import StateDelta, StateView
from gateway.domain.records import Gap, Record
from gateway.domain.statements import Statement
from gateway.journal.types import Labelled
from gateway.pipeline.alarms.state import Cause, Context

_log = logging.getLogger(__name__)

UNSAVED_MAX: Final = 10_000
"""Records kept in memory while the journal takes none."""


class NotUnderstoodError(Exception):
    """No interpreter takes a statement of this type: its driver's maker has none here."""


class Told(NamedTuple):
    """An alarm condition, and whether it stands."""

    context: Context
    cause: Cause
    active: bool


class Findings:
    """What follows from one statement, or from the time that has passed."""

    __slots__ = ("conditions", "deltas", "records")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.deltas: list[StateDelta] = []
        self.conditions: list[Told] = []

    def record(self, record: Record) -> None:
        """A record for the telemetry's lane; alarms are conditions instead."""
        self.records.append(record)

    def delta(self, space: str, key: str, value: bytes | None) -> None:
        """A piece of state; ``space`` is the interpreter's own."""
        self.deltas.append(StateDelta(space, key, value))

    def condition(self, context: Context, cause: Cause, *, active: bool) -> None:
        """An alarm condition stands, or does not; repeating is no news.

        ``cause.source`` is the gateway. Its condition is one of the interpreter's ``conditions``,
        alone or with what it is about behind a slash (``"recalled/30340…"``); it ends only by word
        of the interpreter, and when the device is retired.
        """
        self.conditions.append(Told(context, cause, active))

    def __bool__(self) -> bool:
        return bool(self.records or self.deltas or self.conditions)


class Interpreter(Protocol):
    """Makes findings of one sort of statements."""

    @property
    def takes(self) -> tuple[type[Statement], ...]:
        """Their types; each is one interpreter's."""

    @property
    def conditions(self) -> frozenset[str]:
        """Names of the alarm conditions that it tells."""

    @property
    def spaces(self) -> frozenset[str]:
        """State spaces that are its own."""

    def interpret(self, statement: Any, mono: float, found: Findings) -> None:
        """A statement came; the same one may come again."""

    def tick(self, at_us: int, mono: float, found: Findings) -> None:
        """Time has passed: 250 ms to 1 s."""

    def value_of(self, space: str, key: str) -> bytes | None:
        """A piece of state as it is now; None: it is not there."""

    def restore(self, view: StateView, mono: float) -> None:
        """Take over what was committed; once, before anything else.

        What can't be read is left out and logged: it must not keep the gateway from starting.
        """


class Unsaved(NamedTuple):
    """Records and state on their way to the journal."""

    records: Sequence[Labelled]
    keys: Mapping[tuple[str, str], None]


class Interpreters:
    """All interpreters of a gateway, and what of their findings is not on disk."""

    def __init__(self, interpreters: Iterable[Interpreter] = ()) -> None:
        self._all = tuple(interpreters)
        self._of: dict[type, Interpreter] = {}
        self._owner: dict[str, Interpreter] = {}
        for each in self._all:
            for kind in each.takes:
                if kind in self._of:
                    raise ValueError(f"two interpreters take {kind.__name__}")
                self._of[kind] = each
            self._owner |= dict.fromkeys(each.spaces, each)
        self._records: list[Labelled] = []
        self._keys: dict[tuple[str, str], None] = {}
        self._given_up = 0

    @property
    def conditions(self) -> frozenset[str]:
        """The names of every condition that one of them tells."""
        return frozenset().union(*(each.conditions for each in self._all))

    def restore(self, view: StateView, mono: float) -> None:
        """Take over what was committed."""
        for each in self._all:
            each.restore(view, mono)

    def interpret(self, statement: Statement, mono: float) -> Findings:
        """What follows from a statement.

        Raises:
            NotUnderstoodError: no interpreter takes it.
        """
        found = Findings()
        interpreter = self._of.get(type(statement))
        if interpreter is None:
            raise NotUnderstoodError
        interpreter.interpret(statement, mono, found)
        return found

    def tick(self, at_us: int, mono: float) -> Findings:
        """What follows from the time that has passed."""
        found = Findings()
        for each in self._all:
            each.tick(at_us, mono, found)
        return found

    # What did not arrive

    @property
    def waits(self) -> bool:
        """Whether something did not arrive: what is new queues up behind it."""
        return bool(self._keys or self._records or self._given_up)

    def put_back(self, unsaved: Unsaved) -> None:
        """The journal did not take it."""
        self._records += unsaved.records
        self._keys |= unsaved.keys
        excess = len(self._records) - UNSAVED_MAX
        if excess > 0:
            _log.error("the journal takes no records: %d are given up", excess)
            self._given_up += excess
            del self._records[:excess]

    def catch_up(self, label: Callable[[Gap], Labelled]) -> tuple[list[Labelled], list[StateDelta]]:
        """Everything that did not arrive, with the state as it is now; it is forgotten here."""
        records, keys = self._records, self._keys
        if self._given_up:
            records = [label(Gap(reason="not_taken", reports=self._given_up)), *records]
        self._records, self._keys, self._given_up = [], {}, 0
        return records, [StateDelta(*key, self._owner[key[0]].value_of(*key)) for key in keys]
