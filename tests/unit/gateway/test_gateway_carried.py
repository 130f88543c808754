"""A carried list: who is told of it, and what a running gateway makes of it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.carried import Told, apply, revocation_book
from gateway.config import read
from gateway.control import Control, first_in_force
from gateway.domain.errors import ConfigError, RefusedError
from gateway.journal.lock import DirectoryLock, holder
from security import pki
from security.revocations import RevocationList, sign_list
from tests.fakes import FakeClock, FakeCounters
from tests.unit.gateway.test_gateway_changes import BASE


class Identity:
    def __init__(self) -> None:
        self.told: list[tuple[int, frozenset[int]]] = []
        self.heard = asyncio.Event()

    def set_revocations(self, serials: frozenset[int], number: int) -> int:
        self.told.append((number, serials))
        self.heard.set()
        return 0


class Place:
    """A gateway's files, and the authority of its ward."""

    def __init__(self, directory: Path) -> None:
        path = directory / "gateway.toml"
        path.write_text(BASE)
        self.control = Control(*first_in_force(read(path)))
        self.config = self.control.in_force.config
        self.state = self.config.gateway.state_dir
        self.domain = self.config.identity.trust_domain
        now = datetime.now(UTC)
        self.clock = FakeClock(round(now.timestamp() * 1e6))
        self.authority = pki.create_issuing(pki.create_root(self.domain, now), now)
        self.config.tls.trust.parent.mkdir(parents=True, exist_ok=True)
        self.config.tls.trust.write_bytes(pki.to_pem(self.authority.root))
        self.list = directory / "list.bin"

    def carry(self, number: int, *serials: int) -> Path:
        said = RevocationList(number, self.clock.now_us(), frozenset(serials))
        self.list.write_bytes(sign_list(self.authority, said))
        return self.list


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.state.mkdir(parents=True, exist_ok=True)
    return made


def test_a_gateway_that_never_ran_has_no_place_for_a_list(tmp_path):
    place = Place(tmp_path)
    with pytest.raises(ConfigError, match="has the gateway ever run"):
        apply(place.config, place.carry(1), place.clock)


def test_only_the_process_that_holds_the_journal_is_told(place, monkeypatch):
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *words: told.append(words))
    journal = place.state / "journal"
    assert apply(place.config, place.carry(1), place.clock).told is Told.NONE_RUNS
    journal.mkdir()
    lock = DirectoryLock(str(journal))
    assert holder(journal) == os.getpid()
    done = apply(place.config, place.carry(2, 7), place.clock)
    assert (done.told, done.newer, done.current.number) == (Told.RUNNING, True, 2)
    assert told == [(os.getpid(), signal.SIGHUP)]
    lock.close()
    assert holder(journal) is None  # the number is still in the file, and counts no more
    assert apply(place.config, place.list, place.clock)[1:] == (False, Told.NONE_RUNS)
    with pytest.raises(RefusedError, match="older"):
        apply(place.config, place.carry(1), place.clock)


@pytest.mark.parametrize("word", [b"", b"x", b"-1"])
def test_a_process_without_a_number_is_not_guessed(place, monkeypatch, word):
    monkeypatch.setattr(os, "kill", None)
    journal = place.state / "journal"
    journal.mkdir()
    lock = DirectoryLock(str(journal))
    (journal / "lock").write_bytes(word)
    assert apply(place.config, place.carry(1), place.clock).told is Told.UNKNOWN
    lock.close()


def test_a_process_that_is_not_ours_is_named_as_untold(place, monkeypatch):
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    (place.state / "journal").mkdir()
    lock = DirectoryLock(str(place.state / "journal"))
    assert apply(place.config, place.carry(1), place.clock).told is Told.UNKNOWN
    lock.close()


def test_the_lock_dies_with_its_process(tmp_path):
    code = (
        "import os, sys; from gateway.journal.lock import DirectoryLock;"
        "lock = DirectoryLock(sys.argv[1]); print(flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert holder(tmp_path) == process.pid
    process.kill()
    process.communicate()
    assert holder(tmp_path) is None


async def test_sighup_brings_a_newer_list_in_force_and_no_other(place):
    identity: Any = Identity()
    place.control.apply_revocations(identity, place.clock, FakeCounters())
    assert identity.told == []
    place.control.hung_up()
    assert place.control._rereading is not None
    await place.control._rereading
    assert identity.told == []
    apply(place.config, place.carry(3, 7), place.clock)
    place.control.hung_up()
    place.control.hung_up()
    await place.control._rereading
    assert identity.told == [(3, {7})]
    now = datetime.now(UTC)
    own = place.authority
    place.authority = pki.create_issuing(pki.create_root(place.domain, now), now)
    (place.state / "revocations.bin").write_bytes(place.carry(9).read_bytes())
    place.control.hung_up()
    await place.control._rereading
    assert identity.told == [(3, {7})]  # put there by somebody else
    place.authority = own
    (place.state / "revocations.bin").write_bytes(place.carry(4, 7, 8).read_bytes())
    place.control.hung_up()
    await place.control._rereading
    assert identity.told[1:] == [(4, {7, 8})]


def test_a_start_without_a_fleet_applies_the_list(place):
    apply(place.config, place.carry(3, 7), place.clock)
    identity: Any = Identity()
    place.control.apply_revocations(identity, place.clock, FakeCounters())
    assert identity.told == [(3, {7})]
    assert revocation_book(place.config, place.clock).load().number == 3
