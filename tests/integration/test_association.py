"""Whose a value is, end to end: ADT over MLLP and TLS, a device, a person, and the core."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hl7
import pytest
from hl7.mllp import open_hl7_connection

from security import pki
from security.files import TlsFiles
from security.names import Role
from tests.integration.supervised import DEVICE, WAIT_S, Supervised, Ward, session

pytestmark = pytest.mark.timeout(480)
FEED = """
[[drivers.hl7.senders]]
device_id = "adt-1"
application = "HIS"
adt = true
patient_authority = "HOSP"

"""
SELECT = """SELECT patient_id_then, state_then, patient_id, state FROM report_patients
WHERE device_id = ? ORDER BY report"""


def now() -> str:
    return f"{datetime.now(UTC):%Y%m%d%H%M%S.%f}"[:-2] + "+0000"


class Site(Ward):
    """A gateway and a core as processes, an ADT system and a person at the box."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.feed: TlsFiles
        self.feed, _ = pki.make_identity(
            pki.load_authority(self.plan.fleet / "authority"),
            pki.Subject(Role.DEVICE, "adt-1"),
            directory / "adt",
            pki.Validity.days(datetime.now(UTC), 1),
        )
        config = self.plan.gateway_config
        listener = f'"[::1]:{self.plan.ports.mllp}"]\n'
        text = config.read_text()
        assert listener in text
        config.write_text(text.replace(listener, listener + FEED))
        self._lives = directory
        self._messages = 0
        self.core = subprocess.Popen(
            [sys.executable, "-m", "wardgate", "core", "run", "--config", self.plan.core_config],
            stderr=subprocess.DEVNULL,
        )
        self.start()

    def start(self) -> None:
        life = self._lives / f"life-{time.monotonic_ns()}"
        life.mkdir()
        self.gateway = Supervised(self.plan.gateway_config, life, self.plan.ports.mqtt)
        self.gateway.wait_for("READY=1")

    def kill(self) -> None:
        self.gateway.process.kill()
        self.gateway.end()

    def stop(self) -> None:
        self.gateway.end()
        self.core.terminate()
        self.core.wait(WAIT_S)

    def says(self, event: str, patient: str, *segments: str) -> str:
        """An ADT message by another's client; MSA-1 of its answer."""
        self._messages += 1
        text = "\r".join(
            (
                rf"MSH|^~\&|HIS|HOSP|GW||{now()}||ADT^{event}^ADT_A01|m{self._messages}|P|2.5|||AL|NE",
                f"EVN||{now()}",
                f"PID|1||{patient}^^^HOSP^MR||Doe^Jane",
                *segments,
            )
        )

        async def send() -> str:
            context = ssl.create_default_context(cafile=str(self.feed.trust))
            context.load_cert_chain(self.feed.cert, self.feed.key)
            reader, writer = await open_hl7_connection(
                "127.0.0.1", self.plan.ports.mllp, ssl=context
            )
            writer.writemessage(hl7.parse(text))
            await writer.drain()
            answer = await asyncio.wait_for(reader.readmessage(), WAIT_S)
            writer.close()
            return str(answer["MSA"][0][1])

        return asyncio.run(send())

    def person(self, *words: str) -> str:
        """What the command line at the box says."""
        command = [sys.executable, "-m", "wardgate", "association", *words]
        done = subprocess.run(
            [*command, "--config", str(self.plan.gateway_config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT_S,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def whose(self, reports: int, last: tuple[str | None, ...]) -> list[tuple[Any, ...]]:
        """What the core answers, once it knows of so many reports, and this of the last."""
        found: list[tuple[Any, ...]] = []
        deadline = time.monotonic() + WAIT_S
        while len(found) < reports or found[-1] != last:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
            try:
                with closing(sqlite3.connect(self.plan.core_db)) as db:
                    found = db.execute(SELECT, (DEVICE,)).fetchall()
            except sqlite3.OperationalError:
                continue  # the core has not made it yet
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "site")
    yield made
    made.stop()


def test_a_value_finds_its_patient_and_goes_on_to_after_a_mistake(site: Site) -> None:
    bed = "PV1|1|I|icu^3^A" + "|" * 16
    site.person("bind", "--device", DEVICE, "--bed", "icu/3-A")
    assert site.says("A01", "ada", f"{bed}V1") == "CA"
    with session(site) as device:
        device.report()
        ada = ("ada^^^HOSP", "current")
        assert site.whose(1, (*ada, *ada))
        # Somebody else in the same bed: the data goes on, and belongs to nobody.
        assert site.says("A01", "bob", f"{bed}V2") == "CA"
        device.report()
        assert site.whose(2, ("", "quarantined", "", "quarantined"))
    (conflict,) = json.loads(site.person("list", "--conflicts", "--json"))["entries"]
    assert conflict["reason"] == "bed_taken_twice"
    assert conflict["claims"] == ["ada^^^HOSP", "bob^^^HOSP"]
    site.kill()
    site.start()
    assert "bob" in site.person("resolve", conflict["association_id"], "--patient", "bob")
    bob = ("bob^^^HOSP", "current")
    assert site.whose(2, ("", "quarantined", *bob))[0] == (*ada, *ada)
    # Bob was Rob all along.
    assert site.says("A40", "rob", "MRG|bob^^^HOSP^MR") == "CA"
    assert site.whose(2, ("", "quarantined", "rob^^^HOSP", "current"))
    told = site.person("show", "--bed", "icu/3-A")
    assert "merge" in told
    assert "said by local/" in told
    assert not [word for word in ("ada^", "bob^", "rob^", "Doe") if word in site.gateway.log()]
    audited = b"".join(
        path.read_bytes()
        for path in (site.plan.gateway_state / "audit").iterdir()
        if path.is_file()
    )
    assert b"ResolveAssociation" in audited
    assert not [word for word in (b"ada^", b"bob", b"rob^") if word in audited]
