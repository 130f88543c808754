"""The fleet's store: SQLite, one durable transaction per change.

Rules:

* ``synchronous=FULL``: what an operator was told has been done survives a power cut.
* The directory's version and the revocations' number grow in the transaction that changes what
  they number, so that no gateway can hold a version with another content.
* Migrations are numbered files, run once each, in order; a database of a newer version is refused.

A Store is used by one thread at a time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import NamedTuple, Self

from fleet.binding_store import TakenError, bindings, put_binding
from gateway.domain.devices import Standing
from gateway.domain.errors import ConfigError, WardgateError
from gateway.domain.network import Binding
from security.names import Role

BUSY_TIMEOUT_MS = 5000
"""How long `ca issue` or a backup may hold the file."""
FILE_MODE = 0o600


class KnownError(WardgateError):
    """The device is registered already."""

    reason = "known"


class NotKnownError(WardgateError):
    """No such device or credential."""

    reason = "not_known"


class PreconditionError(WardgateError):
    """Not as things are now; the message says what has to come first."""

    reason = "precondition"


class DeviceRow(NamedTuple):
    """A device as registered."""

    device_id: str
    kind: str
    ward: str
    bed: str
    transport: str
    standing: Standing
    expected_firmware: str
    added_us: int
    network: Binding = Binding()
    """What a mobile network must know it by."""


class CredentialRow(NamedTuple):
    """A certificate that was issued."""

    serial: int
    role: Role
    id: str
    issued_us: int
    not_after_us: int
    revoked_us: int = 0
    revoked_reason: str = ""
    issuer: str = ""
    """The issuing CA's id; empty for what the first one issued before it was noted."""


class HealthRow(NamedTuple):
    """The last known health; ``facts`` as the gateway encoded them."""

    device_id: str
    health: int
    since_us: int
    gateway: str
    facts: bytes


class GatewayRow(NamedTuple):
    """A gateway that has attached at least once."""

    gateway: str
    first_us: int
    last_us: int
    software_version: str
    audit_number: int = 0
    audit_chain: bytes = b""
    audit_signature: bytes = b""
    audit_head: bytes = b""
    """Serialised AuditCheckpoint; empty while the gateway's log is of the first layout."""


class Store:
    """Made by :meth:`open`."""

    def __init__(self, db: sqlite3.Connection, now_us: Callable[[], int]) -> None:
        self._db = db
        self.now_us = now_us

    @classmethod
    def open(cls, path: Path, now_us: Callable[[], int]) -> Self:
        """Open or make the database at ``path`` and migrate it.

        Raises:
            ConfigError: it is newer than this software, or no database of ours.
            OSError: it can't be opened.
        """
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE_MODE))
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA foreign_keys=ON")
            migrate(db)
        except sqlite3.Error as error:
            db.close()
            raise ConfigError(f"{path}: {error}") from error
        except BaseException:
            db.close()
            raise
        return cls(db, now_us)

    def close(self) -> None:
        """Close the database; idempotent."""
        self._db.close()

    # Devices

    def devices(self) -> list[DeviceRow]:
        """Every device, by id."""
        bound = bindings(self._db)
        rows = self._db.execute("SELECT * FROM devices ORDER BY device_id")
        return [_device(row, bound.get(row[0], Binding())) for row in rows]

    def add_device(self, device: DeviceRow) -> int:
        """Register a device; returns the directory's new version.

        Raises:
            KnownError: it is registered already, or another has its SUPI, GPSI or IMEI.
        """
        row = device._replace(standing=str(device.standing))[:8]  # type: ignore[arg-type]
        with self.transaction():
            try:
                self._db.execute("INSERT INTO devices VALUES (?,?,?,?,?,?,?,?)", row)
            except sqlite3.IntegrityError as error:
                raise KnownError(f"device {device.device_id} is registered already") from error
            self._bind(device)
            return self.grow("directory")

    def update_device(self, device: DeviceRow) -> int:
        """Replace what is registered of a device; returns the directory's new version.

        Raises:
            NotKnownError: it is not registered.
            KnownError: another has its SUPI, GPSI or IMEI.
        """
        with self.transaction():
            done = self._db.execute(
                "UPDATE devices SET kind=?, ward=?, bed=?, transport=?, standing=?,"
                " expected_firmware=? WHERE device_id=?",
                (
                    device.kind,
                    device.ward,
                    device.bed,
                    device.transport,
                    str(device.standing),
                    device.expected_firmware,
                    device.device_id,
                ),
            )
            if not done.rowcount:
                raise NotKnownError(f"device {device.device_id} is not registered")
            self._bind(device)
            return self.grow("directory")

    def _bind(self, device: DeviceRow) -> None:
        try:
            put_binding(self._db, device.device_id, device.network)
        except TakenError as error:
            raise KnownError(str(error)) from error

    def mark_active(self, device_ids: Iterable[str]) -> None:
        """Note that devices were heard of; no gateway treats them differently for it."""
        with self.transaction():
            self._db.executemany(
                "UPDATE devices SET standing='active'"
                " WHERE device_id=? AND standing IN ('expected', 'enrolled')",
                ((device_id,) for device_id in device_ids),
            )

    # Credentials

    def add_credential(self, credential: CredentialRow) -> None:
        """Note an issued certificate, before it is handed out."""
        with self.transaction():
            self.insert_credential(credential)

    def insert_credential(self, credential: CredentialRow) -> None:
        """As :meth:`add_credential`, within a transaction."""
        self._db.execute(
            "INSERT INTO credentials VALUES (?,?,?,?,?,?,?,?)",
            (serial_text(credential.serial), str(credential.role), *credential[2:]),
        )

    def credential(self, serial: int) -> CredentialRow | None:
        """What was noted of one certificate."""
        row = self._db.execute(
            "SELECT * FROM credentials WHERE serial=?", (serial_text(serial),)
        ).fetchone()
        return _credential(row) if row else None

    def credentials(self, role: Role, name: str) -> list[CredentialRow]:
        """All certificates of one holder, oldest first."""
        rows = self._db.execute(
            "SELECT * FROM credentials WHERE role=? AND id=? ORDER BY issued_us", (role, name)
        )
        return [_credential(row) for row in rows]

    def all_credentials(self) -> list[CredentialRow]:
        """Every certificate, oldest first."""
        rows = self._db.execute("SELECT * FROM credentials ORDER BY issued_us")
        return [_credential(row) for row in rows]

    def without_good_credential(self, role: Role) -> frozenset[str]:
        """Holders all of whose certificates are revoked."""
        rows = self._db.execute(
            "SELECT id FROM credentials WHERE role=? GROUP BY id HAVING min(revoked_us) > 0",
            (role,),
        )
        return frozenset(name for (name,) in rows)

    def revoke(
        self, serials: Iterable[int], reason: str, within: Callable[[], None] | None = None
    ) -> int:
        """Revoke certificates; returns the revocations' new number.

        ``within`` is called at the end of the transaction, which it undoes by raising.
        """
        with self.transaction():
            self._db.executemany(
                "UPDATE credentials SET revoked_us=?, revoked_reason=?"
                " WHERE serial=? AND revoked_us=0",
                ((self.now_us(), reason, serial_text(serial)) for serial in serials),
            )
            if within is not None:
                within()
            return self.grow("revocations")

    def directory_changed(self) -> int:
        """Note that who holds a good certificate has changed; returns the new version."""
        with self.transaction():
            return self.grow("directory")

    def revoked(self, ending_after_us: int = 0) -> frozenset[int]:
        """Serial numbers of revoked certificates that end after a time."""
        rows = self._db.execute(
            "SELECT serial FROM credentials WHERE revoked_us > 0 AND not_after_us > ?",
            (ending_after_us,),
        )
        return frozenset(int(serial, 16) for (serial,) in rows)

    def revoked_credentials(self, ending_after_us: int) -> list[CredentialRow]:
        """Revoked certificates that end after a time, oldest revocation first."""
        rows = self._db.execute(
            "SELECT * FROM credentials WHERE revoked_us > 0 AND not_after_us > ?"
            " ORDER BY revoked_us",
            (ending_after_us,),
        )
        return [_credential(row) for row in rows]

    # Gateways and health

    def gateways(self) -> list[GatewayRow]:
        """Every gateway that has attached."""
        rows = self._db.execute("SELECT * FROM gateways ORDER BY gateway")
        return [GatewayRow(*row) for row in rows]

    def put_gateways(self, gateways: Iterable[GatewayRow]) -> None:
        """Insert or replace gateways."""
        with self.transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO gateways VALUES (?,?,?,?,?,?,?,?)", gateways
            )

    def health(self) -> list[HealthRow]:
        """The last known health of every device that was heard of."""
        return [HealthRow(*row) for row in self._db.execute("SELECT * FROM health")]

    def put_health(self, rows: Iterable[HealthRow]) -> None:
        """Insert or replace the health of devices."""
        with self.transaction():
            self._db.executemany("INSERT OR REPLACE INTO health VALUES (?,?,?,?,?)", rows)

    def number(self, name: str) -> int:
        """The present value of a number that grows."""
        row = self._db.execute("SELECT value FROM numbers WHERE name=?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def grow(self, name: str) -> int:
        """Add one to a number, within a transaction; returns the new value."""
        row = self._db.execute(
            "INSERT INTO numbers VALUES (?, 1)"
            " ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
            (name,),
        ).fetchone()
        return int(row[0])

    @property
    def db(self) -> sqlite3.Connection:
        """For the stores of other parts in the same database, on the same thread."""
        return self._db

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What happens within is done as a whole, durably, or not at all.

        One within another is part of it.
        """
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def migrate(db: sqlite3.Connection) -> int:
    """Bring a database to the newest schema and return its number.

    Raises:
        ConfigError: the database is newer than this software.
        sqlite3.Error: a step failed; the database is as it was before that step.
    """
    folder = resources.files("fleet") / "migrations"
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    steps = [(int(name.removesuffix(".sql")), (folder / name).read_text()) for name in names]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    newest = steps[-1][0]
    if version > newest:
        raise ConfigError(f"the store has schema {version}, this software knows {newest}")
    for number, sql in steps:
        if number > version:
            try:
                db.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version={number};\nCOMMIT;")
            except sqlite3.Error:
                if db.in_transaction:
                    db.rollback()
                raise
    return newest


def serial_text(serial: int) -> str:
    """A serial number as the store has it: 40 hexadecimal digits."""
    return f"{serial:040X}"


def _device(row: tuple[str, str, str, str, str, str, str, int], network: Binding) -> DeviceRow:
    return DeviceRow(*row[:5], Standing(row[5]), *row[6:], network)


def _credential(row: tuple[str, str, str, int, int, int, str, str]) -> CredentialRow:
    return CredentialRow(int(row[0], 16), Role(row[1]), *row[2:])
