"""A gateway's process whose clock is behind what was proved: the good come in, the ended don't."""

import json
import socket
import ssl
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from security import pki
from security.names import Role
from security.pki import Subject, Validity
from tests.integration.supervised import Supervised, Ward, session

AHEAD_S = 3600.0


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    made = Ward(tmp_path_factory.mktemp("ward"))
    made.plan.gateway_state.mkdir(mode=0o700, parents=True, exist_ok=True)
    floor = round((time.time() + AHEAD_S) * 1e6)
    (made.plan.gateway_state / "time-floor").write_text(json.dumps({"floor_us": floor}))
    return made


@pytest.fixture(scope="module")
def gateway(ward, tmp_path_factory):
    running = Supervised(
        ward.plan.gateway_config, tmp_path_factory.mktemp("gateway"), ward.plan.ports.mqtt
    )
    try:
        running.wait_for("READY=1")
        yield running
    finally:
        assert running.end() == 0, running.words()


def metrics(ward):
    url = f"http://127.0.0.1:{ward.plan.ports.gateway_metrics}/metrics"
    with urllib.request.urlopen(url) as answer:
        lines = answer.read().decode().splitlines()
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"
    }


def test_a_device_whose_certificate_is_good_comes_in(ward, gateway):
    with session(ward) as device:
        assert device.connects == 1
    assert metrics(ward)['wardgate_clock_wrong{how="behind"}'] == 1
    assert metrics(ward)['wardgate_clock_wrong{how="ahead"}'] == 0


def test_one_that_ended_before_the_floor_is_refused(ward, gateway, tmp_path):
    """By the wall clock it is good for half an hour."""
    now = datetime.now(UTC)
    files, _ = pki.make_identity(
        pki.load_authority(ward.plan.fleet / "authority"),
        Subject(Role.DEVICE, "pump-old"),
        tmp_path,
        Validity(now - timedelta(days=1), now + timedelta(minutes=30)),
    )
    context = ssl.create_default_context(cafile=str(files.trust))
    context.load_cert_chain(files.cert, files.key)
    with (
        socket.create_connection(("localhost", ward.plan.ports.mqtt), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert not secured.recv(1)
    seen = metrics(ward)
    assert seen['wardgate_refused_total{reason="expired",transport="mqtt"}'] >= 1


def test_it_is_alarmed_audited_and_kept(ward, gateway):
    log = ward.plan.gateway_state / "audit" / "audit.log"
    assert '"refused"' in log.read_text()
    kept = json.loads((ward.plan.gateway_state / "time-floor").read_text())
    assert kept["floor_us"] > time.time() * 1e6
