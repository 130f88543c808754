"""Two-person approval: the table of states, who may decide, and exactly one execution."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, cast

import pytest

from fleet.approvals import OPEN_MAX, STEPS, Approvals, Event, Kind, Parameters, State
from fleet.operators import OperatorRow, OperatorStore
from fleet.roles import OperatorRole
from fleet.store import CredentialRow, NotKnownError, PreconditionError, Store
from gateway.domain.errors import RefusedError
from security.names import Role
from tests.fakes import FakeClock

OFFICER = frozenset({OperatorRole.SECURITY_OFFICER})
DPO = frozenset({OperatorRole.DPO})
HOURS = 24
WHAT: Parameters = {"devices": ["b", "a"], "reason": "stolen"}


class Log:
    def __init__(self):
        self.events = []

    def record(self, event, **fields):
        self.events.append((event, fields))

    def names(self):
        return [event for event, _ in self.events]


class Threads:
    """Of a registry, what approvals use."""

    def __init__(self):
        self.pool = ThreadPoolExecutor(1)

    def run(self, call, *args):
        return asyncio.get_running_loop().run_in_executor(self.pool, call, *args)


class Crashed(BaseException):
    """The process is gone."""


class Desk:
    """Approvals over a real store, with a kind that writes into it."""

    def __init__(self, path, clock):
        self.clock, self.path = clock, path
        self.audit = cast(Any, Log())
        self.store = Store.open(path, clock.now_us)
        self.store.db.execute("CREATE TABLE IF NOT EXISTS done (what TEXT)")
        self.operators = OperatorStore(self.store)
        self.threads = cast(Any, Threads())
        self.approvals = Approvals(self.store, self.operators, self.threads, HOURS, self.audit)
        self.approvals.register("erase", Kind(OFFICER, OFFICER | DPO, self.erase))
        self.before = self.during = self.after = lambda: None

    def officer(self, name, roles=OFFICER):
        now_us = self.clock.now_us()
        end_us = now_us + 90 * 86_400_000_000
        serial = len(self.operators.rows()) + 1
        credential = CredentialRow(serial, Role.OPERATOR, name, now_us, end_us)
        self.operators.add(OperatorRow(name, roles, now_us, ""), credential)

    async def erase(self, parameters, by, within):
        self.before()

        def change():
            with self.store.transaction():
                self.store.db.execute("INSERT INTO done VALUES (?)", (by,))
                self.during()
                within()

        await self.threads.run(change)
        self.after()

    def done(self):
        return [by for (by,) in self.store.db.execute("SELECT what FROM done")]

    async def ask(self, by="ada"):
        return await self.approvals.request("erase", WHAT, by)

    def again(self):
        """After a crash: another process with the same store."""
        self.threads.pool.shutdown()
        self.store.close()
        return Desk(self.path, self.clock)


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path / "fleet.db", FakeClock())
    made.officer("ada")
    made.officer("bob")
    made.officer("cy", DPO)
    made.officer("eve", frozenset({OperatorRole.VIEWER}))
    return made


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
async def test_every_state_with_every_event(desk, state, event):
    asked = await desk.ask()
    desk.store.db.execute("UPDATE approvals SET state=?", (state,))
    expected = STEPS.get((state, event))
    if expected is None:
        with pytest.raises(PreconditionError, match=f"is {state} already"):
            desk.approvals.kept.step(asked.approval_id, event)
        assert desk.approvals.kept.get(asked.approval_id).state is state
    else:
        assert desk.approvals.kept.step(asked.approval_id, event).state is expected


def test_the_table_leads_from_pending_to_an_end_and_from_no_end():
    ends = set(State) - {State.PENDING, State.APPROVED}
    assert {state for state, _ in STEPS} == {State.PENDING, State.APPROVED}
    assert set(STEPS.values()) == ends | {State.APPROVED}
    assert (State.PENDING, Event.DONE) not in STEPS


INPUTS = {
    "approve": lambda desk, asked: desk.approvals.approve(asked.approval_id, asked.digest, "bob"),
    "own": lambda desk, asked: desk.approvals.approve(asked.approval_id, asked.digest, "ada"),
    "viewer": lambda desk, asked: desk.approvals.approve(asked.approval_id, asked.digest, "eve"),
    "stranger": lambda desk, asked: desk.approvals.approve(asked.approval_id, asked.digest, "zoe"),
    "other digest": lambda desk, asked: desk.approvals.approve(asked.approval_id, "0" * 64, "bob"),
    "reject": lambda desk, asked: desk.approvals.reject(asked.approval_id, "bob", "no"),
    "withdraw": lambda desk, asked: desk.approvals.reject(asked.approval_id, "ada", ""),
    "viewer rejects": lambda desk, asked: desk.approvals.reject(asked.approval_id, "eve", ""),
    "look": lambda desk, asked: desk.approvals.get(asked.approval_id),
}
FROM_PENDING: dict[str, Any] = {
    "approve": State.EXECUTED,
    "own": RefusedError,
    "viewer": RefusedError,
    "stranger": RefusedError,
    "other digest": PreconditionError,
    "reject": State.REJECTED,
    "withdraw": State.REJECTED,
    "viewer rejects": RefusedError,
    "look": State.PENDING,
}


@pytest.mark.parametrize(("state", "name"), list(product(State, INPUTS)))
async def test_every_state_with_everything_that_a_person_can_do(desk, state, name):
    asked = await desk.ask()
    desk.store.db.execute("UPDATE approvals SET state=?, decided_by='cy'", (state,))
    if state is State.PENDING:
        expected = FROM_PENDING[name]
    elif name == "look":
        expected = state
    else:
        # Whoever may not decide hears that first.
        expected = FROM_PENDING[name] if FROM_PENDING[name] is RefusedError else PreconditionError
    if isinstance(expected, State):
        assert (await INPUTS[name](desk, asked)).state is expected
    else:
        with pytest.raises(expected):
            await INPUTS[name](desk, asked)
        assert desk.approvals.kept.get(asked.approval_id).state is state
    executed = state is State.PENDING and name == "approve"
    assert desk.done() == (["ada+bob"] if executed else [])


async def test_both_names_are_in_the_audit_log(desk):
    asked = await desk.ask()
    await desk.approvals.approve(asked.approval_id, asked.digest, "cy")
    assert desk.audit.names() == ["approval_requested", "approval_given", "approval_executed"]
    fields = desk.audit.events[-1][1]
    assert (fields["by"], fields["kind"], fields["digest"]) == ("ada+cy", "erase", asked.digest)


async def test_the_digest_is_of_the_canonical_parameters(desk):
    asked = await desk.ask()
    turned = dict(reversed(list(WHAT.items())))
    again = await desk.approvals.request("erase", turned, "ada")
    assert again == asked  # repeated, not doubled
    other = await desk.approvals.request("erase", {**WHAT, "reason": "lost"}, "ada")
    assert other.digest != asked.digest
    by_another = await desk.ask("bob")
    assert by_another.approval_id != asked.approval_id


async def test_it_expires_to_the_microsecond(desk):
    asked = await desk.ask()
    desk.clock.advance(HOURS * 3600 - 1e-6)
    (waiting,) = await desk.approvals.list(every=False)
    assert waiting.state is State.PENDING
    desk.clock.advance(1e-6)
    with pytest.raises(PreconditionError, match="is expired already"):
        await desk.approvals.approve(asked.approval_id, asked.digest, "bob")
    assert await desk.approvals.list(every=False) == []
    assert desk.audit.names()[-1] == "approval_expired"


LOST = {
    "role": lambda desk, name: desk.operators.set_roles(name, frozenset()),
    "row": lambda desk, name: desk.store.revoke([], "", lambda: desk.operators.forget(name)),
    "certificate": lambda desk, name: desk.store.revoke(
        [row.serial for row in desk.store.credentials(Role.OPERATOR, name)], ""
    ),
    "time": lambda desk, name: desk.store.db.execute(
        "UPDATE credentials SET not_after_us=? WHERE id=?", (desk.clock.now_us(), name)
    ),
}


@pytest.mark.parametrize("how", LOST)
async def test_the_request_of_somebody_no_longer_entitled_is_void(desk, how):
    asked = await desk.ask()
    LOST[how](desk, "ada")
    with pytest.raises(PreconditionError, match="is void already"):
        await desk.approvals.approve(asked.approval_id, asked.digest, "bob")
    assert (desk.done(), desk.audit.names()[-1]) == ([], "approval_void")


async def test_a_role_that_comes_back_brings_no_request_back(desk):
    asked = await desk.ask()
    desk.operators.set_roles("ada", frozenset())
    desk.operators.set_roles("ada", OFFICER)
    assert (await desk.approvals.get(asked.approval_id)).state is State.VOID


async def test_a_change_of_roles_that_is_undone_leaves_requests_alone(desk):
    asked = await desk.ask()
    desk.operators.set_roles("bob", frozenset())
    with pytest.raises(PreconditionError, match="last security officer"):
        desk.operators.set_roles("ada", frozenset())
    assert (await desk.approvals.get(asked.approval_id)).state is State.PENDING


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("who", ["ada", "cy"])
async def test_who_lost_it_between_word_and_execution_makes_it_void(desk, who, how):
    asked = await desk.ask()
    kept = desk.approvals.kept
    kept.decide(asked.approval_id, Event.APPROVE, asked.digest, "cy", "")
    LOST[how](desk, who)
    await desk.approvals.resume()
    assert kept.get(asked.approval_id).state is State.VOID
    assert desk.done() == []


@pytest.mark.parametrize("when", ["decided", "before", "during", "after"])
async def test_a_crash_at_any_point_leaves_one_execution(desk, when):
    asked = await desk.ask()

    def crash():
        raise Crashed

    if when == "decided":
        desk.approvals.kept.decide(asked.approval_id, Event.APPROVE, asked.digest, "bob", "")
    else:
        setattr(desk, when, crash)
        with pytest.raises(Crashed):
            await desk.approvals.approve(asked.approval_id, asked.digest, "bob")
    back = desk.again()
    await back.approvals.resume()
    await back.approvals.resume()
    assert back.done() == ["ada+bob"]
    assert back.approvals.kept.get(asked.approval_id).state is State.EXECUTED
    with pytest.raises(PreconditionError, match="is executed already"):
        await back.approvals.approve(asked.approval_id, asked.digest, "cy")


async def test_two_who_approve_at_once_execute_once(desk):
    asked = await desk.ask()
    results = await asyncio.gather(
        *(desk.approvals.approve(asked.approval_id, asked.digest, by) for by in ("bob", "cy")),
        return_exceptions=True,
    )
    assert len(desk.done()) == 1
    assert sum(isinstance(each, PreconditionError) for each in results) == 1


async def test_what_can_not_be_done_any_more_has_failed(desk):
    asked = await desk.ask()

    def gone():
        raise NotKnownError("device a is not registered")

    desk.during = gone
    done = await desk.approvals.approve(asked.approval_id, asked.digest, "bob")
    assert (done.state, done.detail) == (State.FAILED, "device a is not registered")
    assert desk.done() == []


async def test_a_disk_that_fails_leaves_it_approved_and_a_restart_executes_it(desk):
    asked = await desk.ask()

    def broken():
        raise sqlite3.OperationalError("disk I/O error")

    desk.during = broken
    with pytest.raises(sqlite3.OperationalError):
        await desk.approvals.approve(asked.approval_id, asked.digest, "bob")
    back = desk.again()
    await back.approvals.resume()
    assert back.done() == ["ada+bob"]


async def test_only_so_many_wait(desk):
    for number in range(OPEN_MAX):
        await desk.approvals.request("erase", {"number": number}, "ada")
    with pytest.raises(PreconditionError, match="wait already"):
        await desk.approvals.request("erase", {"number": OPEN_MAX}, "ada")


async def test_there_is_no_such_request(desk):
    with pytest.raises(NotKnownError, match="no request 7"):
        await desk.approvals.approve(7, "", "bob")


async def approved_elsewhere(desk):
    """A request that is to be done elsewhere, and has been agreed to."""

    async def nothing_here(_parameters, _by, _within):
        raise AssertionError

    desk.approvals.register("reidentify", Kind(DPO, OFFICER, nothing_here, taken=True))
    asked = await desk.approvals.request("reidentify", WHAT, "cy")
    return await desk.approvals.approve(asked.approval_id, asked.digest, "bob")


async def test_what_is_done_elsewhere_waits_and_is_taken_once(desk):
    found = await approved_elsewhere(desk)
    assert found.state is State.APPROVED
    await desk.approvals.resume()
    number = found.approval_id
    with pytest.raises(PreconditionError, match="not what was shown"):
        await desk.approvals.take(number, "reidentify", "0" * 64, "cy")
    taken = await desk.approvals.take(number, "reidentify", found.digest, "cy")
    assert taken.state is State.EXECUTED
    with pytest.raises(PreconditionError, match="executed, not approved"):
        await desk.approvals.take(number, "reidentify", found.digest, "cy")
    assert desk.audit.names()[-1] == "approval_taken"


async def test_nothing_else_can_be_taken(desk):
    asked = await desk.ask()
    with pytest.raises(NotKnownError):
        await desk.approvals.take(asked.approval_id, "erase", asked.digest, "ada")
    with pytest.raises(NotKnownError):
        await desk.approvals.take(99, "reidentify", "", "cy")


async def test_nobody_takes_what_has_waited_for_too_long(desk):
    found = await approved_elsewhere(desk)
    desk.clock.advance(HOURS * 3600 + 1)
    with pytest.raises(PreconditionError, match="expired"):
        await desk.approvals.take(found.approval_id, "reidentify", found.digest, "cy")
    assert "approval_expired" in desk.audit.names()


@pytest.mark.parametrize("gone", ["cy", "bob"])
async def test_nobody_takes_what_one_of_the_two_may_not_ask_for_any_more(desk, gone):
    found = await approved_elsewhere(desk)
    desk.operators.set_roles(gone, frozenset({OperatorRole.VIEWER}))
    with pytest.raises(PreconditionError, match="void"):
        await desk.approvals.take(found.approval_id, "reidentify", found.digest, "cy")
