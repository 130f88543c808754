"""An identity that is handed over again and again, as ansible does, to a host that renews it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.domain.errors import ConfigError
from security import handover, pki
from security.names import Role
from security.pki import Subject, Validity
from security.slots import Slots, Spare
from security.tls import check_files

NOW = datetime.now(UTC)
SUBJECT = Subject(Role.GATEWAY, "gw-1", ("gw-1.ward.example",))


class Office:
    """Issues identities, each some minutes after the one before."""

    def __init__(self):
        self.authority = pki.create_issuing(pki.create_root("ward.example", NOW), NOW)
        self.minutes = 0

    def issue(self, key=None, subject=SUBJECT, authority=None):
        """A key and what was issued for it."""
        self.minutes += 1
        key = key or pki.new_key()
        validity = Validity.days(NOW + timedelta(minutes=self.minutes), 1)
        return key, pki.issue(authority or self.authority, subject, key.public_key(), validity)

    def hand(self, **changes):
        key, issued = self.issue(**changes)
        return issued.chain_pem + pki.key_pem(key) + issued.trust_pem


@pytest.fixture
def office():
    return Office()


@pytest.fixture
def slots(tmp_path):
    return Slots(tmp_path / "identity")


def serial(slots):
    return pki.load_certificates(slots.files.cert)[0].serial_number


def renew(slots, office):
    """As the service does by itself."""
    _, issued = office.issue(slots.request_key())
    slots.fill(issued.chain_pem, issued.trust_pem)
    slots.swap()


def test_the_first_one_is_laid_out_in_two_slots(slots, office):
    handed = handover.read(office.hand())
    assert handover.install(slots, handed)
    assert Slots.of(slots.files) is not None
    check_files(slots.files)
    assert slots.files.key.stat().st_mode & 0o777 == 0o600
    assert serial(slots) == handed.leaf.serial_number
    assert not handover.wanted(slots, handed)
    assert not handover.install(slots, handed)


def test_what_was_renewed_here_is_not_replaced_by_what_was_handed_over_first(slots, office):
    first = handover.read(office.hand())
    handover.install(slots, first)
    for _ in range(3):
        renew(slots, office)
        renewed = serial(slots)
        assert not handover.install(slots, first)
        assert serial(slots) == renewed


def test_one_that_was_issued_later_replaces_what_is_here(slots, office):
    handover.install(slots, handover.read(office.hand()))
    renew(slots, office)
    later = handover.read(office.hand())
    assert handover.wanted(slots, later)
    assert handover.install(slots, later)
    assert serial(slots) == later.leaf.serial_number
    assert slots.recover() is Spare.FORMER


def test_a_candidate_that_was_not_put_in_force_yet_counts(slots, office):
    first = office.hand()
    handover.install(slots, handover.read(first))
    between = office.hand()
    _, issued = office.issue(slots.request_key())
    slots.fill(issued.chain_pem, issued.trust_pem)
    assert not handover.install(slots, handover.read(between))
    assert slots.spare() is Spare.CANDIDATE


def test_a_renewal_under_way_neither_undoes_nor_mixes_with_what_is_handed_over(slots, office):
    handover.install(slots, handover.read(office.hand()))
    _, asked = office.issue(slots.request_key())
    later = handover.read(office.hand())
    handover.install(slots, later)
    with pytest.raises(ConfigError, match="not the private key"):
        slots.fill(asked.chain_pem, asked.trust_pem)
    with pytest.raises(ConfigError, match="older than"):
        slots.swap()
    assert serial(slots) == later.leaf.serial_number
    check_files(slots.files)
    renew(slots, office)


def test_a_directory_stays_one_holders(slots, office):
    handover.install(slots, handover.read(office.hand()))
    other = handover.read(office.hand(subject=Subject(Role.GATEWAY, "gw-2", ("gw-2",))))
    with pytest.raises(ConfigError, match=r"gateway/gw-1, and not .*gateway/gw-2; remove"):
        handover.install(slots, other)


def test_plain_files_are_not_overwritten(slots, office):
    pem = office.hand()
    slots.directory.mkdir()
    (slots.directory / "key.pem").touch()
    with pytest.raises(ConfigError, match="holds an identity already"):
        handover.install(slots, handover.read(pem))


def test_what_is_no_whole_identity_is_refused(office):
    key, issued = office.issue()
    stranger = pki.create_issuing(pki.create_root("ward.example", NOW), NOW)
    whole = issued.chain_pem + pki.key_pem(key) + issued.trust_pem
    assert handover.read(whole).identity.id == "gw-1"
    _, foreign = office.issue(key, authority=stranger)
    for pem, why in (
        (b"", "0 private keys"),
        (issued.chain_pem + issued.trust_pem, "0 private keys"),
        (whole + pki.key_pem(pki.new_key()), "2 private keys"),
        (pki.key_pem(key), "no certificates"),
        (pki.key_pem(pki.new_key()) + issued.chain_pem + issued.trust_pem, "not of any"),
        (issued.chain_pem + pki.key_pem(key), "leads to no root"),
        (foreign.chain_pem + pki.key_pem(key) + issued.trust_pem, "leads to no root"),
        (whole.replace(b"MII", b"MJI"), "damaged"),
        (whole + b" " * handover.PEM_BYTES_MAX, "bytes"),
    ):
        with pytest.raises(ConfigError, match=why):
            handover.read(pem)


def command(pem: bytes, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "wardgate", "identity", "install", *map(str, words)],
        input=pem,
        capture_output=True,
        check=False,
    )


def test_the_command_says_what_it_does(slots, office):
    pem = office.hand()
    place = slots.directory
    assert command(pem, place, "--dry-run").stdout.startswith(b"would be installed: gateway gw-1")
    assert not place.exists()
    assert command(pem, place).stdout.startswith(b"installed: gateway gw-1, good until")
    assert command(pem, place).stdout.startswith(b"kept: the identity of gateway gw-1")
    said = json.loads(command(pem, place, "--json").stdout)
    assert said == {"installed": False, "identity": "gateway gw-1", "until": None}
    wrong = command(b"nonsense", place)
    assert (wrong.returncode, wrong.stderr.count(b"\n")) == (2, 1)
