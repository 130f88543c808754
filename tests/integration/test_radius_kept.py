"""What secondary authentication must not lose: who is in, and the EAP server's certificate."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from bench.eap import attach, context_of
from fleet import config as fleet_config
from fleet import setup
from gateway.clock import SystemClock
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pki import Subject
from security.tls.material import NO_CHECK_TIME
from tests.integration.test_attach_storm import OTHER_SIM, said
from tests.integration.test_secondary_authentication import SECRET, SIM, Peer, Site, end

pytestmark = [
    pytest.mark.skipif(not shutil.which("freeradius"), reason="needs freeradius (make system)"),
    pytest.mark.timeout(480),
]
LIFE_S, PAST_S = 100.0, 52.0
"""Renewed after five to fifteen seconds, and then not soon again: FreeRADIUS starts anew by it."""


class Earlier(SystemClock):
    """A clock of some time ago."""

    def now_us(self) -> int:
        return super().now_us() - round(PAST_S * 1e6)


RESTART = """
pid=$(cat "{folder}/radiusd.pid")
kill "$pid"
for _ in $(seq 50); do kill -0 "$pid" || exit 0; sleep 0.1; done
kill -KILL "$pid"
"""
"""As systemd does, see ``end``."""
SUPERVISED = """
trap 'kill -KILL $!; exit' TERM
while :; do freeradius -f -d "{conf}" & echo $! > "{pid}"; wait; done
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("kept")
    restart = folder / "restart.sh"
    restart.write_text(RESTART.format(folder=folder))
    made = Site(folder, restart=f"sh {restart}")
    yield made
    made.close()


def attached(site: Site, number: int, sim: str = SIM) -> bool:
    done = attach(site.port, SECRET.encode(), context_of(site.good), said(number, sim))
    return bool(asyncio.run(done).accepted)


def kept(site: Site) -> set[str]:
    """The sessions in the fleet's store."""
    path = site.fleet.directory / "state" / "fleet.db"
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return {each for (each,) in db.execute("SELECT session_id FROM radius_sessions")}
    finally:
        db.close()


def test_sessions_outlive_the_fleet_and_their_log(site: Site) -> None:
    assert attached(site, 1)
    site.until(lambda: "STORM-1" in kept(site))
    site.fleet.stop(signal.SIGKILL)
    site.sessions.rename(site.sessions.with_name("sessions.log.2.gz"))
    assert attached(site, 2)
    assert not attached(site, 3, OTHER_SIM)
    site.fleet.start()
    site.fleet.command("device", "revoke", "pump-1", "--reason", "stolen")
    both = {b"STORM-1", b"STORM-2"}
    assert site.smf.take_until(both, 41) == both

    def over() -> bool:
        site.smf.take_again(41)
        return kept(site).isdisjoint(("STORM-1", "STORM-2"))

    site.until(over)
    audit = (site.fleet.directory / "state" / "audit" / "audit.log").read_text
    site.until(lambda: "wrong_sim" in audit())  # said while nobody listened
    assert audit().count("wrong_sim") == 1


def test_the_eap_servers_certificate_is_renewed_and_taken_up(site: Site) -> None:
    identity = site.fleet.directory / "service-radius"
    past = {serial(identity / "cert.pem")}
    site.fleet.stop()
    end(site.radiusd)
    script = SUPERVISED.format(conf=site.in_force / "current", pid=site.folder / "radiusd.pid")
    site.run("radiusd", "sh", "-c", script)
    shutil.rmtree(identity)
    config = fleet_config.load(site.fleet.config)
    subject = Subject(Role.SERVICE, "radius", ("localhost",))
    setup.issue_for(config, subject, identity, LIFE_S / 86_400, Earlier())
    past.add(serial(identity / "cert.pem"))
    site.fleet.start()
    new = site.add("pump-7", "001010000000007")
    site.until(lambda: shown(site, new) not in past)
    url = f"http://127.0.0.1:{site.fleet.metrics_port}/metrics"
    metrics = urllib.request.urlopen(url, timeout=60).read().decode()
    assert 'wardgate_fleet_certificate_seconds_left{use="radius"}' in metrics


def shown(site: Site, files: TlsFiles) -> int:
    """Which certificate the EAP server shows a device that trusts it."""
    context = context_of(files)
    # Its life is short, and on a machine that is slow to put it in force it has ended by then.
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    done = attach(site.port, SECRET.encode(), context, said(7, "001010000000007"))
    found = asyncio.run(done)
    if not found.server:
        raise OSError("nobody answers")
    return x509.load_der_x509_certificate(found.server).serial_number


def serial(path: Path) -> int:
    return pki.load_certificates(path)[0].serial_number


def test_a_change_right_after_freeradius_has_started_counts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    site = Site(tmp_path_factory.mktemp("fresh"))
    try:
        site.fleet.command("device", "update", "pump-1", "--tac", "000003")
        site.until(lambda: site.attach(Peer(site.good), tac="000003"))
    finally:
        site.close()
