"""Sealed pieces open where they belong, under keys that come and go."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import ConfigError, KeyMissingError, SealBrokenError
from security.sealing import OVERHEAD_BYTES, KeyRing, Sealer, secret_path

RING = KeyRing.generate()


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_was_sealed_opens(plaintext, aad):
    key_id, sealed = Sealer(RING).seal(plaintext, aad)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert Sealer(RING).open(key_id, sealed, aad) == plaintext


def test_every_flipped_byte_and_every_cut_is_found():
    sealer = Sealer(RING)
    key_id, sealed = sealer.seal(b"eight by", b"place 1")
    for position in range(len(sealed)):
        broken = bytearray(sealed)
        broken[position] ^= 1
        with pytest.raises(SealBrokenError):
            sealer.open(key_id, bytes(broken), b"place 1")
        with pytest.raises(SealBrokenError):
            sealer.open(key_id, sealed[:position], b"place 1")
    with pytest.raises(SealBrokenError):
        sealer.open(key_id, sealed, b"place 2")


def test_no_nonce_repeats_within_a_start_and_no_salt_between_two():
    first, second = Sealer(RING), Sealer(RING)
    pieces = [first.seal(b"", b"")[1][:24] for _ in range(100)]
    pieces += [second.seal(b"", b"")[1][:24] for _ in range(100)]
    assert len(set(pieces)) == 200
    assert len({piece[:16] for piece in pieces}) == 2


def test_rotation_seals_with_the_new_key_and_opens_the_old(tmp_path):
    sealer = Sealer(RING)
    old_id, old = sealer.seal(b"old", b"")
    RING.rotated().save(tmp_path / "keys")
    rotated = KeyRing.load(tmp_path / "keys")
    sealer.use(rotated)
    new_id, new = sealer.seal(b"new", b"")
    assert (old_id, new_id) == ("1", "2")
    assert sealer.open(old_id, old, b"") == b"old"
    assert Sealer(rotated).open(new_id, new, b"") == b"new"
    with pytest.raises(KeyMissingError):
        Sealer(RING).open(new_id, new, b"")


@pytest.mark.parametrize("key_id", ["", "x", "0", "9", "-1", "²", "9" * 40])
def test_an_unknown_key_is_missing_not_broken(key_id):
    with pytest.raises(KeyMissingError):
        Sealer(RING).open(key_id, bytes(60), b"")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"1",
        b"1 AAAA",
        b"one " + b"A" * 43 + b"=",
        b"1 " + b"!" * 44,
        b"0 " + b"A" * 43 + b"=",
        b"1 " + b"A" * 43 + b"=\n1 " + b"B" * 43 + b"=",
    ],
)
def test_what_is_no_ring_is_refused_without_quoting_it(tmp_path, content):
    path = tmp_path / "keys"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as refused:
        KeyRing.load(path)
    assert str(path) in str(refused.value)
    assert "AAAA" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_ring_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "keys"
    RING.save(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        KeyRing.load(path)


def test_a_systemd_credential_may_show_the_mask_of_its_acl(tmp_path, monkeypatch):
    RING.save(tmp_path / "journal-keys")
    (tmp_path / "journal-keys").chmod(0o440)
    with pytest.raises(ConfigError, match="no credentials"):
        secret_path("credential:journal-keys", tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", os.fspath(tmp_path))
    path = secret_path("credential:journal-keys", tmp_path / "elsewhere")
    assert KeyRing.load(path).active == RING.active
    path.chmod(0o444)
    with pytest.raises(ConfigError, match="chmod 600"):
        KeyRing.load(path)
    for name in ("", "..", "a/b"):
        with pytest.raises(ConfigError, match="not a credential"):
            secret_path(f"credential:{name}", tmp_path)


def test_a_plain_setting_is_a_path_relative_to_the_configuration(tmp_path):
    assert secret_path("keys", tmp_path) == tmp_path / "keys"
    assert secret_path("/abs/keys", tmp_path).as_posix() == "/abs/keys"
