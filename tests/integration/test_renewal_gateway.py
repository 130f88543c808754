"""A gateway's process renews by a real fleet; a device's session stays."""

import json
import shutil
import socket
import ssl
import subprocess
import sys
import urllib.request

import pytest
from cryptography import x509

from demo.plan import GATEWAY
from fleet import config as fleet_config
from fleet import setup
from gateway.clock import SystemClock
from security import pki
from security.names import Role
from security.pki import Subject
from tests.integration.fleet_process import ANSWERS
from tests.integration.supervised import WAIT_S, Supervised, Ward, session
from tests.integration.test_renewal import left_s

LIFE_S = 30.0
DAY_S = 86_400.0
HOSTS = ("localhost", "127.0.0.1", "::1")


@pytest.fixture
def ward(tmp_path):
    """The gateway's certificate lives for half a minute, and the fleet renews it."""
    made = Ward(tmp_path)
    config = made.plan.fleet / "fleet.toml"
    text = config.read_text()
    assert text.rstrip().splitlines()[-1].startswith("url = "), "[web] comes last"
    limits = "requests_per_identity_per_minute = 600\n[enrolment]\nrenew_expired_days = 1\n"
    config.write_text('announce = "announce.json"\n' + text + limits)
    identity = made.plan.pki / GATEWAY
    shutil.rmtree(identity)
    subject = Subject(Role.GATEWAY, GATEWAY, HOSTS)
    setup.issue_for(fleet_config.load(config), subject, identity, LIFE_S / DAY_S, SystemClock())
    return made


@pytest.fixture
def fleet(ward):
    process = subprocess.Popen(
        [sys.executable, "-m", "fleet", "--config", str(ward.plan.fleet / "fleet.toml")],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = []
    for line in process.stderr:
        told.append(line)
        if ANSWERS in line:
            break
    else:
        raise AssertionError("".join(told))
    yield json.loads((ward.plan.fleet / "announce.json").read_text())["est"]["port"]
    process.terminate()
    process.wait(WAIT_S)
    process.stderr.close()


def shown(ward):
    """The certificate of a new session."""
    context = ssl.create_default_context(cafile=str(ward.device.trust))
    context.load_cert_chain(ward.device.cert, ward.device.key)
    with (
        socket.create_connection(("localhost", ward.plan.ports.mqtt), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        der = secured.getpeercert(binary_form=True)
    assert der
    return x509.load_der_x509_certificate(der)


def renewed(ward):
    url = f"http://127.0.0.1:{ward.plan.ports.gateway_metrics}/metrics"
    with urllib.request.urlopen(url) as answer:
        lines = answer.read().decode().splitlines()
    name = 'wardgate_renewals_total{result="renewed"} '
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def in_force(ward):
    return pki.load_certificates(ward.plan.pki / GATEWAY / "cert.pem")[0]


def test_a_gateway_renews_and_its_sessions_stay(ward, fleet, tmp_path):
    config = ward.plan.gateway_config
    text = config.read_text()
    assert f"https://localhost:{fleet}" in text
    config.write_text(text.replace("[renewal]", "[renewal]\nrest_s = 0.5"))
    gateway = Supervised(config, tmp_path, ward.plan.ports.mqtt)
    try:
        gateway.wait_for("READY=1")
        # What was slow to start may have to renew it at once, and nobody is served before that.
        gateway.until(lambda: left_s(shown(ward)) > LIFE_S / 2, OSError)
        with session(ward) as device:
            before, count = in_force(ward), renewed(ward)
            device.report()
            gateway.until(lambda: renewed(ward) > count, OSError)
            after = shown(ward)
            assert after.serial_number != before.serial_number
            assert after.not_valid_after_utc > before.not_valid_after_utc
            device.report()
            assert (device.connects, device.losses) == (1, 0)
    finally:
        assert gateway.end() == 0, gateway.words()
    audit = (ward.plan.gateway_state / "audit" / "audit.log").read_text()
    assert f"{after.serial_number:X}" in audit
