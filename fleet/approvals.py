"""Two-person approval: dangerous calls wait until a second operator has agreed.

Rules:

* A request is its kind and its canonical parameters, kept with their digest. Whoever approves names
  the digest of what was shown, and exactly that is executed.
* Nobody approves a request of their own. Both must hold their roles, with a good certificate, from
  their word until the execution: a request of somebody who lost them is void at once, and stays so.
* The approval is durable before anything is executed; the change and the mark that it was made are
  one transaction. So after a crash it is executed if it was not, and never twice.
* What is done elsewhere stays approved until it is taken, once, or it expires.
* What may happen is the table :data:`STEPS`. What it doesn't name is refused and changes nothing.

Other parts extend it with :meth:`Approvals.register`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from fleet.operators import OperatorStore
from fleet.registry import Registry
from fleet.roles import NOT_ALLOWED, Roles, phrase
from fleet.store import KnownError, NotKnownError, PreconditionError, Store
from gateway.domain.errors import MalformedError, RefusedError
from security.identity import Auditor

OPEN_MAX: Final = 100
"""Requests that wait at the same time."""
PARAMETERS_BYTES_MAX: Final = 8 << 20
"""The ids of 100,000 devices."""
KEPT_US: Final = 400 * 86_400_000_000
DETAIL_CHARS_MAX: Final = 200
HOUR_US: Final = 3_600_000_000

Parameters = Mapping[str, str | int | Sequence[str]]
Within = Callable[[], None]
"""Called by whoever executes, in the transaction that makes the change."""

log = logging.getLogger(__name__)


class State(StrEnum):
    """Where a request is."""

    PENDING = "pending"
    APPROVED = "approved"
    EXECUTED = "executed"
    FAILED = "failed"
    """Approved, and impossible as things were."""
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"
    """One of the two was no longer entitled."""


class Event(StrEnum):
    """What happens to a request."""

    APPROVE = "approve"
    REJECT = "reject"
    EXPIRE = "expire"
    DISQUALIFY = "disqualify"
    DONE = "done"
    FAIL = "fail"


STEPS: Final[Mapping[tuple[State, Event], State]] = {
    (State.PENDING, Event.APPROVE): State.APPROVED,
    (State.PENDING, Event.REJECT): State.REJECTED,
    (State.PENDING, Event.EXPIRE): State.EXPIRED,
    (State.PENDING, Event.DISQUALIFY): State.VOID,
    (State.APPROVED, Event.DONE): State.EXECUTED,
    (State.APPROVED, Event.FAIL): State.FAILED,
    (State.APPROVED, Event.DISQUALIFY): State.VOID,
    (State.APPROVED, Event.EXPIRE): State.EXPIRED,
}


class Kind(NamedTuple):
    """A sort of dangerous call."""

    requesters: Roles
    approvers: Roles
    execute: Callable[[Parameters, str, Within], Awaitable[None]]
    """With the parameters, both names, and what to call in the change's transaction."""
    taken: bool = False
    """Done elsewhere: it waits for :meth:`Approvals.take`."""


class Approval(NamedTuple):
    """A request, as kept."""

    approval_id: int
    kind: str
    parameters: str
    digest: str
    requested_by: str
    requested_us: int
    expires_us: int
    state: State
    decided_by: str = ""
    decided_us: int = 0
    detail: str = ""

    @property
    def both(self) -> str:
        """The two names, for the audit log; ``+`` is in no name."""
        return f"{self.requested_by}+{self.decided_by}"


class ApprovalStore:
    """Requests in the fleet's store; on the store's thread."""

    def __init__(self, store: Store, operators: OperatorStore, kinds: Mapping[str, Kind]) -> None:
        self._store = store
        self._operators = operators
        self._kinds = kinds
        operators.changed = self.sweep
        self._ended: list[int] = []

    def get(self, approval_id: int) -> Approval:
        """One request.

        Raises:
            NotKnownError: there is none.
        """
        row = self._store.db.execute(
            "SELECT * FROM approvals WHERE approval_id=?", (approval_id,)
        ).fetchone()
        if row is None:
            raise NotKnownError(f"no request {approval_id}")
        return _approval(row)

    def found(self, *states: State) -> list[Approval]:
        """Requests in these states, or in any; oldest first."""
        rows = self._store.db.execute("SELECT * FROM approvals ORDER BY approval_id")
        return [each for each in map(_approval, rows) if not states or each.state in states]

    def put(self, asked: Approval) -> Approval:
        """Note a request; who repeats one that waits gets that one.

        Raises:
            PreconditionError: too many wait.
        """
        with self._store.transaction():
            self.sweep()
            waiting = self.found(State.PENDING)
            for each in waiting:
                if (each.digest, each.requested_by) == (asked.digest, asked.requested_by):
                    return each
            if len(waiting) >= OPEN_MAX:
                raise PreconditionError(f"{OPEN_MAX} requests wait already: decide some of them")
            self._store.db.execute(
                "DELETE FROM approvals WHERE state NOT IN ('pending', 'approved')"
                " AND requested_us < ?",
                (asked.requested_us - KEPT_US,),
            )
            done = self._store.db.execute(
                "INSERT INTO approvals (kind, parameters, digest, requested_by, requested_us,"
                " expires_us, state) VALUES (?,?,?,?,?,?,?)",
                asked[1:8],
            )
            return asked._replace(approval_id=int(done.lastrowid or 0))

    def step(self, approval_id: int, event: Event, by: str = "", detail: str = "") -> Approval:
        """Go on by the table.

        Raises:
            NotKnownError: there is no such request.
            PreconditionError: not from where it is.
        """
        with self._store.transaction():
            now = self.get(approval_id)
            state = STEPS.get((now.state, event))
            if state is None:
                raise PreconditionError(f"request {approval_id} is {now.state} already")
            changed = now._replace(
                state=state,
                decided_by=by or now.decided_by,
                decided_us=self._store.now_us() if by else now.decided_us,
                detail=detail[:DETAIL_CHARS_MAX] or now.detail,
            )
            self._store.db.execute(
                "UPDATE approvals SET state=?, decided_by=?, decided_us=?, detail=?"
                " WHERE approval_id=?",
                (state, *changed[8:], approval_id),
            )
            return changed

    def sweep(self) -> None:
        """End what waited for too long, or whose requester is no longer entitled."""
        with self._store.transaction():
            for each in self.found(State.PENDING, State.APPROVED):
                if each.state is State.APPROVED and not self.is_taken(each.kind):
                    continue  # it is being executed
                if not self.entitled(each.requested_by, each.kind):
                    self.step(each.approval_id, Event.DISQUALIFY, detail="the requester")
                elif each.expires_us <= self._store.now_us():
                    self.step(each.approval_id, Event.EXPIRE)
                else:
                    continue
                self._ended.append(each.approval_id)

    def swept(self) -> list[Approval]:
        """Sweep; returns what has ended by that since the last time."""
        self.sweep()
        ended = [self.get(number) for number in self._ended]
        self._ended.clear()
        # One may wait again: the transaction that had ended it was undone.
        waits = (State.PENDING, State.APPROVED)
        return [each for each in ended if each.state not in waits]

    def is_taken(self, kind: str) -> bool:
        """Whether requests of this kind are done elsewhere."""
        known = self._kinds.get(kind)
        return known is not None and known.taken

    def both_entitled(self, found: Approval) -> bool:
        """Whether who asked and who agreed may still do so."""
        return self.entitled(found.requested_by, found.kind) and self.entitled(
            found.decided_by, found.kind, approver=True
        )

    def take(self, approval_id: int, kind: str, digest: str) -> Approval:
        """Use up an approval that is to be carried out elsewhere.

        Raises:
            NotKnownError: there is no such request of this kind.
            PreconditionError: not approved, used up, void, or another than was shown.
        """
        with self._store.transaction():
            now = self.get(approval_id)
            if now.kind != kind or not self.is_taken(kind):
                raise NotKnownError(f"no request {approval_id} of the kind {kind}")
            if now.state is not State.APPROVED:
                raise PreconditionError(f"request {approval_id} is {now.state}, not approved")
            if digest != now.digest:
                raise PreconditionError(f"request {approval_id} is not what was shown")
            if not self.both_entitled(now):
                return self.step(approval_id, Event.DISQUALIFY, detail="one of the two")
            return self.step(approval_id, Event.DONE)

    def entitled(self, name: str, kind: str, *, approver: bool = False) -> bool:
        """Whether somebody may ask for this kind, or approve it, now."""
        known = self._kinds.get(kind)
        if known is None:
            return False
        takes = known.approvers if approver else known.requesters
        return not takes.isdisjoint(self._operators.standing_roles(name))

    def decide(self, approval_id: int, event: Event, digest: str, by: str, detail: str) -> Approval:
        """Approve or reject.

        Raises:
            NotKnownError: there is no such request.
            PreconditionError: it is decided or has ended, or is another than was shown.
            RefusedError: ``not_allowed``: own request, or not by this role.
        """
        with self._store.transaction():
            now = self.get(approval_id)
            own = now.requested_by == by
            if event is Event.APPROVE:
                if own:
                    raise RefusedError(NOT_ALLOWED, f"{by} asked for this: another must approve")
                if digest != now.digest:
                    raise PreconditionError(f"request {approval_id} is not what was shown")
            if not own and not self.entitled(by, now.kind, approver=True):
                kind = self._kinds.get(now.kind)
                takes = phrase(kind.approvers) if kind else "-"
                raise RefusedError(NOT_ALLOWED, f"{by} may not decide {now.kind}: takes {takes}")
            return self.step(approval_id, event, by, detail)


class Approvals:
    """What the service asks; on the loop's thread."""

    def __init__(
        self,
        store: Store,
        operators: OperatorStore,
        registry: Registry,
        hours: float,
        audit: Auditor,
    ) -> None:
        self.kinds: dict[str, Kind] = {}
        self.kept = ApprovalStore(store, operators, self.kinds)
        self._now_us = store.now_us
        self._run = registry.run
        self._lasts_us = round(hours * HOUR_US)
        self._audit = audit

    def register(self, name: str, kind: Kind) -> None:
        """Add a sort of call; before :meth:`resume`."""
        self.kinds[name] = kind

    async def request(self, kind: str, parameters: Parameters, by: str) -> Approval:
        """Have a call wait for a second person.

        Raises:
            PreconditionError: too many wait.
            MalformedError: ``approval``: the parameters are too long.
        """
        text = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
        if len(text) > PARAMETERS_BYTES_MAX:
            raise MalformedError("approval", "too long")
        digest = hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()
        now_us = self._now_us()
        asked = Approval(0, kind, text, digest, by, now_us, now_us + self._lasts_us, State.PENDING)
        found = await self._run(self.kept.put, asked)
        self._record("approval_requested", found, by)
        return found

    async def list(self, *, every: bool) -> list[Approval]:
        """What waits, or everything that is kept."""
        await self._sweep()
        states = () if every else (State.PENDING, State.APPROVED)
        return await self._run(self.kept.found, *states)

    async def get(self, approval_id: int) -> Approval:
        """One request.

        Raises:
            NotKnownError: there is none.
        """
        await self._sweep()
        return await self._run(self.kept.get, approval_id)

    async def approve(self, approval_id: int, digest: str, by: str) -> Approval:
        """Agree, and have it executed; returns what became of it.

        Raises:
            NotKnownError, PreconditionError, RefusedError: as :meth:`ApprovalStore.decide`.
        """
        await self._sweep()
        found = await self._run(self.kept.decide, approval_id, Event.APPROVE, digest, by, "")
        self._record("approval_given", found, by)
        return await self._execute(found)

    async def reject(self, approval_id: int, by: str, reason: str) -> Approval:
        """Refuse it, or withdraw one's own.

        Raises:
            NotKnownError, PreconditionError, RefusedError: as :meth:`ApprovalStore.decide`.
        """
        await self._sweep()
        found = await self._run(self.kept.decide, approval_id, Event.REJECT, "", by, reason)
        self._record("approval_rejected", found, by)
        return found

    async def take(self, approval_id: int, kind: str, digest: str, by: str) -> Approval:
        """Hand out, once, what was approved to be done elsewhere.

        Raises:
            NotKnownError, PreconditionError: as :meth:`ApprovalStore.take`.
        """
        await self._sweep()
        found = await self._run(self.kept.take, approval_id, kind, digest)
        if found.state is State.VOID:
            self._record("approval_void", found, found.both)
            raise PreconditionError(f"request {approval_id} is void: {found.detail} lost the role")
        self._record("approval_taken", found, by)
        return found

    async def resume(self) -> None:
        """After a start: execute what was approved and could not be executed any more."""
        for each in await self._run(self.kept.found, State.APPROVED):
            log.warning("request %d was approved before the last stop", each.approval_id)
            await self._execute(each)

    async def _execute(self, found: Approval) -> Approval:
        number = found.approval_id
        if not await self._run(self.kept.both_entitled, found):
            ended = await self._run(self.kept.step, number, Event.DISQUALIFY, "", "one of the two")
            self._record("approval_void", ended, found.both)
            return ended
        if self.kept.is_taken(found.kind):
            return found
        parameters = json.loads(found.parameters)
        try:
            await self.kinds[found.kind].execute(parameters, found.both, lambda: self._mark(number))
        except (KnownError, NotKnownError, PreconditionError, MalformedError) as error:
            ended = await self._run(self.kept.step, number, Event.FAIL, "", str(error))
            self._record("approval_failed", ended, found.both)
            return ended
        ended = await self._run(self.kept.get, number)
        self._record("approval_executed", ended, found.both)
        return ended

    def _mark(self, approval_id: int) -> None:
        self.kept.step(approval_id, Event.DONE)

    async def _sweep(self) -> None:
        for each in await self._run(self.kept.swept):
            self._record(f"approval_{each.state}", each, each.requested_by)

    def _record(self, event: str, found: Approval, by: str) -> None:
        self._audit.record(
            event,
            by=by,
            approval=found.approval_id,
            kind=found.kind,
            digest=found.digest,
            requested_by=found.requested_by,
            state=found.state,
        )


def _approval(row: tuple[int, str, str, str, str, int, int, str, str, int, str]) -> Approval:
    return Approval(*row[:7], State(row[7]), *row[8:])
