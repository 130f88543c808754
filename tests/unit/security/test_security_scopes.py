"""Keys of scopes: rotation and erasure, interrupted anywhere; what is gone and what stays."""

import os
from pathlib import Path

import pytest

from gateway.domain.errors import ConfigError, KeyErasedError, KeyMissingError, SealBrokenError
from security import keystore
from security.scopes import ScopeKeys
from security.sealing import KeyRing, Sealer

FIRST = KeyRing({1: b"1" * 32})
BOTH = KeyRing({1: b"1" * 32, 2: b"2" * 32})
SECOND = KeyRing({2: b"2" * 32})
SCOPES = ("a", "b")


def opened(path, ring=FIRST, scopes=SCOPES):
    return ScopeKeys(path / "keys", ring, scopes, lambda: 1_000_000)


def test_a_key_opens_after_a_restart_and_the_file_shows_no_key(tmp_path):
    piece = opened(tmp_path).of("a").seal(b"text", b"place")
    again = opened(tmp_path)
    assert again.of("b").open(*piece, b"place") == b"text"
    content = (tmp_path / "keys").read_bytes()
    assert not any(key in content for key in again._keys.values())
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600


def test_what_the_ring_sealed_itself_opens_as_before(tmp_path):
    piece = Sealer(FIRST).seal(b"older", b"")
    assert opened(tmp_path).of("a").open(*piece, b"") == b"older"


def test_an_erased_scope_opens_never_again_and_the_others_do(tmp_path):
    keys = opened(tmp_path)
    pieces = {scope: keys.of(scope).seal(scope.encode(), b"") for scope in SCOPES}
    keys.begin(["a"])
    keys.erase([pieces["a"][0]])
    after = keys.of("a").seal(b"later", b"")
    for store in (keys, opened(tmp_path)):
        with pytest.raises(KeyErasedError):
            store.of("a").open(*pieces["a"], b"")
        assert store.of("b").open(*pieces["b"], b"") == b"b"
        assert store.of("a").open(*after, b"") == b"later"


def test_a_key_that_seals_is_not_erased(tmp_path):
    keys = opened(tmp_path)
    piece = keys.of("a").seal(b"x", b"")
    keys.erase([piece[0]])
    assert keys.of("a").open(*piece, b"") == b"x"


def test_a_key_of_another_file_is_missing_and_not_erased(tmp_path):
    (tmp_path / "other").mkdir()
    elsewhere = opened(tmp_path / "other").of("a").seal(b"x", b"")
    keys = opened(tmp_path)
    mine = keys.of("a").seal(b"x", b"")[0].partition("-")[0]
    for key_id in (elsewhere[0], f"{mine}-99", f"{mine}-0", f"{mine}-x", "-", "9"):
        with pytest.raises(KeyMissingError):
            keys.of("a").open(key_id, elsewhere[1], b"")


def test_the_hospitals_key_is_exchanged_and_the_old_one_needed_no_more(tmp_path):
    keys = opened(tmp_path)
    piece = keys.of("a").seal(b"x", b"")
    assert keys.use(BOTH)
    assert not keys.use(BOTH)
    assert keys.hospital_key == 2
    keys.begin(["a"])
    assert opened(tmp_path, SECOND).of("a").open(*piece, b"") == b"x"
    with pytest.raises(KeyMissingError, match="hospital's key 2"):
        opened(tmp_path, FIRST)


def test_another_key_of_the_same_number_is_told_from_the_right_one(tmp_path):
    keys = opened(tmp_path)
    other = KeyRing({1: b"x" * 32})
    with pytest.raises(SealBrokenError):
        opened(tmp_path, other)
    assert keys.use(other)
    opened(tmp_path, other)


def die_at(step, path, change):
    """Make a change in a process that dies before its ``step``-th operation on files; its end."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        keys, left = opened(path), [step]

        def counted(operation):
            def instead(*args, **named):
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return operation(*args, **named)

            return instead

        for owner, name in (
            (os, "open"),
            (os, "fdopen"),
            (os, "fchmod"),
            (os, "fsync"),
            (os, "close"),
            (Path, "replace"),
        ):
            setattr(owner, name, counted(getattr(owner, name)))
        change(keys)
        os._exit(0)
    finally:
        os._exit(1)


def test_a_rotation_that_is_killed_between_any_two_steps_leaves_a_readable_file(tmp_path):
    step, ended = 0, 9
    while ended == 9:
        path = tmp_path / str(step)
        path.mkdir()
        pieces = [opened(path).of(scope).seal(b"x", b"") for scope in SCOPES]
        ended = die_at(step, path, lambda keys: keys.use(BOTH))
        again = opened(path, BOTH)
        assert [again.of("a").open(*piece, b"") for piece in pieces] == [b"x", b"x"]
        assert again.hospital_key == 2
        opened(path, SECOND)
        step += 1
    assert ended == 0
    assert step > 5


def test_an_erasure_that_is_killed_leaves_the_key_or_none_and_no_copy(tmp_path):
    step, ended, outcomes = 0, 9, []
    while ended == 9:
        path = tmp_path / str(step)
        path.mkdir()
        keys = opened(path)
        piece = keys.of("a").seal(b"x", b"")
        keys.begin(["a"])
        ended = die_at(step, path, lambda keys, gone=piece[0]: keys.erase([gone]))
        again = opened(path)
        try:
            outcomes.append(again.of("a").open(*piece, b""))
        except KeyErasedError:
            outcomes.append(None)
        assert [each.name for each in path.iterdir()] == ["keys"]
        step += 1
    assert ended == 0
    assert outcomes[0] == b"x"
    assert outcomes[-1] is None
    assert outcomes == sorted(outcomes, key=lambda found: found is None)


def test_a_disk_that_refuses_changes_nothing(tmp_path, monkeypatch):
    keys = opened(tmp_path)
    piece = keys.of("a").seal(b"x", b"")

    def full(*_):
        raise OSError(28, "no space")

    monkeypatch.setattr(keystore, "write_atomic", full)
    for change in (lambda: keys.begin(["a"]), lambda: keys.use(BOTH)):
        with pytest.raises(OSError, match="no space"):
            change()
    assert keys.of("a").seal(b"", b"")[0] == piece[0]
    assert keys.hospital_key == 1
    monkeypatch.undo()
    assert opened(tmp_path).of("a").open(*piece, b"") == b"x"


def test_every_changed_byte_of_the_file_is_found(tmp_path):
    opened(tmp_path)
    path = tmp_path / "keys"
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(ConfigError):
            keystore.load(path)
    path.write_bytes(good[:-1])
    with pytest.raises(ConfigError):
        keystore.load(path)


def test_a_key_that_was_given_another_name_does_not_open(tmp_path):
    opened(tmp_path)
    path = tmp_path / "keys"
    found = keystore.load(path)
    assert found is not None
    first, second = found.keys
    swapped = keystore.WrappedKey(first.number, second.scope, first.begun_us, first.sealed)
    keystore.save(
        path, keystore.KeyFile(found.store, found.next, found.hospital_key, (swapped, second))
    )
    with pytest.raises(SealBrokenError):
        opened(tmp_path)


def test_a_ring_loses_only_keys_that_seal_no_more():
    assert BOTH.without(1).active == 2
    with pytest.raises(ConfigError, match="no key 7"):
        BOTH.without(7)
    with pytest.raises(ConfigError, match="the one that seals"):
        BOTH.without(2)
