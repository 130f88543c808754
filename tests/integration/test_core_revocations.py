"""A revoked gateway and the core, as real processes: told by the fleet, or by a carried list."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.plan import CORE, GATEWAY
from demo.scrape import scrape, total
from tests.integration.carried import unfit
from tests.integration.fleet_process import Done
from tests.integration.supervised import WAIT_S, Supervised, WithFleet, session

pytestmark = pytest.mark.timeout(600)
POLL_S = 0.05
LONG_S = 120.0
"""A gateway that was refused rests up to half a minute."""


class Site(WithFleet):
    """Fleet, core and gateway, each a process that can be started and ended."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory
        self.kept = self.plan.core_db.with_name("core.db.revocations")
        self._core: subprocess.Popen[bytes] | None = None
        self._gateway: Supervised | None = None

    def start_core(self) -> None:
        with (self.directory / "core.log").open("ab") as log:
            self._core = subprocess.Popen(
                [sys.executable, "-m", "wardgate", "core", "run", "--config", self.core_config],
                stdout=log,
                stderr=log,
            )
        self.until(lambda: self.core("wardgate_core_streams") == 0)

    def stop_core(self) -> None:
        if self._core is not None:
            self._core.terminate()
            assert self._core.wait(WAIT_S) == 0
            self._core = None

    def start_gateway(self) -> None:
        """And wait until it streams both lanes to the core."""
        self._gateway = Supervised(self.plan.gateway_config, self.directory, self.plan.ports.mqtt)
        self._gateway.wait_for("READY=1")
        self.until(self.streams)

    def close(self) -> None:
        if self._gateway is not None:
            self._gateway.end()
        self.stop_core()
        self.stop_fleet()

    @property
    def core_config(self) -> Path:
        return self.plan.core_config

    def core(self, name: str, **labels: str) -> float | None:
        """A metric of the core; None while it does not answer."""
        samples = scrape(f"http://127.0.0.1:{self.plan.ports.core_metrics}/metrics")
        return total(samples, name, **labels) if samples else None

    def streams(self) -> bool:
        """Whether both ends know of the streams, one for each lane."""
        metrics = scrape(f"http://127.0.0.1:{self.plan.ports.gateway_metrics}/metrics")
        connected = total(metrics, "wardgate_connected", destination=CORE)
        return (connected, self.core("wardgate_core_streams")) == (1, 2)

    def out(self) -> bool:
        """Whether the gateway is out, and was refused when it came back."""
        refused = self.core("wardgate_core_refused_total", reason="revoked") or 0
        return self.core("wardgate_core_streams") == 0 and refused >= 2

    def until(self, what: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONG_S
        while not what():
            assert time.monotonic() < deadline, self.words()
            time.sleep(POLL_S)

    def words(self) -> str:
        """What core and gateway said last."""
        gateway = self._gateway.words() if self._gateway else ""
        return (self.directory / "core.log").read_text()[-3000:] + gateway

    def apply(self, path: Path) -> Done:
        return self.wardgate("core", "apply-revocations", path, "--config", self.core_config)

    def revocations(self, name: str) -> Path:
        """The list in force at the fleet, as a file."""
        path = self.directory / name
        self.done("fleet", "revocations", "--out", path)
        return path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def test_the_fleet_revokes_a_gateway_and_the_core_ends_its_streams_for_good(site: Site) -> None:
    site.start_fleet()
    site.start_core()
    site.until(lambda: site.core("wardgate_core_fleet_connected") == 1)
    site.start_gateway()
    older = site.revocations("older.bin")
    site.done("fleet", "revoke", "gateway", GATEWAY, "--reason", "stolen")
    site.until(site.out)
    assert site.core("wardgate_core_revoked_streams_total") == 2
    site.until(site.kept.exists)

    site.stop_core()
    site.stop_fleet()
    site.start_core()  # without the fleet it has what it knew
    site.until(site.out)
    assert site.core("wardgate_core_fleet_connected") == 0
    refused = site.apply(older)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert "is older than" in refused.stderr
    assert site.core("wardgate_core_streams") == 0


def test_a_carried_list_ends_the_streams_of_a_core_that_is_cut_off(site: Site) -> None:
    site.move_fleet()
    site.start_fleet()
    site.start_core()
    site.start_gateway()
    older = site.revocations("older.bin")
    assert "0 entries, is in force from now on" in site.apply(older).stdout
    site.done("fleet", "revoke", "gateway", GATEWAY)
    newer = site.revocations("newer.bin")
    site.stop_fleet()
    assert site.streams()  # nobody has told the core

    refuses_what_is_not_ours(site, newer)
    with session(site) as device:
        device.report()
    site.until(lambda: (site.core("wardgate_core_records_total") or 0) > 0)

    applied = site.apply(newer)
    assert applied.returncode == 0, applied.stderr
    assert "1 entries, is in force from now on" in applied.stdout
    site.until(site.out)
    again = site.apply(newer)
    assert "1 entries, was there already" in again.stdout
    assert site.apply(older).returncode == 2
    site.stop_core()
    site.start_core()
    site.until(site.out)


def refuses_what_is_not_ours(site: Site, newer: Path) -> None:
    """One line and exit code 2, and the list on disk stays."""
    before = site.kept.read_bytes()
    for path, why in unfit(newer, site.directory):
        done = site.apply(path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert why in done.stderr
    assert site.kept.read_bytes() == before
    assert site.streams()
