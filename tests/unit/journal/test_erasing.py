"""Records whose key was destroyed: lost, told, and nothing else is."""

import shutil

import pytest

from gateway.domain.errors import KeyErasedError
from gateway.domain.labels import Lane
from security.scopes import ScopeKeys
from security.sealing import KeyRing
from tests.unit.journal.helpers import group, open_journal, read_all, texts_of

A, T = Lane.ALARMS, Lane.TELEMETRY
SCOPES = ("journal.alarms", "journal.telemetry", "journal.waves", "state")
RING = KeyRing.generate()


class Site:
    """A journal and its keys, which can be begun anew."""

    def __init__(self, path):
        self.path = path
        self.open()

    def open(self):
        self.keys = ScopeKeys(self.path / "keys", RING, SCOPES, lambda: 0)
        self.journal = open_journal(self.path / "journal", sealer=self.keys, cache_bytes=0)

    def restart(self):
        self.journal.close()
        self.open()

    def key(self, scope="journal.telemetry"):
        return self.keys.of(scope).active.key_id

    def two_days(self):
        """Records 1 and 2 of each lane under one key, 3 under the next; the first keys."""
        for lane in Lane:
            self.journal.append([group(lane, ["a"]), group(lane, ["b"])])
        first = self.key()
        self.keys.begin(SCOPES)
        for lane in Lane:
            self.journal.append([group(lane, ["c"])])
        return first


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    made.journal.close()


def lost(groups):
    return [tuple(part) for each in groups for part in each.lost]


def covered(groups):
    at = 1
    for each in groups:
        assert each.first_seq == at
        at = each.last_seq + 1
    return at - 1


@pytest.mark.parametrize("restarts", [False, True])
def test_what_a_key_sealed_is_lost_and_told_and_the_rest_is_there(site, restarts):
    site.journal.set_destinations(["core"])
    first = site.two_days()
    site.keys.erase([first])
    if restarts:  # it was killed between the two
        site.restart()
    else:
        assert site.journal.lose_erased({first}.__contains__) == 2
    for _ in range(2):
        groups = read_all(site.journal, T)
        assert texts_of(groups) == {3: "c"}
        assert lost(groups) == [(1, 2, "erased")]
        assert covered(groups) == 3
        assert texts_of(read_all(site.journal, A)) == {1: "a", 2: "b", 3: "c"}
        (gap,) = site.journal.discovered_gaps()
        assert (gap.reason, gap.lane, gap.first_seq, gap.last_seq) == ("erased", T, 1, 2)
        assert not (site.path / "journal/telemetry/quarantine").exists() or not list(
            (site.path / "journal/telemetry/quarantine").iterdir()
        )
        site.restart()


def test_what_every_destination_has_is_no_loss(site):
    site.journal.set_destinations(["core", "vendor"])
    first = site.two_days()
    site.journal.cursors.advance("core", T, 3)
    site.journal.cursors.advance("vendor", T, 1)
    site.keys.erase([first])
    assert site.journal.lose_erased({first}.__contains__) == 1
    (gap,) = site.journal.discovered_gaps()
    assert (gap.first_seq, gap.last_seq) == (2, 2)
    assert lost(read_all(site.journal, T)) == [(1, 1, "erased"), (2, 2, "erased")]


def test_a_copy_from_before_opens_with_no_key_of_today(site, tmp_path):
    first = site.two_days()
    site.journal.checkpoint()
    shutil.copytree(site.path / "journal", tmp_path / "copy")
    (tmp_path / "copy" / "lock").unlink()
    site.keys.erase([first])
    site.journal.lose_erased({first}.__contains__)
    stolen = open_journal(tmp_path / "copy", sealer=site.keys)
    try:
        assert texts_of(read_all(stolen, T)) == {3: "c"}
        assert texts_of(read_all(stolen, A)) == {1: "a", 2: "b", 3: "c"}
    finally:
        stolen.close()


def test_the_recent_groups_in_memory_go_too(tmp_path):
    keys = ScopeKeys(tmp_path / "keys", RING, SCOPES, lambda: 0)
    journal = open_journal(tmp_path / "journal", sealer=keys)
    journal.append([group(T, ["a"])])
    first = keys.of("journal.telemetry").active.key_id
    keys.begin(SCOPES)
    journal.append([group(T, ["b"])])
    assert texts_of(journal.read(T, 0, 10, 1 << 20)) == {1: "a", 2: "b"}
    keys.erase([first])
    journal.lose_erased({first}.__contains__)
    assert texts_of(read_all(journal, T)) == {2: "b"}
    journal.close()


def test_keys_are_in_use_as_long_as_a_frame_is_there(site):
    first = site.two_days()
    assert site.journal.key_ids(T) == {first, site.key()}
    site.restart()
    assert site.journal.key_ids(T) == {first, site.key()}
    assert [tuple(r) for r in site.journal.sealed_records(frozenset({first}))[T]] == [(1, 2)]
    # A segment that retention deletes takes its keys along.
    site.journal.set_destinations(["core"])
    site.journal.cursors.advance("core", T, 3)
    site.journal._upkeep._checkpointed = float("-inf")
    site.journal.maintain()
    assert site.journal.key_ids(T) == set()


def test_the_state_is_sealed_anew_and_goes_on(site):
    site.journal.append([group(T, ["x"], [("s", "k", b"v")])])
    site.journal.checkpoint()
    old = site.key("state")
    shutil.copy(site.path / "journal/state.sqlite", site.path / "old.sqlite")
    site.keys.begin(["state"])
    assert site.journal.state_key_ids() == {old}
    assert site.journal.reseal_state()
    assert site.journal.state_key_ids() == {site.key("state")}
    site.keys.erase([old])
    site.restart()
    assert site.journal.state.items("s") == {"k": b"v"}
    assert not site.journal.state_incomplete
    with pytest.raises(KeyErasedError):
        site.keys.of("state").open(old, bytes(60), b"")


def test_a_state_whose_key_is_gone_is_gone_and_said(site):
    site.journal.append([group(T, ["x"], [("s", "k", b"v")])])
    site.journal.checkpoint()
    old = site.key("state")
    site.keys.begin(["state"])
    site.keys.erase([old])
    site.restart()
    assert site.journal.state.items("s") == {}
    assert site.journal.state_incomplete
    assert not site.journal.cursors_lost


def test_a_change_of_state_in_an_erased_frame_is_missed_and_said(site):
    site.journal.append([group(T, ["x"], [("s", "k", b"v")])])
    first = site.key()
    site.journal._lock.close()  # as after kill -9: no checkpoint was written
    site.keys.begin(["journal.telemetry"])
    site.keys.erase([first])
    site.open()
    assert site.journal.state.items("s") == {}
    assert site.journal.state_incomplete
