"""A sealer with real AES-256-GCM, and short ways to make and read groups."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.domain.errors import KeyMissingError, SealBrokenError
from gateway.domain.labels import DataClass, Label, Lane
from gateway.domain.ports import StateDelta
from gateway.journal.config import JournalConfig
from gateway.journal.journal import Journal
from gateway.journal.types import Labelled, LaneGroup
from protos.wardgate.v1 import ingest_pb2 as pb
from tests.fakes import FakeClock, FakeCounters

VITAL = Label(DataClass.HEALTH_STATUS, 3)
RESOURCE = Label(DataClass.HEALTH_RESOURCES, 2)
BIG = 1 << 40


class RingSealer:
    """Keys by id; the last one seals."""

    def __init__(self, **keys: bytes) -> None:
        self.keys = keys or {"k1": bytes(32)}

    def of(self, scope: str) -> "RingSealer":
        return self

    def seal(self, plaintext: bytes, aad: bytes) -> tuple[str, bytes]:
        key_id = list(self.keys)[-1]
        nonce = os.urandom(12)
        return key_id, nonce + AESGCM(self.keys[key_id]).encrypt(nonce, plaintext, aad)

    def open(self, key_id: str, sealed: bytes, aad: bytes) -> bytes:
        if key_id not in self.keys:
            raise KeyMissingError(key_id)
        try:
            return AESGCM(self.keys[key_id]).decrypt(sealed[:12], sealed[12:], aad)
        except (InvalidTag, ValueError) as error:
            raise SealBrokenError(key_id) from error


def record(text: str) -> bytes:
    """A serialised record that holds ``text``."""
    return pb.Record(gap=pb.Gap(reason=text)).SerializeToString()


def group(lane: Lane, texts, deltas=(), policy="p1", label=VITAL) -> LaneGroup:
    """A group of records, one per text."""
    return LaneGroup(
        lane,
        [Labelled(label, record(text), (147842,)) for text in texts],
        [StateDelta(*delta) for delta in deltas],
        policy,
    )


def open_journal(path, *, sealer=None, clock=None, counters=None, files=None, **config) -> Journal:
    """Open with small defaults."""
    config.setdefault("ballast_bytes", 0)
    return Journal.open(
        path,
        JournalConfig(**config),
        sealer or RingSealer(),
        clock or FakeClock(),
        counters or FakeCounters(),
        files,
    )


def texts_of(groups) -> dict[int, str]:
    """Sequence number -> text of everything in the sections."""
    found = {}
    for stored in groups:
        for encoded in stored.sections:
            section = pb.Section.FromString(encoded.body)
            assert len(section.records) == encoded.records
            for offset, item in zip(section.seq_offsets, section.records, strict=True):
                found[section.first_seq + offset] = item.gap.reason
    return found


def read_all(journal, lane, after=0, records_max=1000, bytes_max=1 << 20):
    """Every group behind ``after``; checks that coverage is contiguous."""
    groups = []
    while more := journal.read(lane, after, records_max, bytes_max):
        for stored in more:
            assert stored.first_seq <= after + 1 <= stored.last_seq
            after = stored.last_seq
        groups += more
    assert after >= journal.last_seq(lane)
    return groups


def lost_of(groups) -> list[tuple[int, int, str]]:
    """Every lost range in what was read."""
    return [tuple(lost) for stored in groups for lost in stored.lost]
