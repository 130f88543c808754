"""Keys at rest while the ward talks: the hospital's key rotated, a scope erased, under load."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from bench.site import Identities, make_identities
from gateway.domain.errors import KeyErasedError
from gateway.domain.labels import Lane
from gateway.journal.files import OsFiles
from gateway.journal.frame import Frame
from gateway.journal.segment import HEADER_BYTES, SegmentReader, segment_number
from gateway.journal.types import lane_scope
from gateway.keykeeper import SCOPES
from gateway.sealed import key_file
from security.scopes import ScopeKeys
from security.sealing import KeyRing
from tests.crash.account import at_core, contiguous, read
from tests.crash.device import HABITS
from tests.crash.rounds import alive, evened, settle
from tests.crash.site import CrashSite, until

pytestmark = pytest.mark.timeout(600)
ROTATIONS = 6


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Identities:
    return make_identities(tmp_path_factory.mktemp("pki"), 2)


async def wardgate(*arguments: str | Path) -> tuple[int, str]:
    """Run a command as a person does: exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "wardgate",
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


def hang_up(site: CrashSite) -> None:
    os.kill(site.processes["gateway"].pid, signal.SIGHUP)


async def test_the_hospitals_key_is_rotated_under_load_and_kills(
    tmp_path: Path, identities: Identities
) -> None:
    random = Random(7)
    async with CrashSite(tmp_path / "site", identities) as site:
        ring, state = site.state / "seal.keys", site.state / "gateway"
        devices = site.devices([replace(habit, rate=200.0) for habit in HABITS[:2]], random)
        async with alive(devices):
            for rotation in range(ROTATIONS):
                had = sum(len(device.diary.acknowledged) for device in devices)
                await until(
                    lambda: sum(len(device.diary.acknowledged) for device in devices) > had + 50  # noqa: B023
                )
                made = KeyRing.load(ring).rotated()
                made.save(ring)
                hang_up(site)
                if rotation % 2:
                    await asyncio.sleep(random.random() / 20)
                    await site.end("gateway", signal.SIGKILL)
                    await site.start("gateway")
                await until(lambda: key_file(state).hospital_key == made.active)  # noqa: B023
                code, said = await wardgate(
                    "gateway", "keys", "drop", ring, str(made.active - 1), "--state", state
                )
                assert code == 0, said
                code, said = await wardgate(
                    "gateway", "keys", "drop", ring, str(made.active), "--state", state
                )
                assert code == 2
                assert "SIGHUP the gateway first" in said
            await site.end("gateway", signal.SIGTERM)
            await site.start("gateway")
            await settle(site, devices)
        assert await evened(lambda: at_core(site.core_db, devices)) == []
        assert len(devices[0].diary.acknowledged) > 100


def frames(directory: Path, lane: Lane) -> Iterator[Frame]:
    for path in sorted((directory / "journal" / lane.name.lower()).iterdir()):
        if segment_number(path.name) is not None:
            with SegmentReader(OsFiles(), str(path)) as reader:
                found = reader.scan(HEADER_BYTES, reader.size())
                yield from (item for item in found if isinstance(item, Frame))


def audited(state: Path) -> list[dict[str, object]]:
    lines = (state / "audit" / "audit.log").read_text().splitlines()
    entries: list[dict[str, object]] = [json.loads(line) for line in lines]
    return [each for each in entries if each["event"] == "erasure"]


async def test_a_scope_is_erased_while_the_gateway_runs(
    tmp_path: Path, identities: Identities
) -> None:
    async with CrashSite(tmp_path / "site", identities) as site:
        state = site.state / "gateway"
        devices = site.devices([replace(habit, rate=100.0) for habit in HABITS[:2]], Random(3))

        def acknowledged() -> int:
            return sum(len(device.diary.acknowledged) for device in devices)

        erase = ("gateway", "erase", "journal.telemetry", "--state", state)
        async with alive(devices):
            await until(lambda: acknowledged() > 100)
            await site.end("core", signal.SIGTERM)
            had = acknowledged()
            await until(lambda: acknowledged() > had + 100)

            code, said = await wardgate(*erase)
            assert code == 0
            assert "nothing was erased" in said
            assert "core lacks" in said
            code, said = await wardgate(*erase, "--yes", "--reason", "a request")
            assert code == 2
            assert "core lacks" in said

            shutil.copytree(state / "journal", tmp_path / "copy" / "journal")
            before = key_file(state)
            code, said = await wardgate(*erase, "--yes", "--force", "--reason", "a request")
            assert code == 0, said
            assert "told as a Gap" in said
            had = acknowledged()
            await until(lambda: acknowledged() > had + 50)
            await site.start("core")
            await settle(site, devices)

        results = [entry["result"] for entry in audited(state)]
        assert results == ["refused", "begun", "done"]
        assert audited(state)[-1]["reason"] == "a request"

        # Coverage has no hole; what is lost is lost because it was erased, and of telemetry alone.
        lost = [("erased", audited(state)[-1]["records"])]

        def account() -> list[str]:
            told = read(
                site.core_db,
                "SELECT DISTINCT lane, reason FROM coverage WHERE state != 'received'",
            )
            gaps = read(
                site.core_db,
                "SELECT reason, sum(reports) FROM gaps WHERE source = 'gateway' GROUP BY 1",
            )
            problems = [problem for problem in contiguous(site.core_db) if "comes" in problem]
            if told != [("telemetry", "erased")] or gaps != lost:
                problems.append(f"told: {told}, gaps: {gaps}, and not {lost}")
            return problems

        assert await evened(account) == []

        await site.end("gateway", signal.SIGTERM)
        # No key of today opens what was erased, not in a copy of before either; alarms open.
        keys = ScopeKeys(state / "keys", KeyRing.load(site.state / "seal.keys"), SCOPES, lambda: 0)
        log_id = bytes(read(state / "journal/state.sqlite", "SELECT log_id FROM journal")[0][0])  # type: ignore[call-overload]
        gone = {before.key_id(k.number) for k in before.keys if k.scope == "journal.telemetry"}
        seen = dict.fromkeys(Lane, 0)
        for lane in Lane:
            for frame in frames(tmp_path / "copy", lane):
                header, opener = frame.header, keys.of(lane_scope(lane))
                seen[lane] += 1
                assert (lane is Lane.TELEMETRY) == (header.key_id in gone)
                if header.key_id in gone:
                    with pytest.raises(KeyErasedError):
                        opener.open(header.key_id, frame.sealed, header.stamp.aad(log_id))
                else:
                    opener.open(header.key_id, frame.sealed, header.stamp.aad(log_id))
        assert seen[Lane.ALARMS]
        assert seen[Lane.TELEMETRY]
