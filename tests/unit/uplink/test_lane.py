"""One lane against receivers that behave, misbehave, lie and fall silent, over real gRPC."""

import asyncio
import random
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.dial import route
from gateway.domain.labels import DataClass, Label, Lane, Treatment, Zone
from gateway.journal.cursors import Cursors
from gateway.journal.types import EncodedSection, StoredGroup
from gateway.uplink import heads
from gateway.uplink import lane as lane_module
from gateway.uplink.config import DestinationConfig
from gateway.uplink.lane import LaneForwarder
from gateway.uplink.ledger import Ledger
from gateway.uplink.link import Link
from gateway.uplink.ports import Trouble
from gateway.uplink.release import Release, Shape
from gateway.uplink.uplink import open_surroundings
from gateway.uplink.windows import AggregateConfig
from protos.wardgate.v1 import ingest_pb2 as pb
from security.audit import AuditLog
from security.audit.merkle import consistency_holds
from security.files import TlsFiles
from tests.fakes import FakeClock, FakeCounters
from tests.ingest import EPOCH, NOW_US, VITALS, alarm, report, section

TELEMETRY = Lane.TELEMETRY


class MemoryJournal:
    """The journal's reading side over a list of groups; one group has two records."""

    def __init__(self, epoch=EPOCH):
        self.epoch = epoch
        self.groups: list[StoredGroup] = []
        self.first = 1
        self.cursors = Cursors()
        self.cursors.set(["core"], dict.fromkeys(Lane, 0))

    def say(self, groups=1, lane=TELEMETRY):
        make = alarm if lane is Lane.ALARMS else report
        for _ in range(groups):
            seq = self.last_seq(lane) + 1
            body = section(seq, [make(seq), make(seq + 1)])
            sections = (EncodedSection(*VITALS, 2, body),)
            self.groups.append(
                StoredGroup(seq, seq + 1, "p1", sections, (), self.epoch, NOW_US - 2_000_000)
            )

    def read(self, lane, after_seq, records_max, bytes_max):
        del lane, bytes_max
        return [g for g in self.groups if g.last_seq > after_seq][: max(1, records_max)]

    def first_seq(self, lane):
        del lane
        return self.first

    def last_seq(self, lane):
        del lane
        return self.groups[-1].last_seq if self.groups else 0

    def epoch_of(self, lane, seq):
        del lane
        return next((g.epoch for g in self.groups if g.first_seq <= seq <= g.last_seq), 0)

    def subscribe(self, callback):
        raise NotImplementedError

    def unsubscribe(self, callback):
        raise NotImplementedError


class Sealed:
    """A seal that can be recognised."""

    def seal(self, plaintext, aad):
        return "key-1", b"sealed " + aad + plaintext[:0]


def ack(seq, epoch=EPOCH, lane=TELEMETRY):
    return {"ack": {"lane": int(lane), "epoch": epoch, "seq": seq}}


def reject(kind, batch=None, reason="why", retry_after_ms=0):
    found = {"kind": kind, "reason": reason, "retry_after_ms": retry_after_ms}
    if batch is not None:
        found |= {
            "lane": batch.lane,
            "epoch": batch.epoch,
            "first_seq": batch.first_seq,
            "last_seq": batch.last_seq,
        }
    return {"reject": found}


def accept(batch) -> list[Any]:
    return [ack(batch.last_seq, batch.epoch, Lane(batch.lane))]


class Receiver:
    """A receiver that answers each batch by ``behave``; keeps everything that it was sent."""

    def __init__(self):
        self.behave: Any = accept
        self.points: list[dict[str, int]] = []
        self.hellos: list[pb.Hello] = []
        self.batches: list[pb.Batch] = []
        self.streams: list[list[pb.Batch]] = []
        self.welcome: dict[str, Any] = {}
        self.heads: list[pb.AuditHead] = []
        self.got = asyncio.Event()

    def spans(self):
        return [(batch.first_seq, batch.last_seq) for batch in self.batches]

    async def stream(self, _requests, context):
        seen: list[pb.Batch] = []
        self.streams.append(seen)
        while (raw := await context.read()) is not grpc.aio.EOF:
            message = pb.StreamRequest.FromString(raw)
            if message.WhichOneof("message") == "hello":
                self.hellos.append(message.hello)
                answers: list[Any] = [{"welcome": {"resume_points": self.points, **self.welcome}}]
            elif message.WhichOneof("message") == "audit_head":
                self.heads.append(message.audit_head)
                answers = []
            else:
                self.batches.append(message.batch)
                seen.append(message.batch)
                answers = self.behave(message.batch)
            for answer in answers:
                if isinstance(answer, tuple):
                    await context.abort(*answer)
                if not isinstance(answer, bytes):
                    answer = pb.StreamResponse(**answer).SerializeToString()  # noqa: PLW2901
                await context.write(answer)
            self.got.set()


def local_credentials(anchor=b""):
    """Without TLS; a route without pins has no anchor."""
    assert not anchor
    return grpc.local_channel_credentials()


class Bench:
    """A lane, its receiver and everything around it."""

    def __init__(self, folder, receiver, port, lane=TELEMETRY, audit=None, **config):
        self.receiver = receiver
        self.journal = MemoryJournal()
        self.shape = Shape(aggregate=AggregateConfig(window_s=60, devices_min=3))
        self.clock = FakeClock(NOW_US)
        self.counters = FakeCounters()
        self.troubles: list[Trouble] = []
        self.exceptions: list[tuple[Any, ...]] = []
        self.ledger = Ledger.open(folder / "ledger.db", self.clock)
        around = open_surroundings(
            gateway_id="gw-1",
            software_version="test",
            journal=self.journal,
            ledger=self.ledger,
            seal=Sealed(),
            counters=self.counters,
            clock=self.clock,
            on_trouble=self.troubles.append,
            rng=random.Random(3),
            audit=audit,
            on_exception=lambda *words: self.exceptions.append(words),
        )
        settings: dict[str, Any] = {
            "batch_records": 2,
            "window": 3,
            "backoff_s_min": 0.005,
            "backoff_s_max": 0.02,
            "linger_ms": 0,
            "zone": Zone.CAMPUS,
        } | config
        self.config = DestinationConfig(
            name="core",
            purpose="care",
            tenant="hospital",
            address=f"127.0.0.1:{port}",
            **settings,
        )
        way = partial(route, self.config.receiver, TlsFiles.within(Path()))
        self.link = Link(self.config, local_credentials, around, way)
        self.lane = LaneForwarder(self.link, lane)
        self.release()
        self._task: Any = None

    def release(self, treatment=Treatment.PASS, version="p1"):
        row = treatment if isinstance(treatment, dict) else {VITALS: treatment}
        self.ledger.remember(version, {"core": row})
        self.link.set_release(Release("core", version, row, self.ledger.table, None, self.shape))
        self.lane.notify()

    def say(self, groups=1, lane=TELEMETRY):
        self.journal.say(groups, lane)
        self.lane.notify()

    def start(self):
        self._task = asyncio.create_task(self.lane.run())

    async def pause(self):
        """End the lane's streams."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def again(self):
        """End the lane and start another one, as a restart does."""
        await self.pause()
        self.lane = LaneForwarder(self.link, TELEMETRY)
        self.start()

    async def stop(self):
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.link.around.writer.close()
        self.ledger.close()

    async def until(self, condition):
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110  # it happens on the other side of a socket
                await asyncio.sleep(0.005)

    async def delivered(self, lane=TELEMETRY):
        await self.until(
            lambda: self.journal.cursors.get("core", lane) == self.journal.last_seq(lane)
        )

    def failures(self):
        return {key[2]: n for key, n in self.counters.counts.items() if key[0] == "send_failures"}

    def entered(self):
        with closing(self.ledger._db.cursor()) as db:
            return db.execute("SELECT sum(records) FROM entries").fetchone()[0]


@asynccontextmanager
async def bench(tmp_path, **config):
    receiver = Receiver()
    server = grpc.aio.server()
    handler: Any = grpc.stream_stream_rpc_method_handler(receiver.stream)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("wardgate.v1.IngestService", {"Stream": handler}),)
    )
    port = server.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
    await server.start()
    made = Bench(tmp_path, receiver, port, **config)
    try:
        yield made
    finally:
        await made.stop()
        await server.stop(0)


async def test_batches_go_out_in_order_and_the_cursor_follows_the_acknowledgements(tmp_path):
    async with bench(tmp_path) as b:
        b.say(5)
        b.start()
        await b.delivered()
        b.say()
        await b.delivered()
        assert b.receiver.spans() == [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12)]
        (hello,) = b.receiver.hellos
        assert (hello.gateway, hello.destination) == ("gw-1", "core")
        assert [(o.lane, o.epoch) for o in hello.lanes] == [(2, EPOCH)]
        assert b.entered() == 12
        assert b.counters.counts["released", "core", "telemetry", "passed"] == 12
        assert b.counters.observed["delivery_seconds", "core"] == [2.0] * 6


async def test_small_groups_travel_together(tmp_path):
    async with bench(tmp_path, batch_records=500) as b:
        b.say(20)
        b.start()
        await b.delivered()
        assert b.receiver.spans() == [(1, 40)]


async def test_the_window_bounds_what_is_in_flight(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda _: []
        b.say(9)
        b.start()
        await b.until(lambda: len(b.receiver.batches) == 3)
        await asyncio.sleep(0.05)
        assert b.receiver.spans() == [(1, 2), (3, 4), (5, 6)]
        assert b.journal.cursors.get("core", TELEMETRY) == 0


async def test_one_acknowledgement_may_cover_several_batches(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda batch: accept(batch) if batch.last_seq % 6 == 0 else []
        b.say(6)
        b.start()
        await b.delivered()
        assert len(b.receiver.batches) == 6


async def test_an_acknowledgement_of_what_was_never_sent_moves_nothing_beyond(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda batch: [
            ack(2**40, EPOCH + 99),
            ack(batch.last_seq, lane=Lane.ALARMS),
        ]
        b.say(2)
        b.start()
        await b.delivered()
        assert b.journal.cursors.get("core", TELEMETRY) == 4


async def test_what_was_in_flight_is_sent_again_in_the_same_batches_and_no_new_release(
    tmp_path, caplog
):
    async with bench(tmp_path, batch_records=4) as b:
        b.receiver.behave = lambda batch: [(grpc.StatusCode.UNAVAILABLE, "down")] if batch else []
        b.say()
        b.start()
        await b.until(lambda: b.receiver.batches)
        b.say(3)
        await b.until(lambda: len(b.receiver.streams) > 2 and len(b.receiver.batches) > 2)
        b.receiver.behave = accept
        await b.delivered()
        # What was a batch of one group stays one, though more would fit by now.
        assert {batch.last_seq for batch in b.receiver.batches if batch.first_seq == 1} == {2}
        assert b.entered() == 8
        assert b.counters.counts["released", "core", "telemetry", "passed"] == 8
        # gRPC may tell the cancelled call as INTERNAL; a fault of ours would leave a trace.
        assert sum(b.failures().values()) >= 2
        assert not [record for record in caplog.records if record.exc_info]


async def test_a_retransmission_after_a_restart_is_no_new_release(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda _: []
        b.say(2)
        b.start()
        await b.until(lambda: len(b.receiver.batches) == 2)
        b.receiver.behave = accept
        await b.again()
        await b.delivered()
        assert b.receiver.spans() == [(1, 2), (3, 4)] * 2
        assert b.entered() == 4


async def test_under_another_policy_it_is_a_release_of_its_own(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda _: []
        b.say()
        b.start()
        await b.until(lambda: len(b.receiver.batches) == 1)
        b.release(Treatment.MASK, "p2")
        b.receiver.behave = accept
        await b.again()
        await b.delivered()
        assert [batch.sections[0].treatment for batch in b.receiver.batches] == [
            pb.TREATMENT_PASS,
            pb.TREATMENT_MASK,
        ]
        assert b.entered() == 4


async def test_a_new_policy_applies_without_a_new_stream(tmp_path):
    async with bench(tmp_path) as b:
        b.say()
        b.start()
        await b.delivered()
        b.release(Treatment.MASK, "p2")
        b.say()
        await b.delivered()
        assert len(b.receiver.streams) == 1
        assert b.receiver.batches[-1].sections[0].treatment == pb.TREATMENT_MASK


async def test_without_a_policy_the_stream_ends_and_none_is_opened(tmp_path):
    async with bench(tmp_path) as b:
        b.say()
        b.start()
        await b.delivered()
        b.link.set_release(None)
        b.lane.notify()
        b.say()
        await b.until(lambda: "no_policy" in b.failures())
        await asyncio.sleep(0.05)
        assert len(b.receiver.hellos) == 1
        assert b.receiver.spans() == [(1, 2)]


async def test_without_a_policy_a_stream_ends_whatever_is_in_flight(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda _batch: []
        b.say(20)
        b.start()
        await b.until(lambda: len(b.receiver.batches) == 3)  # the window is full
        b.link.set_release(None)
        await b.until(lambda: "no_policy" in b.failures())
        b.receiver.behave = accept
        b.release(version="p2")
        await b.delivered()
        assert len(b.receiver.hellos) == 2


async def test_without_a_policy_nobody_is_knocked_at(tmp_path):
    async with bench(tmp_path, backoff_s_min=60.0, backoff_s_max=60.0) as b:
        knocked = asyncio.Event()

        async def knock(_address):
            knocked.set()
            await asyncio.Event().wait()

        b.link._knock = knock
        b.receiver.behave = lambda _batch: [(grpc.StatusCode.UNAVAILABLE, "away")]
        b.say()
        b.start()
        await knocked.wait()
        b.link.set_release(None)
        knocked.clear()
        b.receiver.behave = accept
        b.release(version="p2")
        await b.delivered()  # at once, and not when the pause is over
        assert not knocked.is_set()


async def test_nothing_leaves_that_the_ledger_does_not_hold(tmp_path):
    async with bench(tmp_path) as b:
        b.ledger.start("core", TELEMETRY, 0)
        b.ledger._db.execute("PRAGMA query_only=1")
        b.say()
        b.start()
        await b.until(lambda: b.failures().get("ledger", 0) >= 2)
        assert b.receiver.batches == []
        b.ledger._db.execute("PRAGMA query_only=0")
        await b.delivered()


async def test_a_batch_that_is_rejected_for_good_is_set_aside_and_the_rest_goes_on(tmp_path):
    def behave(batch):
        return [reject(pb.REJECT_KIND_PERMANENT, batch)] if batch.first_seq == 3 else accept(batch)

    async with bench(tmp_path) as b:
        b.receiver.behave = behave
        b.say(4)
        b.start()
        await b.delivered()
        assert len(b.receiver.streams) == 1
        rows = b.ledger._db.execute("SELECT first_seq, last_seq, reason, body FROM rejected")
        ((first, last, reason, body),) = rows.fetchall()
        assert (first, last, reason) == (3, 4, "why")
        assert body.startswith(b"sealed core/TELEMETRY/")
        assert b.counters.counts["rejected", "core", "permanent"] == 1
        assert [(str(t.kind), t.seq) for t in b.troubles] == [("rejected", 4)]


async def test_every_batch_that_is_set_aside_is_an_exception_of_its_own(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda batch: [reject(pb.REJECT_KIND_PERMANENT, batch)]
        b.say(4)
        b.start()
        await b.until(lambda: len(b.exceptions) == 4)
        assert len(b.troubles) == 1  # an alarm is a record itself, and does not come each time
        event, destination, _, fields = b.exceptions[0]
        assert (event, destination, fields["first_seq"], fields["last_seq"], fields["reason"]) == (
            "set_aside",
            "core",
            1,
            2,
            "why",
        )
        assert len({where for _, _, where, _ in b.exceptions}) == 4


async def test_what_can_not_be_treated_is_told_once_it_is_in_the_ledger(tmp_path):
    async with bench(tmp_path) as b:
        b.release(Treatment.MASK)
        broken = EncodedSection(*VITALS, 2, b"\xff no section")
        b.journal.groups.append(StoredGroup(1, 2, "p1", (broken,), (), EPOCH, NOW_US))
        b.start()
        await b.delivered()
        ((event, _, _, fields),) = b.exceptions
        assert (event, fields["records"], fields["class"], fields["level"]) == (
            "untreatable",
            2,
            "health_status",
            3,
        )


async def test_a_receivers_words_are_one_line(tmp_path, caplog):
    """They come into the log, the ledger and an alarm."""
    words = "no\n2026-11-30 ERROR \x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}" + "x" * 100
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda batch: [reject(pb.REJECT_KIND_PERMANENT, batch, words)]
        b.say(1)
        b.start()
        await b.delivered()
        (told,) = b.troubles
        assert told.detail == "no?2026-11-30 ERROR ?[2J?" + "x" * 39
        rows = b.ledger._db.execute("SELECT reason FROM rejected").fetchall()
        assert rows == [(told.detail,)]
    assert told.detail in caplog.text


async def test_a_rejected_batch_in_the_middle_waits_for_those_before_it(tmp_path):
    def behave(batch):
        return [reject(pb.REJECT_KIND_PERMANENT, batch)] if batch.first_seq == 3 else []

    async with bench(tmp_path) as b:
        b.receiver.behave = behave
        b.say(2)
        b.start()
        await b.until(lambda: b.troubles)
        assert b.journal.cursors.get("core", TELEMETRY) == 0


async def test_a_transient_rejection_is_tried_again(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda batch: [
            reject(pb.REJECT_KIND_TRANSIENT, batch, "store", retry_after_ms=10)
        ]
        b.say(2)
        b.start()
        await b.until(lambda: b.failures().get("rejected", 0) >= 2)
        assert b.journal.cursors.get("core", TELEMETRY) == 0
        b.receiver.behave = accept
        await b.delivered()
        assert b.entered() == 4


@pytest.mark.parametrize(
    "answer",
    [
        reject(pb.REJECT_KIND_PERMANENT, None, "unreadable"),
        (grpc.StatusCode.INVALID_ARGUMENT, "scripted"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (3 vs. 2)"),
    ],
)
async def test_a_batch_that_can_not_be_read_is_found_alone_and_set_aside(tmp_path, answer):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda batch: [answer] if batch.first_seq == 5 else accept(batch)
        b.say(5)
        b.start()
        await b.delivered()
        rows = b.ledger._db.execute("SELECT first_seq, last_seq FROM rejected").fetchall()
        assert rows == [(5, 6)]
        b.receiver.points = [{"lane": 2, "epoch": EPOCH, "seq": 4}]
        b.say()
        await b.delivered()
        assert {span for span in b.receiver.spans() if span != (5, 6)} == {
            (1, 2),
            (3, 4),
            (7, 8),
            (9, 10),
            (11, 12),
        }


async def test_an_overloaded_receiver_makes_nothing_set_aside(tmp_path):
    async with bench(tmp_path) as b:
        overload = (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded")
        b.receiver.behave = lambda _: [overload]
        b.say()
        b.start()
        await b.until(lambda: b.failures().get("resource_exhausted", 0) >= 3)
        b.receiver.behave = accept
        await b.delivered()
        assert b.ledger._db.execute("SELECT count(*) FROM rejected").fetchone() == (0,)
        assert b.troubles == []


async def test_a_receiver_that_rejects_everything_is_reported_once_a_minute(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda batch: [reject(pb.REJECT_KIND_PERMANENT, batch)]
        b.say(5)
        b.start()
        await b.delivered()
        assert b.counters.counts["rejected", "core", "permanent"] == 5
        assert len(b.troubles) == 1
        b.clock.advance(61)
        b.say()
        await b.delivered()
        assert len(b.troubles) == 2


async def test_a_batch_that_no_receiver_takes_is_not_even_sent(tmp_path, monkeypatch):
    monkeypatch.setattr(lane_module, "MESSAGE_BYTES_MAX", 10)
    async with bench(tmp_path) as b:
        b.say()
        b.start()
        await b.delivered()
        assert b.receiver.batches == []
        assert [t.detail for t in b.troubles] == ["too_large"]


async def test_lanes_that_are_greeted_and_dropped_do_not_wake_each_other(tmp_path, monkeypatch):
    async with bench(tmp_path) as b:
        paused: list[tuple[int, int]] = []
        pause = b.link.pause

        async def watched(seconds, signs):
            paused.append((signs, b.link.signs))
            await pause(seconds, signs)

        monkeypatch.setattr(b.link, "pause", watched)
        b.receiver.behave = lambda _: [(grpc.StatusCode.UNAVAILABLE, "down")]
        b.say()
        b.start()
        await b.until(lambda: len(paused) > 3)
        assert b.link.signs >= 3  # each stream that came up is one
        assert all(begun == now for begun, now in paused)


async def test_a_receiver_that_falls_silent_is_given_up(tmp_path):
    async with bench(tmp_path, answer_timeout_s=0.1) as b:
        b.receiver.behave = lambda _: []
        b.say()
        b.start()
        await b.until(lambda: b.failures().get("no_answer", 0) >= 2)
        b.receiver.behave = accept
        await b.delivered()


async def test_an_idle_stream_is_not_given_up(tmp_path):
    async with bench(tmp_path, answer_timeout_s=0.5) as b:
        b.say()
        b.start()
        await b.delivered()
        before = b.failures(), len(b.receiver.streams)  # none and one, unless this machine stood
        await asyncio.sleep(0.8)
        assert (b.failures(), len(b.receiver.streams)) == before


@pytest.mark.parametrize("answer", [b"\xff\xff", {"welcome": {}}, b""])
async def test_answers_that_make_no_sense_move_no_cursor(tmp_path, answer):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda _: [answer]
        b.say()
        b.start()
        await b.until(lambda: b.receiver.batches)
        await asyncio.sleep(0.02)
        assert b.journal.cursors.get("core", TELEMETRY) == 0


async def test_what_the_receiver_holds_already_is_not_sent_again(tmp_path):
    async with bench(tmp_path) as b:
        b.say(3)
        b.receiver.points = [
            {"lane": 1, "epoch": EPOCH, "seq": 6},
            {"lane": 2, "epoch": EPOCH, "seq": 4},
        ]
        b.start()
        await b.delivered()
        assert b.receiver.spans() == [(5, 6)]
        assert b.troubles == []


async def test_a_receiver_that_lost_its_store_gets_what_there_is_and_is_reported(tmp_path):
    async with bench(tmp_path) as b:
        b.say(3)
        b.start()
        await b.delivered()
        await b.again()
        b.say()
        await b.delivered()
        assert b.receiver.spans() == [(1, 2), (3, 4), (5, 6)] * 2 + [(7, 8)]
        assert [str(t.kind) for t in b.troubles] == ["receiver_behind"]


async def test_a_destination_that_comes_back_gets_nothing_from_before(tmp_path):
    async with bench(tmp_path) as b:
        b.say(2)
        b.start()
        await b.delivered()
        b.receiver.points = [{"lane": 2, "epoch": EPOCH, "seq": 4}]
        b.say(2)
        b.journal.cursors.set([], {})
        b.journal.cursors.set(["core"], dict.fromkeys(Lane, 12))
        b.say(4)
        await b.again()
        await b.delivered()
        assert b.receiver.spans()[-2:] == [(13, 14), (15, 16)]


async def test_to_a_receiver_ahead_of_this_epoch_nothing_is_sent(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.points = [{"lane": 2, "epoch": EPOCH + 5, "seq": 1}]
        b.say()
        b.start()
        await b.until(lambda: b.failures().get("receiver_ahead", 0) >= 2)
        assert b.receiver.batches == []
        assert [str(t.kind) for t in b.troubles] == ["receiver_ahead"]
        b.journal.epoch = EPOCH + 6
        b.say()
        await b.delivered()


async def test_alarms_are_timed_from_when_they_were_determined(tmp_path):
    async with bench(tmp_path, lane=Lane.ALARMS) as b:
        b.say(lane=Lane.ALARMS)
        b.clock.advance(3)
        b.start()
        await b.delivered(Lane.ALARMS)
        (seconds,) = b.counters.observed["alarm_delivery_seconds", "core"]
        assert seconds == pytest.approx(3, abs=0.01)


async def test_a_fault_of_ours_ends_one_stream_and_no_more(tmp_path, monkeypatch):
    async with bench(tmp_path) as b:
        read = b.journal.read
        faults = [RuntimeError("once")]

        def faulty(*args):
            if faults:
                raise faults.pop()
            return read(*args)

        monkeypatch.setattr(b.journal, "read", faulty)
        b.say()
        b.start()
        await b.delivered()
        assert b.failures() == {"internal": 1}


def minutes(journal, groups, first_minute=0):
    """One group of three devices' reports each minute."""
    for minute in range(first_minute, first_minute + groups):
        seq = journal.last_seq(TELEMETRY) + 1
        body = section(seq, [report(seq + n, f"monitor-{n}") for n in range(3)])
        sections = (EncodedSection(*VITALS, 3, body),)
        at_us = NOW_US + minute * 60_000_000
        journal.groups.append(StoredGroup(seq, seq + 2, "p1", sections, (), EPOCH, at_us))


def windows_of(batches):
    return [
        (record.aggregate.first_seq, record.aggregate.records)
        for batch in batches
        for each in batch.sections
        for record in each.records
        if each.treatment == pb.TREATMENT_AGGREGATE
    ]


async def test_the_cursor_stays_behind_the_open_window_and_the_lag_does_not(tmp_path):
    async with bench(tmp_path) as b:
        b.release(Treatment.AGGREGATE)
        minutes(b.journal, 3)
        b.start()
        await b.until(lambda: b.link.acked(TELEMETRY) == 9)
        assert b.journal.cursors.get("core", TELEMETRY) == 6
        assert b.link.lag(TELEMETRY) == 0
        assert windows_of(b.receiver.batches) == [(1, 3), (4, 3)]


async def test_after_a_restart_the_open_window_is_made_again_from_the_cursor_on(tmp_path):
    async with bench(tmp_path) as b:
        b.release(Treatment.AGGREGATE)
        minutes(b.journal, 2)
        b.journal.groups[1] = b.journal.groups[1]._replace(committed_us=NOW_US + 1)
        b.start()
        await b.until(lambda: b.link.acked(TELEMETRY) == 6)
        assert b.journal.cursors.get("core", TELEMETRY) == 0
        b.link._acked.clear()
        b.receiver.points = [{"lane": int(TELEMETRY), "epoch": EPOCH, "seq": 6}]
        for starts in (2, 3):  # the first one must not move the cursor past the window
            await b.again()
            await b.until(lambda n=starts: len(b.receiver.hellos) == n and b.link._up)
        minutes(b.journal, 1, first_minute=2)
        b.lane.notify()
        await b.until(lambda: b.link.acked(TELEMETRY) == 9)
        assert windows_of(b.receiver.batches) == [(1, 6)]
        assert b.receiver.spans().count((1, 3)) == 1
        assert not b.troubles


async def test_a_stream_that_goes_on_with_the_same_window_sends_it_once(tmp_path):
    async with bench(tmp_path, window=1) as b:
        b.release(Treatment.AGGREGATE)
        lost = []

        def drop_the_answer(batch):
            b.receiver.points = [{"lane": int(TELEMETRY), "epoch": EPOCH, "seq": batch.last_seq}]
            if batch.last_seq in lost:
                return accept(batch)
            lost.append(batch.last_seq)
            return [(grpc.StatusCode.UNAVAILABLE, "gone")]

        b.receiver.behave = drop_the_answer
        minutes(b.journal, 4)
        b.start()
        await b.until(lambda: b.link.acked(TELEMETRY) == 12)
        assert windows_of(b.receiver.batches) == [(1, 3), (4, 3), (7, 3)]


async def test_a_receiver_that_lost_data_gets_no_part_of_a_window(tmp_path):
    async with bench(tmp_path) as b:
        b.release(Treatment.AGGREGATE)
        minutes(b.journal, 3)
        for place, second in enumerate((0, 1, 70)):
            group = b.journal.groups[place]
            b.journal.groups[place] = group._replace(committed_us=NOW_US + second * 1_000_000)
        b.start()
        await b.until(lambda: b.link.acked(TELEMETRY) == 9)
        assert windows_of(b.receiver.batches) == [(1, 6)]
        # It says that it lost everything behind the window's first group.
        b.receiver.points = [{"lane": int(TELEMETRY), "epoch": EPOCH, "seq": 3}]
        b.receiver.batches.clear()
        await b.again()
        await b.until(lambda: b.receiver.spans()[-1:] == [(7, 9)])
        assert windows_of(b.receiver.batches) == []


async def test_another_policy_makes_the_open_window_again_by_its_own_rules(tmp_path):
    async with bench(tmp_path) as b:
        b.release(Treatment.AGGREGATE)
        minutes(b.journal, 1)
        b.start()
        await b.until(lambda: b.link.acked(TELEMETRY) == 3)
        b.release(Treatment.PASS, "p2")
        minutes(b.journal, 1, first_minute=1)
        b.journal.groups[-1] = b.journal.groups[-1]._replace(policy_version="p2")
        b.lane.notify()
        await b.until(lambda: b.link.acked(TELEMETRY) == 6)
        assert windows_of(b.receiver.batches) == [(1, 3)]
        assert [each.treatment for each in b.receiver.batches[-1].sections] == [
            pb.TREATMENT_AGGREGATE,
            pb.TREATMENT_PASS,
        ]
        assert b.journal.cursors.get("core", TELEMETRY) == 6


async def test_a_policy_that_begins_to_aggregate_counts_nothing_that_left_before(tmp_path):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda _: []  # nothing is acknowledged
        minutes(b.journal, 1)
        b.start()
        await b.until(lambda: b.receiver.spans() == [(1, 3)])
        b.release(Treatment.AGGREGATE, "p2")
        minutes(b.journal, 2, first_minute=1)
        b.lane.notify()
        await b.until(lambda: b.receiver.spans()[-1:] == [(7, 9)])
        assert windows_of(b.receiver.batches) == [(4, 3)]


async def test_a_stricter_policy_withholds_what_is_in_the_open_window_and_the_ledger_says_so(
    tmp_path,
):
    async with bench(tmp_path) as b:
        b.release(Treatment.AGGREGATE)
        minutes(b.journal, 1)
        b.start()
        await b.until(lambda: b.link.acked(TELEMETRY) == 3)
        b.release(Treatment.WITHHOLD, "p2")
        minutes(b.journal, 1, first_minute=1)
        b.lane.notify()
        await b.until(lambda: b.link.acked(TELEMETRY) == 6)
        assert windows_of(b.receiver.batches) == []
        assert list(b.ledger.totals()) == [("core", "withhold", 6)]


async def test_nor_does_another_policy_make_a_window_of_the_part(tmp_path):
    async with bench(tmp_path) as b:
        b.release(Treatment.AGGREGATE)
        minutes(b.journal, 2)
        b.journal.groups[1] = b.journal.groups[1]._replace(committed_us=NOW_US + 1)
        b.start()
        await b.until(lambda: b.link.acked(TELEMETRY) == 6)
        b.journal.cursors.advance("core", TELEMETRY, 6)  # as if that window had been closed
        b.receiver.points = [{"lane": int(TELEMETRY), "epoch": EPOCH, "seq": 3}]
        b.receiver.batches.clear()
        await b.again()
        await b.until(lambda: b.receiver.spans()[-1:] == [(4, 6)])
        b.release(Treatment.AGGREGATE, "p2")
        minutes(b.journal, 1, first_minute=1)
        b.lane.notify()
        await b.until(lambda: b.link.acked(TELEMETRY) == 9)
        assert windows_of(b.receiver.batches) == []


OTHER = Label(DataClass.MEDICAL_APPLICATION, 2)


def shared(journal, groups, first_minute=0, epoch=EPOCH):
    """One group each minute: of three devices, and one record of another label."""
    for minute in range(first_minute, first_minute + groups):
        seq = journal.last_seq(TELEMETRY) + 1
        body = section(seq, [report(seq + n, f"monitor-{n}") for n in range(3)])
        other = section(seq + 3, [report(seq + 3)], label=OTHER)
        sections = (EncodedSection(*VITALS, 3, body), EncodedSection(*OTHER, 1, other))
        at_us = NOW_US + minute * 60_000_000
        journal.groups.append(StoredGroup(seq, seq + 3, "p1", sections, (), epoch, at_us))


STATISTICS_AND_MORE = {VITALS: Treatment.AGGREGATE, OTHER: Treatment.PASS}


@pytest.mark.parametrize("restarted", [True, False])
@pytest.mark.parametrize("other", [Treatment.PASS, Treatment.WITHHOLD])
async def test_a_policy_that_came_while_there_was_no_stream_withholds_the_window_in_the_ledger_too(
    tmp_path, other, restarted
):
    async with bench(tmp_path, batch_records=100) as b:
        b.release(STATISTICS_AND_MORE)
        shared(b.journal, 1)
        b.start()
        await b.until(lambda: b.link.acked(TELEMETRY) == 4)
        b.receiver.points = [{"lane": int(TELEMETRY), "epoch": EPOCH, "seq": 4}]
        await b.pause()
        if restarted:
            b.link._acked.clear()
            b.lane = LaneForwarder(b.link, TELEMETRY)
        b.release({VITALS: Treatment.WITHHOLD, OTHER: other}, "p2")
        b.start()
        shared(b.journal, 1, first_minute=1)
        b.lane.notify()
        await b.delivered()
        passed, withheld = (2, 6) if other is Treatment.PASS else (1, 7)
        assert list(b.ledger.totals()) == [
            ("core", "pass", passed),
            ("core", "withhold", withheld),
        ]
        assert windows_of(b.receiver.batches) == []


async def test_what_was_in_flight_to_a_destination_that_is_silenced_is_entered_once(tmp_path):
    async with bench(tmp_path, batch_records=100) as b:
        b.receiver.behave = lambda _: []  # nothing is acknowledged
        b.release(STATISTICS_AND_MORE)
        shared(b.journal, 1)
        b.start()
        await b.until(lambda: len(b.receiver.batches) == 1)
        b.release(Treatment.WITHHOLD, "p2")
        shared(b.journal, 1, first_minute=1)
        b.lane.notify()
        await b.delivered()
        assert list(b.ledger.totals()) == [("core", "pass", 1), ("core", "withhold", 7)]


async def test_nothing_is_kept_for_a_destination_that_is_silenced_though_nothing_new_comes(
    tmp_path,
):
    async with bench(tmp_path) as b:
        b.receiver.behave = lambda _: []
        b.say()
        b.start()
        await b.until(lambda: len(b.receiver.batches) == 1)
        b.release(Treatment.WITHHOLD, "p2")
        await b.delivered()
        assert list(b.ledger.totals()) == [("core", "pass", 2)]


async def test_a_window_of_the_last_run_is_entered_as_of_that_run(tmp_path):
    async with bench(tmp_path, batch_records=100) as b:
        b.release(STATISTICS_AND_MORE)
        shared(b.journal, 1)
        b.start()
        await b.until(lambda: b.link.acked(TELEMETRY) == 4)
        shared(b.journal, 1, epoch=EPOCH + 9)
        b.lane.notify()
        await b.until(lambda: b.link.acked(TELEMETRY) == 8)
        assert windows_of(b.receiver.batches) == [(1, 3)]
        with closing(b.ledger._db.cursor()) as db:
            found = db.execute(
                "SELECT epoch, first_seq, last_seq, records FROM entries"
                " WHERE treatment = 'aggregate'"
            ).fetchall()
        assert found == [(EPOCH, 1, 4, 3)]


def at(journal, seconds):
    """When the newest group was committed, instead."""
    journal.groups[-1] = journal.groups[-1]._replace(committed_us=NOW_US + seconds * 1_000_000)


@pytest.mark.parametrize("restarted", [True, False])
async def test_windows_of_another_length_leave_none_without_an_entry(tmp_path, restarted):
    async with bench(tmp_path, batch_records=100) as b:
        b.release(Treatment.AGGREGATE)
        b.start()
        for group, seconds in enumerate((0, 30)):
            minutes(b.journal, 1)
            at(b.journal, seconds)
            b.lane.notify()
            await b.until(lambda group=group: b.link.acked(TELEMETRY) == 3 * (group + 1))
        b.receiver.points = [{"lane": int(TELEMETRY), "epoch": EPOCH, "seq": 6}]
        if restarted:
            await b.pause()
            b.lane = LaneForwarder(b.link, TELEMETRY)
        b.shape = Shape(aggregate=AggregateConfig(window_s=30, devices_min=3))
        b.release(Treatment.AGGREGATE)
        if restarted:
            b.start()
            await b.until(lambda: len(b.receiver.hellos) == 2)
        minutes(b.journal, 1)
        at(b.journal, 45)
        b.lane.notify()
        await b.until(lambda: b.link.acked(TELEMETRY) == 9)
        # Nobody could say to which window they belong; the next one is whole.
        assert list(b.ledger.totals()) == [("core", "withhold", 6)]
        minutes(b.journal, 1)
        at(b.journal, 75)
        b.lane.notify()
        await b.until(lambda: b.link.acked(TELEMETRY) == 12)
        assert windows_of(b.receiver.batches) == [(7, 3)]
        assert list(b.ledger.totals()) == [("core", "aggregate", 3), ("core", "withhold", 6)]


@pytest.mark.parametrize("then", ["a restart", "a third policy", "both"])
async def test_what_was_entered_before_a_policy_began_to_aggregate_it_is_entered_once(
    tmp_path, then
):
    async with bench(tmp_path, batch_records=100) as b:
        b.release(STATISTICS_AND_MORE)
        b.start()
        all_of_it = dict.fromkeys((VITALS, OTHER), Treatment.AGGREGATE)
        for group, seconds in enumerate((0, 20)):
            shared(b.journal, 1)
            at(b.journal, seconds)
            b.lane.notify()
            await b.until(lambda group=group: b.link.acked(TELEMETRY) == 4 * (group + 1))
            b.release(all_of_it, "p2")
        b.receiver.points = [{"lane": int(TELEMETRY), "epoch": EPOCH, "seq": 8}]
        if then != "a third policy":
            await b.again()
            await b.until(lambda: len(b.receiver.hellos) == 2)
        if then != "a restart":
            b.release(all_of_it, "p3")
        shared(b.journal, 1)
        at(b.journal, 70)
        b.lane.notify()
        await b.until(lambda: b.link.acked(TELEMETRY) == 12)
        assert list(b.ledger.totals()) == [
            ("core", "aggregate", 6),
            ("core", "pass", 1),
            ("core", "withhold", 1),
        ]


# -- heads of the audit log ------------------------------------------------------------------------


@pytest.fixture
def audit(tmp_path):
    made = AuditLog(tmp_path / "audit", Ed25519PrivateKey.generate(), FakeClock(NOW_US))
    yield made
    made.close()


async def test_heads_go_beside_the_batches_each_with_its_proof(tmp_path, audit, monkeypatch):
    monkeypatch.setattr(heads, "HEAD_INTERVAL_S", 0.01)
    async with bench(tmp_path, audit=audit) as b:
        b.receiver.welcome = {"audit": {}}
        b.start()
        audit.checkpoint()
        await b.until(lambda: len(b.receiver.heads) == 1)
        b.say(3)
        await b.delivered()
        audit.record("policy", version="2")
        audit.checkpoint()
        await b.until(lambda: len(b.receiver.heads) == 2)
        first, second = b.receiver.heads
        assert (first.since, list(first.consistency)) == (0, [])
        assert second.since == first.size
        proof = list(second.consistency)
        assert consistency_holds(first.size, second.size, first.root, second.root, proof)
        # A new stream goes on from what the receiver says it holds, and nothing is sent twice.
        b.receiver.welcome = {"audit": {"log": second.log, "size": second.size}}
        await b.again()
        await b.until(lambda: len(b.receiver.hellos) == 2)
        audit.record("policy", version="3")
        audit.checkpoint()
        await b.until(lambda: len(b.receiver.heads) == 3)
        assert b.receiver.heads[2].since == second.size
        assert b.failures() == {}


async def test_a_receiver_that_holds_more_than_there_is_gets_the_head_without_a_proof(
    tmp_path, audit, monkeypatch
):
    monkeypatch.setattr(heads, "HEAD_INTERVAL_S", 0.01)
    head = audit.checkpoint()
    async with bench(tmp_path, audit=audit) as b:
        b.receiver.welcome = {"audit": {"log": head.log, "size": 1000}}
        b.start()
        await b.until(lambda: b.receiver.heads)
        assert (b.receiver.heads[0].size, b.receiver.heads[0].since) == (head.size, 0)


@pytest.mark.parametrize(
    ("zone", "welcome"),
    [(Zone.PARTNER, {"audit": {}}), (Zone.PUBLIC, {"audit": {}}), (Zone.CAMPUS, {})],
)
async def test_no_head_leaves_the_campus_or_reaches_who_does_not_keep_them(
    tmp_path, audit, monkeypatch, zone, welcome
):
    monkeypatch.setattr(heads, "HEAD_INTERVAL_S", 0.01)
    audit.checkpoint()
    async with bench(tmp_path, audit=audit, zone=zone) as b:
        b.receiver.welcome = welcome
        b.start()
        for _ in range(5):
            b.say()
            await b.delivered()
            await asyncio.sleep(0.02)
        assert b.receiver.heads == []
