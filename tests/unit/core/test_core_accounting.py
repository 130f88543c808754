"""Whatever a gateway sends, in whatever order: stored once, and every number accounted for."""

import operator
import sqlite3
import tempfile
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from core import batches as checking
from core.store import Ack, Offer, Store
from gateway.domain.labels import Lane
from gateway.wire.sections import encode_batch_request
from protos.wardgate.v1 import ingest_pb2 as pb
from tests.ingest import EPOCH, report, section

LANES = frozenset((Lane.TELEMETRY,))


@st.composite
def batches(draw):
    """A batch of at most eight numbers, of which some are withheld, and some range is lost."""
    epoch = draw(st.integers(0, 2))
    first = draw(st.integers(1, 30))
    size = draw(st.integers(1, 8))
    fates = draw(st.lists(st.sampled_from("ssswl"), min_size=size, max_size=size))
    return epoch, first, "".join(fates)


def encode(epoch, first, fates):
    """``s``: sent, ``w``: withheld, ``l``: lost."""
    sent = [i for i, fate in enumerate(fates) if fate == "s"]
    sections = [
        # One record per section: numbers need not be contiguous.
        section(first + i, [report(1000 * epoch + first + i)])
        for i in sent
    ]
    lost = [(first + i, first + i, "test") for i, fate in enumerate(fates) if fate == "l"]
    last = first + len(fates) - 1
    return encode_batch_request(
        Lane.TELEMETRY, EPOCH + epoch, first, last, sections, fates.count("w"), lost
    )


@given(st.lists(batches(), min_size=1, max_size=14), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_everything_acknowledged_is_accounted_for_once(sequence, group):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "core.db"
        with closing(Store.open(path, lambda: 0)) as store:
            offers = [Offer("gw-1", LANES, encode(*batch)) for batch in sequence]
            verdicts = []
            for start in range(0, len(offers), group):
                verdicts += store.ingest(offers[start : start + group])[0]
        with closing(sqlite3.connect(path)) as db:
            stored = db.execute("SELECT epoch, seq, message_id FROM reports").fetchall()
            covered = db.execute(
                "SELECT epoch, first_seq, last_seq, state, records FROM coverage"
                " ORDER BY epoch, first_seq"
            ).fetchall()
            ((epoch, seq, records, redelivered),) = db.execute(
                "SELECT epoch, seq, records, redelivered FROM positions"
            ).fetchall()
    ids = [message_id for _, _, message_id in stored]
    assert len(ids) == len(set(ids)) == records
    assert len({(e, s) for e, s, _ in stored}) == len(stored)
    # Ranges of one epoch neither overlap nor leave a hole.
    for (e1, _, last, *_), (e2, first, *_) in pairwise(covered):
        assert e1 < e2 or first == last + 1
    assert (epoch, seq) == (covered[-1][0], covered[-1][2])
    received = [(e, a, b, n) for e, a, b, state, n in covered if state == "received"]
    assert sum(n for *_, n in received) == len(stored)
    for e, a, b, n in received:
        assert sum(1 for found, s, _ in stored if found == e and a <= s <= b) == n
    sent = sum(batch[2].count("s") for batch in sequence)
    refused = 0
    for batch, verdict in zip(sequence, verdicts, strict=True):
        number, first, fates = batch
        last = first + len(fates) - 1
        if isinstance(verdict, Ack):
            inside = [c for c in covered if c[0] == EPOCH + number]
            assert any(c[1] <= first <= c[2] for c in inside)
            assert any(c[1] <= last <= c[2] for c in inside)
        else:
            assert verdict.reason in ("epoch_behind", "before_start")
            refused += fates.count("s")
    assert records + redelivered + refused == sent


class Compared(int):
    """A sequence number that counts how often such are compared."""

    times = 0

    def _counted(self, other, by):
        Compared.times += 1
        return by(int(self), int(other))

    def __lt__(self, other):
        return self._counted(other, operator.lt)

    def __le__(self, other):
        return self._counted(other, operator.le)

    def __gt__(self, other):
        return self._counted(other, operator.gt)

    def __ge__(self, other):
        return self._counted(other, operator.ge)

    __hash__ = int.__hash__


def test_many_lost_ranges_are_not_held_against_every_number():
    """A request of the size that is taken has room for a million of them."""
    half = 2000
    lost = [pb.LostRange(first_seq=n, last_seq=n) for n in range(half + 1, 2 * half + 1)]
    batch = pb.Batch(first_seq=1, last_seq=2 * half, lost=lost)
    assert checking._account_fault(batch, [Compared(n) for n in range(1, half + 1)]) == ""
    assert Compared.times < 100 * half
