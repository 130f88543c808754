"""Enrolment's store: a token once, a key's certificate again, claims bounded, bindings unique."""

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from fleet.enrolment_store import (
    ClaimRow,
    EnrolmentStore,
    ManufacturerRow,
    TokenRow,
    key_digest,
)
from fleet.registry import credential_row
from fleet.store import DeviceRow, KnownError, NotKnownError, Store
from gateway.domain.devices import Standing
from security import pki
from security.names import Role

NOW = datetime.now(UTC)
NOW_US = round(NOW.timestamp() * 1e6)
ISSUING = pki.create_issuing(pki.create_root("ward.example", NOW), NOW)
DEVICE = DeviceRow("one", "pump", "icu", "7", "mqtt", Standing.EXPECTED, "", 11)
TOKEN = TokenRow("one", b"hash", NOW_US, NOW_US + 1, "ada")


class Opened:
    """A store that can be closed without warning and opened again."""

    def __init__(self, path):
        self.path = path
        self.now_us = NOW_US
        self.open()

    def open(self):
        self.base = Store.open(self.path, lambda: self.now_us)
        self.store = EnrolmentStore(self.base)

    def again(self):
        self.base.close()
        self.open()


@pytest.fixture
def opened(tmp_path):
    made = Opened(tmp_path / "fleet.db")
    made.base.add_device(DEVICE)
    made.base.add_device(DEVICE._replace(device_id="two"))
    yield made
    made.base.close()


def issuing(key, name="one", calls=None, days=1):
    def issue():
        if calls is not None:
            calls.append(name)
        issued = pki.issue(
            ISSUING,
            pki.Subject(Role.DEVICE, name),
            key.public_key(),
            pki.Validity.days(NOW, days),
        )
        return issued, credential_row(issued, Role.DEVICE, name, NOW_US)

    return issue


def test_a_token_is_exchanged_once_and_repeated_for_the_same_key(opened):
    opened.store.put_token(TOKEN)
    key = pki.new_key()
    calls: list[str] = []
    first = opened.store.grant_for_token(TOKEN, key.public_key(), 5, issuing(key, calls=calls))
    opened.again()
    second = opened.store.grant_for_token(TOKEN, key.public_key(), 6, issuing(key, calls=calls))
    assert (first.fresh, second.fresh) == (True, False)
    assert first.certificate == second.certificate
    assert calls == ["one"]
    other = pki.new_key()
    with pytest.raises(NotKnownError, match="used"):
        opened.store.grant_for_token(TOKEN, other.public_key(), 7, issuing(other))
    used = opened.store.token("one")
    assert (used.used_us, int(used.serial, 16)) == (5, first.certificate.serial_number)
    assert len(opened.base.credentials(Role.DEVICE, "one")) == 1
    assert [each.standing for each in opened.base.devices()] == ["enrolled", "expected"]


def test_a_failure_while_issuing_leaves_the_token_whole(opened):
    opened.store.put_token(TOKEN)
    key = pki.new_key()

    def broken():
        issuing(key)()
        raise ValueError("the key's token was pulled out")

    with pytest.raises(ValueError, match="pulled"):
        opened.store.grant_for_token(TOKEN, key.public_key(), 5, broken)
    assert opened.store.token("one") == TOKEN
    assert opened.base.all_credentials() == []
    assert opened.store.grant_for_token(TOKEN, key.public_key(), 5, issuing(key)).fresh


def test_a_newer_token_voids_the_older(opened):
    opened.store.put_token(TOKEN)
    opened.store.put_token(TOKEN._replace(token_sha256=b"newer"))
    key = pki.new_key()
    with pytest.raises(NotKnownError, match="replaced"):
        opened.store.grant_for_token(TOKEN, key.public_key(), 5, issuing(key))
    with pytest.raises(NotKnownError, match="registered"):
        opened.store.put_token(TOKEN._replace(device_id="three"))


def test_a_revoked_or_ended_certificate_is_not_given_again(opened):
    key = pki.new_key()
    first = opened.store.grant(Role.DEVICE, "one", key.public_key(), issuing(key))
    opened.base.revoke([first.certificate.serial_number], "lost")
    second = opened.store.grant(Role.DEVICE, "one", key.public_key(), issuing(key))
    assert second.fresh
    opened.now_us = NOW_US + 2 * 86_400_000_000
    assert opened.store.grant(Role.DEVICE, "one", key.public_key(), issuing(key)).fresh


def test_a_key_gives_no_certificate_of_another_device(opened):
    key = pki.new_key()
    opened.store.grant(Role.DEVICE, "one", key.public_key(), issuing(key))
    assert opened.store.grant(Role.DEVICE, "two", key.public_key(), issuing(key, "two")).fresh
    assert len(key_digest(key.public_key())) == 32


def test_renewal_is_a_new_certificate_until_the_old_one_is_revoked(opened):
    key = pki.new_key()
    first = opened.store.grant(Role.DEVICE, "one", key.public_key(), issuing(key))
    serial = first.certificate.serial_number
    assert opened.store.renew(serial, key.public_key(), issuing(key)).fresh
    assert opened.store.renew(serial, key.public_key(), issuing(key)).fresh
    opened.base.revoke([serial], "lost")
    for bad in (serial, 4711):
        with pytest.raises(NotKnownError):
            opened.store.renew(bad, key.public_key(), issuing(key))
    assert len(opened.base.all_credentials()) == 3


def test_certificates_that_ended_are_forgotten_and_stay_in_the_register(opened):
    key = pki.new_key()
    opened.store.grant(Role.DEVICE, "one", key.public_key(), issuing(key))
    opened.store.drop_ended(NOW_US)
    assert not opened.store.grant(Role.DEVICE, "one", key.public_key(), issuing(key)).fresh
    opened.store.drop_ended(NOW_US + 2 * 86_400_000_000)
    assert opened.store.grant(Role.DEVICE, "one", key.public_key(), issuing(key)).fresh
    assert len(opened.base.all_credentials()) == 2


ACME = ManufacturerRow("acme", ISSUING.root.public_bytes(Encoding.DER), 1, "ada")


def claim(serial_number, last_us=2):
    return ClaimRow(0, "acme", serial_number, "CN=Pump 3000", "10.0.0.1", 1, last_us)


def test_claims_are_bounded_settled_by_binding_and_forgotten(opened):
    store = opened.store
    store.add_manufacturer(ACME)
    first = store.claim(claim("sn-1"), 2)
    assert first.claim_id
    assert store.claim(claim("sn-1", 9), 2) == first._replace(last_us=9)
    assert store.claim(claim("sn-2"), 2)
    assert store.claim(claim("sn-3"), 2) is None
    store.bind("acme", "sn-1", "one", 3, "ada")
    store.bind("acme", "sn-1", "one", 3, "ada")
    assert [each.serial_number for each in store.claims()] == ["sn-2"]
    assert store.reject(store.claims()[0].claim_id, "ada").rejected_by == "ada"
    assert store.claim(claim("sn-2", 5), 2).rejected_by == "ada"
    assert store.drop_claims(5) == 1
    assert store.drop_claims(6) == 0
    with pytest.raises(NotKnownError):
        store.reject(99, "ada")


def test_a_thing_is_one_device_and_a_device_one_thing(opened):
    store = opened.store
    store.add_manufacturer(ACME)
    store.bind("acme", "sn-1", "one", 3, "ada")
    assert store.device_of("acme", "sn-1") == "one"
    with pytest.raises(KnownError, match="device one already"):
        store.bind("acme", "sn-1", "two", 3, "ada")
    with pytest.raises(KnownError, match="another serial number"):
        store.bind("acme", "sn-2", "one", 3, "ada")
    with pytest.raises(NotKnownError, match="manufacturer"):
        store.bind("other", "sn-2", "two", 3, "ada")


def test_a_removed_manufacturer_takes_bindings_and_claims_along(opened):
    store = opened.store
    store.add_manufacturer(ACME)
    with pytest.raises(KnownError):
        store.add_manufacturer(ACME._replace(root=b"another"))
    with pytest.raises(KnownError):
        store.add_manufacturer(ACME._replace(name="other"))
    store.bind("acme", "sn-1", "one", 3, "ada")
    store.claim(claim("sn-2"), 2)
    store.remove_manufacturer("acme")
    assert (store.manufacturers(), store.claims()) == ([], [])
    assert store.device_of("acme", "sn-1") == ""
    with pytest.raises(NotKnownError):
        store.remove_manufacturer("acme")
