"""A gateway that no fleet reaches takes a list of revocations that was carried to it."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from security.files import TlsFiles
from tests.integration.carried import unfit
from tests.integration.fleet_process import Done
from tests.integration.supervised import WAIT_S, Supervised, WithFleet, session

pytestmark = pytest.mark.timeout(480)
STOLEN, GOOD = "icu-monitor-88", "icu-monitor-89"


class CutOff(WithFleet):
    """The fleet answers operators at a port that the gateway does not know."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.move_fleet()
        self.start_fleet()

    def apply(self, path: Path) -> Done:
        config = self.plan.gateway_config
        return self.wardgate("gateway", "apply-revocations", path, "--config", config)

    def audited(self, event: str) -> list[dict[str, object]]:
        log = self.plan.gateway_state / "audit" / "audit.log"
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        return [each for each in entries if each["event"] == event]


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[CutOff]:
    made = CutOff(tmp_path)
    yield made
    made.stop_fleet()


def test_a_carried_list_ends_sessions_and_lasts(ward: CutOff, tmp_path: Path) -> None:
    files = {}
    for name in (STOLEN, GOOD):
        ward.done("device", "add", name, "--bundle", tmp_path / name)
        files[name] = TlsFiles.within(tmp_path / name)
    older, newer = tmp_path / "older.bin", tmp_path / "newer.bin"
    assert "0 entries" in ward.done("fleet", "revocations", "--out", older)
    ward.done("device", "revoke", STOLEN, "--reason", "stolen")
    told = json.loads(ward.done("fleet", "revocations", "--out", newer, "--json"))
    assert told["entries"] == 1
    ward.stop_fleet()
    port = ward.plan.ports.mqtt

    running = tmp_path / "first"
    running.mkdir()
    gateway = Supervised(ward.plan.gateway_config, running, port)
    try:
        gateway.wait_for("READY=1")
        with session(ward, port, STOLEN, files[STOLEN]) as stolen:
            with session(ward, port, GOOD, files[GOOD]) as good:
                stolen.report()
                good.report()
                first = ward.apply(older)
                assert "the running gateway is told" in first.stdout, first.stderr
                stolen.report()
                audited = len(ward.audited("refused"))
                applied = ward.apply(newer)
                assert applied.returncode == 0, applied.stderr
                expected = f"list {told['number']}, 1 entries, is in force; the running gateway"
                assert applied.stdout.startswith(expected)
                assert stolen.lost.wait(WAIT_S), gateway.words()
                good.report()
                assert good.losses == 0
            refused_for_good(ward, gateway, files[STOLEN], audited)
        before = (ward.plan.gateway_state / "revocations.bin").read_bytes()
        assert before == newer.read_bytes()
        refuses_what_is_not_newer(ward, older, newer, tmp_path)
        again = ward.apply(newer)
        assert again.returncode == 0
        assert "is in force already; the running gateway is told" in again.stdout
    finally:
        assert gateway.end() == 0, gateway.words()
    assert "no gateway runs here" in ward.apply(newer).stdout

    running = tmp_path / "second"
    running.mkdir()
    audited = len(ward.audited("refused"))
    gateway = Supervised(ward.plan.gateway_config, running, port)
    try:
        gateway.wait_for("READY=1")
        refused_for_good(ward, gateway, files[STOLEN], audited)
        with session(ward, port, GOOD, files[GOOD]) as good:
            good.report()
    finally:
        assert gateway.end() == 0, gateway.words()


def refused_for_good(ward: CutOff, gateway: Supervised, files: TlsFiles, audited: int) -> None:
    """A connection with a revoked certificate ends before a word of MQTT, and is audited.

    The device's own client may have come again before, and a refusal that is repeated is counted.
    """
    context = ssl.create_default_context(cafile=str(files.trust))
    context.load_cert_chain(files.cert, files.key)
    with socket.create_connection(("127.0.0.1", gateway.port), WAIT_S) as raw:
        try:
            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                assert tls.recv(1) == b""
        except (ssl.SSLError, ConnectionError):
            pass  # refused more rudely
    deadline = time.monotonic() + WAIT_S
    while ("revoked", STOLEN) not in {
        (each["reason"], each.get("device")) for each in ward.audited("refused")[audited:]
    }:
        assert time.monotonic() < deadline, ward.audited("refused")
        time.sleep(0.05)


def refuses_what_is_not_newer(ward: CutOff, older: Path, newer: Path, scratch: Path) -> None:
    """One line and exit code 2, and the list on disk stays."""
    kept = (ward.plan.gateway_state / "revocations.bin").read_bytes()
    for path, why in ((older, "is older than"), *unfit(newer, scratch)):
        done = ward.apply(path)
        assert done.returncode == 2, path
        assert done.stderr.startswith("wardgate: "), path
        assert done.stderr.count("\n") == 1, path
        assert why in done.stderr
    assert (ward.plan.gateway_state / "revocations.bin").read_bytes() == kept
