"""Two slots: whatever step a crash comes at, an identity is usable and nothing is left over."""

import itertools
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.domain.errors import ConfigError
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pki import Subject, Validity
from security.slots import Slots, Spare
from security.tls import check_files

NOW = datetime.now(UTC)
SUBJECT = Subject(Role.DEVICE, "pump-1")


class Issuer:
    def __init__(self):
        self.authority = pki.create_issuing(pki.create_root("ward.example", NOW), NOW)
        self.moments = itertools.count()

    def issue(self, key):
        validity = Validity.days(NOW + timedelta(seconds=next(self.moments)), 1)
        return pki.issue(self.authority, SUBJECT, key.public_key(), validity)


@pytest.fixture(scope="module")
def issuer():
    return Issuer()


@pytest.fixture
def slots(tmp_path, issuer):
    made = Slots(tmp_path / "identity")
    key = pki.new_key()
    issued = issuer.issue(key)
    made.create(key, issued.chain_pem, issued.trust_pem)
    return made


def directory_of(files):
    found = Slots.of(files)
    return found and found.directory


def renew(slots, issuer):
    """All steps of one renewal."""
    issued = issuer.issue(slots.request_key())
    slots.fill(issued.chain_pem, issued.trust_pem)
    slots.swap()


def serial(slots):
    return pki.load_certificates(slots.files.cert)[0].serial_number


def test_a_new_identity_takes_the_first_slot(slots):
    assert slots.exists()
    assert directory_of(slots.files) == slots.directory
    assert slots.spare() is Spare.EMPTY
    check_files(slots.files)
    assert slots.files.key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError):
        slots.create(pki.new_key(), b"", b"")


def test_plain_files_have_no_slots(tmp_path):
    assert Slots.of(TlsFiles.within(tmp_path)) is None
    assert Slots.of(TlsFiles.within(tmp_path / "current")) is None


def test_plain_files_over_the_links_are_somebody_elses(slots):
    named = TlsFiles.within(slots.directory)
    assert directory_of(named) == slots.directory
    named.cert.unlink()
    named.cert.write_bytes(slots.files.cert.read_bytes())
    assert Slots.of(named) is None


def test_renewing_changes_places_and_keeps_the_former(slots, issuer):
    first = serial(slots)
    renew(slots, issuer)
    second = serial(slots)
    assert second != first
    assert slots.spare() is Spare.FORMER
    check_files(slots.spare_files)
    renew(slots, issuer)
    assert serial(slots) not in {first, second}
    check_files(slots.files)


def test_a_request_keeps_its_key_until_it_is_answered(slots, issuer):
    renew(slots, issuer)
    former = pki.load_key(slots.spare_files.key).public_key()
    asked = slots.request_key().public_key()
    assert asked != former
    assert slots.spare() is Spare.KEY
    assert Slots(slots.directory).recover() is Spare.KEY
    assert slots.request_key().public_key() == asked


def test_a_certificate_for_another_key_is_not_taken(slots, issuer):
    slots.request_key()
    other = issuer.issue(pki.new_key())
    with pytest.raises(ConfigError, match="not the private key"):
        slots.fill(other.chain_pem, other.trust_pem)
    with pytest.raises(ConfigError, match="not a whole identity"):
        slots.swap()


def test_a_candidate_can_be_thrown_away(slots, issuer):
    issued = issuer.issue(slots.request_key())
    slots.fill(issued.chain_pem, issued.trust_pem)
    assert slots.spare() is Spare.CANDIDATE
    slots.discard()
    assert slots.recover() is Spare.EMPTY


class PowerError(BaseException):
    """The process ends here; nothing that it would have done afterwards happens."""


STEPS = ("open", "fsync", "replace", "rename", "unlink", "symlink", "mkdir")


def cut(monkeypatch, after):
    """Let so many steps that touch the disk happen, then none."""
    count = itertools.count()

    def wrapped(real):
        def call(*args, **kwargs):
            if next(count) >= after:
                raise PowerError
            return real(*args, **kwargs)

        return call

    for name in STEPS:
        monkeypatch.setattr(os, name, wrapped(getattr(os, name)))
    for name in ("replace", "unlink", "symlink_to", "mkdir"):
        monkeypatch.setattr(Path, name, wrapped(getattr(Path, name)))
    return count


@pytest.mark.parametrize("former", [False, True])
def test_a_crash_at_any_step_leaves_a_usable_identity(slots, issuer, former):
    if former:
        renew(slots, issuer)
    seen = set()
    for after in itertools.count():
        before = serial(slots)
        with pytest.MonkeyPatch.context() as patched:
            cut(patched, after)
            try:
                renew(slots, issuer)
            except PowerError:
                done = False
            else:
                done = True
        again = Slots(slots.directory)
        check_files(again.files)
        found = again.recover()
        seen.add(found)
        left = {path.name for path in slots.directory.rglob("*") if path.name.startswith(".")}
        assert not left
        if found is Spare.CANDIDATE:
            check_files(again.spare_files)
            assert serial(again) == before
            again.discard()
        elif found is Spare.FORMER:
            check_files(again.spare_files)
        if done:
            break
        renew(again, issuer)
        check_files(again.files)
    assert after > 20
    assert seen == set(Spare)


def test_a_reader_never_mixes_two_identities(slots, issuer):
    pinned = TlsFiles.within(slots.directory).pinned()
    assert pinned == slots.files.pinned()
    renew(slots, issuer)
    check_files(pinned)
    assert pinned.cert.parent != slots.files.pinned().cert.parent
    check_files(slots.files.pinned())
    check_files(TlsFiles.within(slots.directory).pinned())
    other = slots.directory / "other" / "ca.pem"
    assert slots.files._replace(trust=other).pinned().trust == other


def test_links_to_files_of_other_names_are_left_alone(tmp_path):
    (tmp_path / "cert1.pem").touch()
    (tmp_path / "live").mkdir()
    files = TlsFiles.within(tmp_path / "live")
    files.cert.symlink_to("../cert1.pem")
    assert files.pinned() == files
