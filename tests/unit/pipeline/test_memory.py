"""The intake on the real journal: what was acknowledged is a repeat after any restart."""

import asyncio
import os
import stat
import threading
import zlib
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.domain import terms
from gateway.domain.errors import KeyMissingError
from gateway.domain.labels import Lane
from gateway.domain.ports import Outcome, Submission
from gateway.domain.records import Alarm, AlarmPhase, Report
from gateway.journal.committer import Committer
from gateway.journal.config import CommitterConfig
from gateway.pipeline.config import DuplicateRule, Limits, PipelineConfig
from gateway.pipeline.dispatch import Commits
from gateway.pipeline.duplicates import PART_DEVICES
from gateway.pipeline.intake import Intake
from gateway.pipeline.memory import HOLD, MessageIds
from gateway.wire.records import decode
from protos.wardgate.v1 import ingest_pb2 as pb
from tests.fakes import FakeClock, FakeCounters
from tests.unit.journal.helpers import RingSealer, open_journal
from tests.unit.pipeline.support import GOOD, SOURCE, counting_bytes

CONFIG = PipelineConfig(
    limits={"MDC_PRESS_BLD_NONINV_SYS": Limits(low=90, delay_s=0)},
    duplicates=DuplicateRule(window=64),
)


class Gateway:
    """An intake, a committer and a journal, and what devices were told."""

    def __init__(self, path, start: int) -> None:
        self.clock = FakeClock()
        self.journal = open_journal(path / "journal")
        committer = Committer(
            self.journal, asyncio.get_running_loop(), FakeCounters(), CommitterConfig()
        )
        commits: Commits = committer  # the committer is what the intake asks for
        self.committer = committer
        self.intake = Intake(CONFIG, commits, self.clock, FakeCounters(), counting_bytes(start))
        self.ids = MessageIds(path / "ids", self.intake.duplicates, self.journal, RingSealer())
        self.intake.restore(self.journal.state)
        self.replayed = self.ids.load()

    async def send(self, *records) -> Outcome:
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.intake.submit(Submission(records, told.set_result))
        return await told

    def vitals(self, n, values=None, device_id="monitor-1"):
        values = values or GOOD
        now = self.clock.now_us()
        codes, numbers = tuple(values), tuple(values.values())
        return Report(device_id, "vitals", SOURCE, now, codes, numbers, message_id=f"5f:{n}")

    def stored(self, lane):
        records, after = [], 0
        while groups := self.journal.read(lane, after, 1000, 1 << 20):
            after = groups[-1].last_seq
            for group in groups:
                for section in group.sections:
                    message = pb.Section.FromString(section.body)
                    records += [decode(r.SerializeToString()) for r in message.records]
        return records

    def message_ids(self):
        return [r.message_id for r in self.stored(Lane.TELEMETRY) if isinstance(r, Report)]


@pytest.fixture
def start(tmp_path):
    starts = iter(range(0, 10**9, 10**6))

    @asynccontextmanager
    async def begin():
        gateway = Gateway(tmp_path, next(starts))
        await gateway.committer.start()
        yield gateway
        await gateway.committer.stop()
        gateway.journal.close()

    return begin


@pytest.mark.parametrize("checkpoints", [(), (2,), (5,), (2, 5)])
async def test_what_was_acknowledged_is_a_repeat_after_a_restart(start, checkpoints):
    async with start() as gateway:
        for n in range(6):
            assert await gateway.send(gateway.vitals(n)) is Outcome.COMMITTED
            if n in checkpoints:
                await gateway.ids.checkpoint(gateway.intake)
    async with start() as gateway:
        assert gateway.replayed == 5 - max(checkpoints, default=-1)
        for n in range(8):
            assert await gateway.send(gateway.vitals(n)) is Outcome.COMMITTED
        assert gateway.message_ids() == [f"5f:{n}" for n in range(8)]


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "empty"])
async def test_without_a_checkpoint_the_journal_is_enough(start, tmp_path, damage, caplog):
    async with start() as gateway:
        for n in range(4):
            await gateway.send(gateway.vitals(n))
        await gateway.ids.checkpoint(gateway.intake)
    file = tmp_path / "ids"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes({"cut": data[:-9], "flipped": data, "empty": b""}[damage])
    async with start() as gateway:
        assert gateway.replayed == 4
        await gateway.send(gateway.vitals(2))
        assert gateway.message_ids() == [f"5f:{n}" for n in range(4)]
    assert ("damaged" in caplog.text) == (damage != "gone")


async def test_a_checkpoint_covers_what_was_committed_while_it_was_made(start):
    async with start() as gateway:
        told = [asyncio.ensure_future(gateway.send(gateway.vitals(n))) for n in range(20)]
        await asyncio.sleep(0)
        await gateway.ids.checkpoint(gateway.intake)
        told += [asyncio.ensure_future(gateway.send(gateway.vitals(n))) for n in range(20, 40)]
        await gateway.ids.checkpoint(gateway.intake)
        assert set(await asyncio.gather(*told)) == {Outcome.COMMITTED}
    async with start() as gateway:
        for n in range(40):
            await gateway.send(gateway.vitals(n))
        assert gateway.message_ids() == [f"5f:{n}" for n in range(40)]


async def test_many_devices_make_many_parts(start):
    count = 2 * PART_DEVICES + 1
    async with start() as gateway:
        reports = [gateway.vitals(1, device_id=f"monitor-{n}") for n in range(count)]
        await gateway.send(*reports)
        assert len(list(gateway.intake.duplicates.parts())) == 3
        await gateway.ids.checkpoint(gateway.intake)
    async with start() as gateway:
        assert gateway.replayed == 0
        await gateway.send(*reports)
        assert len(gateway.message_ids()) == count


async def test_the_journal_keeps_what_is_behind_the_checkpoint(start):
    async with start() as gateway:
        assert gateway.journal.held(HOLD, Lane.TELEMETRY) == 0
        for n in range(3):
            await gateway.send(gateway.vitals(n))
        await gateway.ids.checkpoint(gateway.intake)
        assert gateway.journal.held(HOLD, Lane.TELEMETRY) == 3
    async with start() as gateway:
        assert gateway.journal.held(HOLD, Lane.TELEMETRY) == 3


async def test_alarms_go_on_across_a_restart_of_the_journal(start):
    async with start() as gateway:
        await gateway.send(gateway.vitals(1, {terms.NIBP_SYS: 60.0}))
    async with start() as gateway:
        await gateway.send(gateway.vitals(2, {terms.NIBP_SYS: 61.0}))
        await gateway.send(gateway.vitals(3, {terms.NIBP_SYS: 120.0}))
        alarms = [record for record in gateway.stored(Lane.ALARMS) if isinstance(record, Alarm)]
    assert [alarm.phase for alarm in alarms] == [AlarmPhase.START, AlarmPhase.END]
    assert len({alarm.alarm_id for alarm in alarms}) == 1


async def test_a_disk_that_fails_is_tried_again(start, monkeypatch, caplog):
    async with start() as gateway:
        wrote = asyncio.Event()
        write, failures = gateway.ids.write, iter([OSError(28, "No space left on device")])

        def failing(parts, seq):
            for failure in failures:
                raise failure
            write(parts, seq)
            gateway.committer._loop.call_soon_threadsafe(wrote.set)

        monkeypatch.setattr(gateway.ids, "write", failing)
        task = asyncio.create_task(gateway.ids.run(gateway.intake, interval_s=0.001))
        await asyncio.wait_for(wrote.wait(), 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "No space left" in caplog.text


async def test_the_last_checkpoint_may_meet_one_that_is_still_written(start, monkeypatch):
    """A stop cancels the task, not its thread; the newest windows must stay on the disk whole."""
    under_way, go_on = threading.Event(), threading.Event()
    fsync, slow = os.fsync, iter([None])

    def fsync_once_slowly(fd):
        if Path(f"/proc/self/fd/{fd}").readlink().name.startswith("ids"):  # not the journal's
            for _ in slow:
                under_way.set()
                go_on.wait(60)
        fsync(fd)

    async with start() as gateway:
        await gateway.send(*[gateway.vitals(1, device_id=f"m-{n}") for n in range(50)])
        monkeypatch.setattr(os, "fsync", fsync_once_slowly)
        task = asyncio.create_task(gateway.ids.run(gateway.intake, interval_s=0.001))
        assert await asyncio.to_thread(under_way.wait, 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await gateway.send(gateway.vitals(2))
        last = asyncio.create_task(gateway.ids.checkpoint(gateway.intake))
        done, _ = await asyncio.wait({last}, timeout=0.2)
        assert not done, "the last one must wait for the thread"
        go_on.set()
        await last
        assert gateway.journal.held(HOLD, Lane.TELEMETRY) == 51
    async with start() as gateway:
        assert gateway.replayed == 0
        assert await gateway.send(gateway.vitals(2)) is Outcome.COMMITTED
        assert len(gateway.message_ids()) == 51


async def test_an_older_checkpoint_does_not_replace_a_newer_one(start):
    async with start() as gateway:
        await gateway.send(gateway.vitals(1))
        early = list(gateway.intake.duplicates.parts())
        await gateway.send(gateway.vitals(2))
        await gateway.ids.checkpoint(gateway.intake)
        gateway.ids.write(early, 1)
        assert gateway.journal.held(HOLD, Lane.TELEMETRY) == 2
    async with start() as gateway:
        assert gateway.replayed == 0


async def test_the_checkpoint_shows_no_device_and_needs_its_key(start, tmp_path, monkeypatch):
    async with start() as gateway:
        await gateway.send(gateway.vitals(1, device_id="monitor-7"))
        await gateway.ids.checkpoint(gateway.intake)
    assert b"monitor" not in (tmp_path / "ids").read_bytes()
    assert stat.S_IMODE((tmp_path / "ids").stat().st_mode) == 0o600
    async with start() as gateway:
        gateway.ids._sealer = RingSealer(k2=bytes(32))
        with pytest.raises(KeyMissingError):
            gateway.ids.load()


async def test_a_checkpoint_of_the_first_release_is_converted(start, tmp_path):
    async with start() as gateway:
        for n in range(3):
            await gateway.send(gateway.vitals(n, device_id="monitor-7"))
        seq = (3).to_bytes(8, "little")
        body = gateway.intake.duplicates.checkpoint(gateway.intake.duplicates.parts())
        crc = zlib.crc32(body, zlib.crc32(seq)).to_bytes(4, "little")
        (tmp_path / "ids").write_bytes(b"WGm1" + crc + seq + body)
    for _ in range(2):
        async with start() as gateway:
            assert gateway.replayed == 0
            assert b"monitor" not in (tmp_path / "ids").read_bytes()
            await gateway.send(gateway.vitals(2, device_id="monitor-7"))
            assert gateway.message_ids() == [f"5f:{n}" for n in range(3)]
