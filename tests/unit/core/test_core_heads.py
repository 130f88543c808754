"""Heads of audit logs at the core: what continues counts, what contradicts is evidence."""

import sqlite3
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from core import heads, schema
from core.cli import app
from core.heads import Verdict, kept, newest, take
from core.store import Store
from gateway.wire.heads import REQUEST_TAG, from_message, to_message
from protos.wardgate.v1 import ingest_pb2 as pb
from security.audit import AuditLog, load_or_create_key
from security.audit.form import raw_public
from security.audit.merkle import consistency_holds
from tests.fakes import FakeClock

NAME = "gateway/edge-1"
HOUR_US = heads.HOUR_US
NOW = 1_790_000_000_000_000


@pytest.fixture
def store(tmp_path):
    made = Store.open(tmp_path / "core.db", lambda: NOW)
    yield made
    made.close()


@pytest.fixture
def db(store):
    return store.connection


class Edge:
    """A gateway's log."""

    def __init__(self, folder, key=None, name=NAME):
        self.folder = folder
        folder.mkdir()
        self.key = key or load_or_create_key(folder / "audit.key")
        self.log = AuditLog(folder / "audit", self.key, FakeClock(NOW), name=name)

    def head(self, entries=1):
        for _ in range(entries):
            self.log.record("policy", version="v")
        head = self.log.checkpoint()
        assert head is not None
        return head

    def message(self, head, since=0):
        proof = self.log.consistency(since, head.size) if since else []
        return to_message(head, self.log.public_key, since, proof)


@pytest.fixture
def edge(tmp_path):
    made = Edge(tmp_path / "edge")
    yield made
    made.log.close()


def test_a_log_that_grows_is_accepted_head_by_head(db, edge):
    since = 0
    for _ in range(5):
        head = edge.head(3)
        message = edge.message(head, since)
        assert take(db, "edge-1", message, NOW) is Verdict.ACCEPTED
        assert take(db, "edge-1", message, NOW) is Verdict.KNOWN
        since = head.size
    rows = kept(db, "edge-1")
    assert [row.accepted for row in rows] == [True] * 5
    assert rows[-1].head == head
    last = newest(db, "edge-1")
    assert last is not None
    assert last.head.size == since
    assert newest(db, "edge-2") is None


def contradictions(edge, first, second):
    """Name, and what an attacker who has the gateway's key sends after ``second``."""
    shorter = edge.message(first)
    forked = edge.message(second)
    third = edge.head()
    unproven = edge.message(third)
    older_proof = edge.message(third, first.size)
    wrong = edge.message(third, second.size)
    wrong.consistency[0] = bytes(32)
    return {
        "shorter": (_other_root(edge, shorter, first.size - 1), Verdict.SMALLER),
        "forked": (_other_root(edge, forked, second.size), Verdict.FORKED),
        "older fork": (_other_root(edge, shorter, first.size), Verdict.FORKED),
        "unproven": (unproven, Verdict.UNPROVEN),
        "of an older state": (older_proof, Verdict.UNPROVEN),
        "with a wrong proof": (wrong, Verdict.INCONSISTENT),
        "rewritten": (
            _other_root(edge, edge.message(third, second.size), third.size),
            Verdict.INCONSISTENT,
        ),
    }


def _other_root(edge, message, size):
    """The same head with another root or size, signed anew: the attacker has the key."""
    head = from_message(message)
    forged = type(head)(head.name, head.log, size, "ab" * 32, head.us, head.key).signed(edge.key)
    return to_message(forged, edge.log.public_key, message.since, list(message.consistency))


NAMES = (
    "shorter",
    "forked",
    "older fork",
    "unproven",
    "of an older state",
    "with a wrong proof",
    "rewritten",
)


@pytest.mark.parametrize("name", NAMES)
def test_what_contradicts_is_kept_as_evidence_and_never_continued(db, edge, name):
    first, second = edge.head(3), edge.head(3)
    take(db, "edge-1", edge.message(first), NOW)
    take(db, "edge-1", edge.message(second, first.size), NOW)
    message, verdict = contradictions(edge, first, second)[name]
    assert take(db, "edge-1", message, NOW) is verdict
    evidence = kept(db, "edge-1")[-1]
    assert (evidence.accepted, evidence.verdict) == (False, verdict)
    last = newest(db, "edge-1")
    assert last is not None
    assert last.head == second
    third = edge.head()
    assert take(db, "edge-1", edge.message(third, second.size), NOW) is Verdict.ACCEPTED


def malformed(edge, head):
    """Changes to a good message."""
    stranger = Ed25519PrivateKey.generate()
    return {
        "unsigned": {"signature": b""},
        "another's key": {"public_key": raw_public(stranger.public_key())},
        "no key": {"public_key": b"x"},
        "another's name": {"name": "gateway/edge-2"},
        "no log": {"log": ""},
        "two lines": {"log": "a\nb"},
        "size": {"size": head.size + 1},
        "nothing": {"size": 0},
        "root": {"root": b"x"},
        "a long proof": {"consistency": [bytes(32)] * 200},
    }


def test_what_is_no_head_of_this_gateway_is_refused(db, edge, tmp_path):
    head = edge.head()
    for change in malformed(edge, head).values():
        message = edge.message(head)
        for field in change:
            message.ClearField(field)
        message.MergeFrom(pb.AuditHead(**change))
        assert take(db, "edge-1", message, NOW) is Verdict.MALFORMED
    other = Edge(tmp_path / "other", name="gateway/edge-2")
    assert take(db, "edge-1", other.message(other.head()), NOW) is Verdict.MALFORMED
    assert kept(db, "edge-1") == []
    other.log.close()


def test_another_log_and_another_key_are_accepted_and_told(db, edge, tmp_path):
    head = edge.head()
    take(db, "edge-1", edge.message(head), NOW)
    anew = Edge(tmp_path / "anew", key=edge.key)
    begun = anew.head()
    assert take(db, "edge-1", anew.message(begun), NOW) is Verdict.OTHER_LOG
    assert take(db, "edge-1", anew.message(anew.head(), begun.size), NOW) is Verdict.ACCEPTED
    # The old one is still held to what it was.
    assert take(db, "edge-1", edge.message(head), NOW) is Verdict.KNOWN
    edge.log.close()
    edge.log = AuditLog(
        edge.folder / "audit", Ed25519PrivateKey.generate(), FakeClock(NOW), name=NAME
    )
    later = edge.head()
    assert take(db, "edge-1", edge.message(later, head.size), NOW) is Verdict.OTHER_KEY
    anew.log.close()


def test_old_heads_are_thinned_and_evidence_stays(db, edge):
    since, now = 0, NOW
    for at in range(60):
        head = edge.head()
        now = NOW + at * HOUR_US // 10
        take(db, "edge-1", edge.message(head, since), now)
        since = head.size
        if at == 3:
            take(db, "edge-1", _other_root(edge, edge.message(head), head.size), now)
    head = edge.head()
    take(db, "edge-1", edge.message(head, since), now + 2 * heads.DAY_US)
    rows = kept(db, "edge-1")
    assert sum(row.accepted for row in rows) <= 8
    assert [row.verdict for row in rows].count(Verdict.FORKED) == 1
    assert rows[-1].head == head


def test_evidence_is_bounded(db, edge, monkeypatch):
    monkeypatch.setattr(heads, "EVIDENCE_MAX", 5)
    head = edge.head(20)
    take(db, "edge-1", edge.message(head), NOW)
    for size in range(1, 15):
        forged = _other_root(edge, edge.message(head), size)
        assert take(db, "edge-1", forged, NOW) is Verdict.SMALLER
    assert sum(not row.accepted for row in kept(db, "edge-1")) == 5


def test_the_tag_tells_heads_from_batches():
    head = pb.StreamRequest(audit_head=pb.AuditHead(log="x")).SerializeToString()
    batch = pb.StreamRequest(batch=pb.Batch(epoch=1)).SerializeToString()
    assert head.startswith(REQUEST_TAG)
    assert not batch.startswith(REQUEST_TAG)


def run(*words):
    return CliRunner().invoke(app, ["audit", *map(str, words)], catch_exceptions=True)


def test_a_log_is_checked_against_what_the_core_holds(store, db, edge, tmp_path):
    since = 0
    for _ in range(3):
        head = edge.head()
        take(db, "edge-1", edge.message(head, since), NOW)
        since = head.size
    words = ("edge-1", "--database", tmp_path / "core.db")
    assert "3 of 3 heads" in run(*words, "--verify", edge.folder / "audit").stdout
    assert "0 contradictions" in run("--database", tmp_path / "core.db").stdout
    # A thief who has the key writes the log anew: it verifies, but not here.
    forged = Edge(tmp_path / "forged", key=edge.key)
    forged.log.close()
    thief = (forged.folder / "audit" / "audit.log").read_bytes()
    found = run(*words, "--verify", forged.folder / "audit")
    assert "not this one" in str(found.exception)
    # Or cuts its end.
    path = edge.folder / "audit" / "audit.log"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    assert "ends at 3" in str(run(*words, "--verify", edge.folder / "audit").exception)
    path.write_bytes(b"".join(lines))
    # Or sends what the core can tell: it is shown, and the exit code says so.
    take(db, "edge-1", _other_root(edge, edge.message(head), head.size), NOW)
    found = run(*words, "--verify", edge.folder / "audit")
    assert (found.exit_code, "forked" in found.stdout) == (1, True)
    assert thief
    assert "nothing of a gateway" in str(run("edge-9", *words[1:]).exception)


def test_an_older_store_gets_the_table(tmp_path):
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as old:
        for number, sql in schema.steps()[:2]:
            old.executescript(f"{sql}\nPRAGMA user_version={number};")
    made = Store.open(path, lambda: NOW)
    assert kept(made.connection, "edge-1") == []
    made.close()


def test_the_proof_is_what_it_says(edge):
    first, second = edge.head(3), edge.head(4)
    message = edge.message(second, first.size)
    roots = bytes.fromhex(first.root), bytes.fromhex(second.root)
    assert consistency_holds(first.size, second.size, *roots, list(message.consistency))
