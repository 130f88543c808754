"""Who the operators are, and which roles each of them has.

Rules:

* Roles are in the store, not in certificates, and are read at each call: a change holds from the
  next call on, also when the fleet's own host made it.
* A certificate proves a name. Without a row here that name may nothing, and a name that is taken
  gets no second certificate: nobody becomes another operator by asking for one.
* At least one security officer with a good certificate is left after every change, in the
  transaction that makes it; otherwise nothing changes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

from fleet.registry import Registry, credential_row
from fleet.roles import OperatorRole, Roles, check, parse
from fleet.store import CredentialRow, KnownError, NotKnownError, PreconditionError, Store
from gateway.domain.errors import MalformedError
from gateway.domain.ports import Clock
from security import pki
from security.identity import Auditor
from security.names import Role, is_id
from security.pki import Issued, Subject, Validity

OPERATORS_MAX: Final = 1000
DAYS: Final = 365.0
"""How long an operator's certificate is good."""
DAYS_MAX: Final = 1095.0


class OperatorRow(NamedTuple):
    """An operator and what it may do."""

    name: str
    roles: Roles
    added_us: int
    added_by: str


class OperatorStore:
    """The operators in the fleet's store; on the store's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._db: sqlite3.Connection = store.db
        self.changed: Callable[[], object] = _nothing
        """Called in the transaction that takes something away from somebody."""

    def row(self, name: str) -> OperatorRow | None:
        """One operator."""
        found = self._db.execute("SELECT * FROM operators WHERE name=?", (name,)).fetchone()
        return _row(found) if found else None

    def rows(self) -> list[OperatorRow]:
        """Every operator, by name."""
        return [_row(each) for each in self._db.execute("SELECT * FROM operators ORDER BY name")]

    def roles(self, name: str) -> Roles:
        """What an operator may do now."""
        row = self.row(name)
        return row.roles if row else frozenset()

    def standing_roles(self, name: str) -> Roles:
        """As :meth:`roles`, and none once all of its certificates are revoked or over."""
        return self.roles(name) if self.has_certificate(name) else frozenset()

    def has_certificate(self, name: str) -> bool:
        """Whether one of its certificates is good."""
        now_us = self._store.now_us()
        return any(
            not each.revoked_us and each.not_after_us > now_us
            for each in self._store.credentials(Role.OPERATOR, name)
        )

    def officers(self) -> list[str]:
        """Security officers with a good certificate."""
        officer = OperatorRole.SECURITY_OFFICER
        return [each.name for each in self.rows() if officer in self.standing_roles(each.name)]

    def add(self, row: OperatorRow, credential: CredentialRow | None) -> None:
        """Add an operator, with its first certificate or with what it has.

        Raises:
            KnownError: the name is taken.
        """
        with self._store.transaction():
            if self.row(row.name) or (credential and self.has_certificate(row.name)):
                raise KnownError(f"operator {row.name} is there already")
            (count,) = self._db.execute("SELECT count(*) FROM operators").fetchone()
            if count >= OPERATORS_MAX:
                raise MalformedError("operator", f"there are {OPERATORS_MAX} already")
            self._db.execute("INSERT INTO operators VALUES (?,?,?,?)", _columns(row))
            if credential:
                self._store.insert_credential(credential)

    def set_roles(
        self, name: str, roles: Roles, within: Callable[[], None] | None = None
    ) -> OperatorRow:
        """Give an operator other roles; ``within`` is called in the same transaction.

        Raises:
            NotKnownError: there is none of this name.
            PreconditionError: no security officer would be left.
        """
        with self._store.transaction():
            row = self.row(name)
            if row is None:
                raise NotKnownError(f"no operator {name}")
            row = row._replace(roles=roles)
            self._db.execute("UPDATE operators SET roles=? WHERE name=?", (_columns(row)[1], name))
            if OperatorRole.SECURITY_OFFICER not in roles:
                self.keep_an_officer()
            else:
                self.changed()
            if within is not None:
                within()
            return row

    def forget(self, name: str) -> None:
        """Within a transaction, take an operator's roles away.

        Raises:
            PreconditionError: no security officer would be left.
        """
        self._db.execute("DELETE FROM operators WHERE name=?", (name,))
        self.keep_an_officer()

    def keep_an_officer(self) -> None:
        """Undo the transaction if it leaves no security officer; else tell of the change.

        Raises:
            PreconditionError: it does.
        """
        if not self.officers():
            raise PreconditionError("the last security officer can not go: appoint another first")
        self.changed()


def note_on_host(database: Path, name: str, roles: Roles, clock: Clock) -> None:
    """Give an operator roles, on the fleet's own host; works while the service runs.

    This is how the first operator comes in, and the way back when nobody is left who may appoint.

    Raises:
        PreconditionError: no security officer would be left.
    """
    store = Store.open(database, clock.now_us)
    try:
        kept = OperatorStore(store)
        if kept.row(name):
            kept.set_roles(name, roles)
        else:
            kept.add(OperatorRow(name, roles, clock.now_us(), ""), None)
    finally:
        store.close()


class Operators:
    """What the service asks and changes; on the loop's thread."""

    def __init__(self, store: Store, registry: Registry, clock: Clock, audit: Auditor) -> None:
        self.kept = OperatorStore(store)
        self._registry = registry
        self._clock = clock
        self._audit = audit

    async def check(self, name: str, rights: Iterable[str]) -> None:
        """Whether an operator has all of the rights now.

        Raises:
            RefusedError: ``not_allowed``.
        """
        check(name, await self._registry.run(self.kept.roles, name), rights)

    async def all(self) -> list[tuple[OperatorRow, list[CredentialRow]]]:
        """Every operator with its certificates."""
        rows = await self._registry.run(self.kept.rows)
        return [(row, await self.credentials(row.name)) for row in rows]

    async def credentials(self, name: str) -> list[CredentialRow]:
        """All certificates of an operator."""
        return await self._registry.credentials(Role.OPERATOR, name)

    async def add(
        self, name: str, roles: Roles, csr: bytes, days: float, by: str
    ) -> tuple[OperatorRow, Issued | None]:
        """Add an operator; with a certificate request, issue its certificate.

        Raises:
            KnownError: the name is taken.
            MalformedError: ``operator``, ``csr``, ``csr_signature``, ``csr_key`` or ``days``.
        """
        if not is_id(name):
            raise MalformedError("operator", f"not a name: {name!r}")
        if days > DAYS_MAX:
            raise MalformedError("days", f"at most {DAYS_MAX:g}")
        now_us = self._clock.now_us()
        row = OperatorRow(name, roles, now_us, by)
        issued = credential = None
        if csr:
            key = pki.read_csr(csr)
            validity = Validity.days(pki.moment(now_us), days or DAYS)
            issued = self._registry.certify(Subject(Role.OPERATOR, name), key, validity)
            credential = credential_row(issued, Role.OPERATOR, name, now_us)
        await self._registry.run(self.kept.add, row, credential)
        self._record("operator_added", row, by)
        return row, issued

    async def set_roles(
        self, name: str, roles: Roles, by: str, within: Callable[[], None] | None = None
    ) -> OperatorRow:
        """Give an operator other roles, from the next call on.

        Raises:
            NotKnownError, PreconditionError: as :meth:`OperatorStore.set_roles`.
        """
        row = await self._registry.run(self.kept.set_roles, name, roles, within)
        self._record("operator_roles", row, by)
        return row

    async def remove(
        self,
        name: str,
        serial: int | None,
        reason: str,
        by: str,
        within: Callable[[], None] | None = None,
    ) -> tuple[int, ...]:
        """Revoke an operator's certificates, or the one with ``serial``; returns which.

        Without ``serial`` its roles are forgotten, too.

        Raises:
            NotKnownError: there is none of this name, or no such certificate.
            PreconditionError: no security officer would be left.
        """

        def whole() -> None:
            if serial is None:
                self.kept.forget(name)
            else:
                self.kept.keep_an_officer()
            if within is not None:
                within()

        row = await self._registry.run(self.kept.row, name)
        known = row is not None and serial is None
        done = await self._registry.revoke(
            Role.OPERATOR, name, serial, reason, by, within=whole, known=known
        )
        if known:
            self._audit.record("operator_removed", by=by, operator=name, reason=reason)
        return done.serials

    def _record(self, event: str, row: OperatorRow, by: str) -> None:
        roles = " ".join(sorted(row.roles))
        self._audit.record(event, by=by, operator=row.name, roles=roles)


def _nothing() -> None:
    """Nobody listens."""


def _columns(row: OperatorRow) -> tuple[str, str, int, str]:
    return (row.name, " ".join(sorted(row.roles)), row.added_us, row.added_by)


def _row(found: tuple[str, str, int, str]) -> OperatorRow:
    return OperatorRow(found[0], parse(found[1].split()), *found[2:])
