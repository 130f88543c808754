"""The desk after a fault of its own: begun again, it goes on where it was."""

import asyncio
from typing import Any, cast

import pytest

from fleet.metrics import METRICS
from fleet.radius.config import RadiusTable
from fleet.radius.desk import RadiusDesk
from fleet.store import Store
from gateway.domain.network import Attachment
from gateway.supervisor import Part, Supervisor
from tests.fakes import FakeClock, FakeCounters
from tests.unit.radius.test_sessions import line


class Registry:
    """Runs what it is told to, and knows no device."""

    def listen(self, told: Any) -> None:
        self.told = told

    async def run(self, work: Any) -> Any:
        return work()


@pytest.fixture
def store(tmp_path):
    opened = Store.open(tmp_path / "fleet.db", lambda: 1)
    yield opened
    opened.close()


async def test_a_fault_is_told_and_ends_nothing_for_good(tmp_path, store):
    table = RadiusTable(
        directory=tmp_path / "made",
        certificate=tmp_path / "cert.pem",
        key=tmp_path / "key.pem",
        sessions=tmp_path / "sessions.log",
    )
    counters = FakeCounters(METRICS)
    heard: asyncio.Queue[Attachment] = asyncio.Queue()
    desk = RadiusDesk(
        table, store, cast("Any", Registry()), FakeClock(), counters, cast("Any", None)
    )
    desk.on_attachment = heard.put_nowait
    fails: list[float | None] = []
    again = asyncio.Event()

    async def make():
        if not fails:
            fails.append(counters.gauges.get(("radius_fails",)))
            raise ZeroDivisionError
        fails.append(counters.gauges[("radius_fails",)])
        again.set()
        return True

    cast("Any", desk)._make = make
    table.sessions.write_bytes(b"")
    supervisor = Supervisor()
    supervisor.start(Part("radius", desk.run))
    async with asyncio.timeout(60):
        await again.wait()
        while not desk._sessions.began:  # noqa: ASYNC110  # nobody tells; what was there before is no news
            await asyncio.sleep(0.01)
        with table.sessions.open("ab") as log:
            log.write(line("accepted", device="pump-1", serial="0a"))
        assert (await heard.get()).device_id == "pump-1"
    await supervisor.stop()
    assert fails == [None, 1]
