"""The store: what it says was done is there after a restart, and versions only grow."""

import sqlite3
from importlib import resources
from pathlib import Path

import pytest

from fleet.operators import OperatorRow, OperatorStore
from fleet.roles import ANY
from fleet.store import (
    CredentialRow,
    DeviceRow,
    GatewayRow,
    HealthRow,
    KnownError,
    NotKnownError,
    Store,
    migrate,
)
from gateway.domain.devices import Standing
from gateway.domain.errors import ConfigError
from gateway.domain.network import Binding
from security.names import Role

DEVICE = DeviceRow("one", "monitor", "icu", "7", "mqtt", Standing.ENROLLED, "1.0", 11)
SERIAL = 2**159 - 1


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fleet.db"


@pytest.fixture
def store(path):
    opened = Store.open(path, lambda: 4711)
    yield opened
    opened.close()


def reopened(store, path):
    store.close()
    return Store.open(path, lambda: 4712)


def test_everything_survives_a_restart(store, path):
    store.add_device(DEVICE)
    credential = CredentialRow(SERIAL, Role.DEVICE, "one", 1, 99)
    store.add_credential(credential)
    store.put_gateways([GatewayRow("edge", 1, 2, "0.1", 3, b"c", b"s")])
    store.put_health([HealthRow("one", 2, 5, "edge", b"facts")])
    again = reopened(store, path)
    assert again.devices() == [DEVICE]
    assert again.credentials(Role.DEVICE, "one") == again.all_credentials() == [credential]
    assert again.gateways() == [GatewayRow("edge", 1, 2, "0.1", 3, b"c", b"s")]
    assert again.health() == [HealthRow("one", 2, 5, "edge", b"facts")]
    again.close()


def test_the_directorys_version_grows_with_each_change_and_with_nothing_else(store, path):
    assert store.number("directory") == 0
    assert store.add_device(DEVICE) == 1
    with pytest.raises(KnownError):
        store.add_device(DEVICE)
    with pytest.raises(NotKnownError):
        store.update_device(DEVICE._replace(device_id="two"))
    assert store.number("directory") == 1
    moved = DEVICE._replace(bed="8", standing=Standing.SUSPENDED)
    assert store.update_device(moved) == 2
    assert store.devices() == [moved]
    again = reopened(store, path)
    assert again.number("directory") == 2
    again.close()


def test_revoking_is_once_and_numbered(store):
    for serial in (SERIAL, 3):
        store.add_credential(CredentialRow(serial, Role.DEVICE, "one", 1, 99))
    assert store.revoke([SERIAL], "lost") == 1
    assert store.revoke([SERIAL], "again") == 2
    row = next(each for each in store.all_credentials() if each.serial == SERIAL)
    assert (row.revoked_us, row.revoked_reason) == (4711, "lost")
    assert store.revoked() == {SERIAL}
    assert store.without_good_credential(Role.DEVICE) == frozenset()
    assert store.revoked(ending_after_us=99) == frozenset()
    assert store.revoke([3], "lost too") == 3
    assert store.without_good_credential(Role.DEVICE) == {"one"}
    assert store.without_good_credential(Role.GATEWAY) == frozenset()


def test_hearing_of_a_device_makes_it_active_unless_somebody_decided_otherwise(store):
    for standing in Standing:
        store.add_device(DEVICE._replace(device_id=standing.value, standing=standing))
    store.mark_active([standing.value for standing in Standing])
    found = {row.device_id: row.standing for row in store.devices()}
    assert found == {
        "expected": Standing.ACTIVE,
        "enrolled": Standing.ACTIVE,
        "active": Standing.ACTIVE,
        "suspended": Standing.SUSPENDED,
        "retired": Standing.RETIRED,
    }


def test_the_store_is_private(store, path):
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_newer_database_and_a_foreign_file_are_refused(path, tmp_path):
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(ConfigError, match="schema 99"):
        Store.open(path, lambda: 0)
    other = tmp_path / "other.db"
    other.write_bytes(b"no database at all, but long enough to be read as one" * 20)
    with pytest.raises(ConfigError, match=r"other\.db"):
        Store.open(other, lambda: 0)


def test_migrating_twice_changes_nothing():
    db = sqlite3.connect(":memory:", isolation_level=None)
    newest = migrate(db)
    assert migrate(db) == newest == db.execute("PRAGMA user_version").fetchone()[0]
    assert newest == len(list(resources.files("fleet").joinpath("migrations").iterdir()))


SAVED = Path(__file__).parent / "saved"
BOUND = Binding(
    "imsi-001010000000001", "", "49015420323751", "med", "1-00000a", ("000001", "000002")
)


@pytest.mark.parametrize("saved", sorted(SAVED.glob("*.sql")), ids=lambda each: each.stem)
def test_a_saved_database_of_each_older_schema_is_brought_up_to_date(saved, path):
    db = sqlite3.connect(path)
    db.executescript(saved.read_text())
    db.close()
    store = Store.open(path, lambda: 4711)
    bound = BOUND if saved.stem >= "0009" else Binding()
    assert store.devices() == [DEVICE._replace(network=bound)]
    assert store.all_credentials() == [CredentialRow(SERIAL, Role.DEVICE, "one", 1, 99)]
    assert store.gateways() == [GatewayRow("edge", 1, 2, "0.1", 3, b"c", b"s")]
    assert store.health() == [HealthRow("one", 2, 5, "edge", b"facts")]
    assert store.number("directory") == 1
    store.close()


def test_operators_of_before_keep_what_they_could_do(path):
    db = sqlite3.connect(path, isolation_level=None)
    folder = resources.files("fleet") / "migrations"
    for number in range(1, 5):
        db.executescript((folder / f"{number:04}.sql").read_text())
    db.execute("PRAGMA user_version=4")
    for serial, role, name, revoked in (
        ("1", "operator", "ada", 0),
        ("2", "operator", "ada", 5),
        ("3", "operator", "gone", 5),
        ("4", "gateway", "edge", 0),
    ):
        db.execute(
            "INSERT INTO credentials VALUES (?,?,?,1,9,?,'','')", (serial, role, name, revoked)
        )
    db.close()
    opened = Store.open(path, lambda: 1)
    assert OperatorStore(opened).rows() == [OperatorRow("ada", ANY, 1, "")]
    opened.close()


def test_a_transaction_within_another_is_part_of_it(store):
    def both():
        with store.transaction():
            store.add_device(DEVICE)
            store.add_device(DEVICE)

    with pytest.raises(KnownError):
        both()
    assert store.devices() == []
