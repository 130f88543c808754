"""The power goes while a whole gateway works on a mounted disk; more of it: ``make test-power``."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.site import Identities, make_identities
from tests.crash.account import read
from tests.crash.device import HABITS
from tests.crash.disk import Change, Directory, Disk, Edit, File, Order
from tests.crash.power import PowerSite, block
from tests.crash.rounds import account, alive, settle
from tests.crash.site import python, until
from tests.crash.supply import missing

pytestmark = pytest.mark.timeout(600)
ROUNDS = 5


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    if why := asyncio.run(missing(tmp_path_factory.mktemp("probe") / "disk")):
        pytest.skip(why)
    return make_identities(tmp_path_factory.mktemp("pki"), len(HABITS))


async def test_a_power_cut_loses_and_doubles_nothing(
    tmp_path: Path, identities: Identities
) -> None:
    result = await block(tmp_path / "block", identities, ROUNDS, seed=20)
    assert result.problems == []
    assert result.acknowledged == result.messages > 500
    assert result.alarms > 50
    assert result.kills["lost_files"] > 0, "the cuts took nothing"


@pytest.mark.parametrize(
    ("promise", "found"),
    [("", ""), ("no-sync", "acknowledged and lost"), ("no-names", "acknowledged and lost")],
)
async def test_a_gateway_that_does_not_sync_is_found_out(
    tmp_path: Path, identities: Identities, promise: str, found: str
) -> None:
    """While the core is away, the disk alone has what was acknowledged."""
    random = Random(1)
    launcher = python("-m", "tests.crash.broken", promise) if promise else ()
    async with PowerSite(tmp_path / "block", identities, random, launcher) as site:
        (device,) = site.devices([replace(HABITS[0], rate=0)], random)
        async with alive([device]):
            await device.say(device.script.next())
            await site.end("core", signal.SIGKILL)
            for _ in range(20):
                await device.say(device.script.next())
            site.supply.cut(worst=True)
            await site.down()
            await site.up(steady=True)
            await site.start("core")
            await settle(site, [device])
        problems = await account(site, [device])
    assert any(found in problem for problem in problems) if found else not problems, problems


@pytest.mark.parametrize(("promise", "found"), [("", ""), ("no-ledger", "are in no ledger entry")])
async def test_a_ledger_that_is_behind_is_found_out(
    tmp_path: Path, identities: Identities, promise: str, found: str
) -> None:
    random = Random(1)
    launcher = python("-m", "tests.crash.broken", promise) if promise else ()
    async with PowerSite(tmp_path / "block", identities, random, launcher) as site:
        (device,) = site.devices([replace(HABITS[0], rate=0)], random)
        async with alive([device]):
            for _ in range(20):
                await device.say(device.script.next())
            await until(lambda: len(read(site.core_db, "SELECT 1 FROM reports")) >= 20)
            site.supply.cut(worst=True)
            await site.down()
            await site.up(steady=True)
        problems = await site.beyond_ledger()
    assert any(found in problem for problem in problems) if found else not problems, problems


def test_what_was_synced_survives_any_cut() -> None:
    for seed in range(300):
        random = Random(seed)
        disk = Disk(random.choice(list(Order)))
        below = Directory()
        disk.edit(Edit(disk.root, "d", below))
        disk.sync_directory(disk.root)
        synced, loose = File(), File()
        disk.edit(Edit(below, "synced", synced))
        disk.edit(Edit(below, "loose", loose))
        for file in (synced, loose):
            for _ in range(random.randint(1, 5)):
                file.change(Change(random.randint(0, 9000), random.randbytes(3000)))
        file = random.choice((synced, loose))
        file.change(Change(random.randint(0, 9000), None))
        disk.sync_file(synced, data_only=True)
        disk.sync_directory(below)
        expected = bytes(synced.visible)
        disk.cut(random)
        assert disk.find("/d/synced") is synced
        assert disk.find("/d/loose") is loose
        assert synced.visible == synced.durable == expected


@pytest.mark.parametrize("order", list(Order))
def test_a_cut_takes_any_part_of_what_was_not_synced(order: Order) -> None:
    contents, names = set(), set()
    for seed in range(1000):
        disk = Disk(order)
        file = File()
        disk.edit(Edit(disk.root, "file", file))
        disk.sync_directory(disk.root)
        file.change(Change(0, b"a" * 8192))
        file.sync()
        file.change(Change(0, b"b" * 8192))
        file.change(Change(0, b"c" * 4096))
        file.change(Change(8192, b"d" * 4096))
        for name in ("x", "y"):
            disk.edit(Edit(disk.root, name, File()))
        disk.edit(Edit(disk.root, "x", None), Edit(disk.root, "z", File()))
        disk.cut(Random(seed))
        names.add("".join(sorted(disk.root.visible.keys() - {"file"})))
        pages = range(0, len(file.visible), 4096)
        contents.add(bytes(file.visible[at] for at in pages))
    old, new = b"aa", b"cbd"
    assert {old, new, b"ba", b"ca", b"ab", b"bb", b"cb"} <= contents
    assert b"\0" in b"".join(contents), "a size may be durable before the bytes are"
    assert len(contents) <= 3 * 2 * 3
    strict = {"", "x", "y", "xy", "yz"}
    assert names == (strict | {"z"} if order is Order.STRICT else {"", "x", "xy", "yz"})
