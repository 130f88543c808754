"""A core whose identity was handed over, as the ansible role does, renews it by a real fleet."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

from cryptography import x509

from demo.plan import CORE, GATEWAY
from fleet import config as fleet_config
from fleet import setup
from gateway.clock import SystemClock
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pki import Subject
from security.tls.material import NO_CHECK_TIME
from tests.integration.test_core_revocations import Site

LIFE_S = 30.0
DAY_S = 86_400.0


def install(handed: TlsFiles, place: Path) -> str:
    """`cat cert.pem key.pem ca.pem | wardgate identity install PLACE`."""
    done = subprocess.run(
        [sys.executable, "-m", "wardgate", "identity", "install", place],
        input=b"".join(each.read_bytes() for each in handed),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode()


def shown(site: Site, port: int) -> int:
    """The serial number of the certificate that a new connection is shown."""
    files = TlsFiles.within(site.plan.pki / GATEWAY)
    context = ssl.create_default_context(cafile=str(files.trust))
    context.load_cert_chain(files.cert, files.key)
    context.set_alpn_protocols(["h2"])
    # It may have ended while everything was slow to start; then the next one is not far.
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    with (
        socket.create_connection(("localhost", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        der = secured.getpeercert(binary_form=True)
    assert der
    return x509.load_der_x509_certificate(der).serial_number


def test_a_core_renews_what_was_handed_over_and_keeps_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    text = site.plan.fleet_config.read_text()
    limits = "requests_per_identity_per_minute = 600\n[enrolment]\nrenew_expired_days = 1\n"
    site.plan.fleet_config.write_text(text + limits)
    place, handed = site.plan.pki / CORE, tmp_path / "handed"
    shutil.rmtree(place)
    subject = Subject(Role.SERVICE, CORE, ("localhost", "127.0.0.1"))
    config = fleet_config.load(site.plan.fleet_config)
    setup.issue_for(config, subject, handed, LIFE_S / DAY_S, SystemClock())
    first = pki.load_certificates(handed / "cert.pem")[0].serial_number
    assert install(TlsFiles.within(handed), place).startswith("installed: service core")
    core = site.core_config.read_text()
    site.core_config.write_text(core.replace("[renewal]", "[renewal]\nrest_s = 0.5"))
    try:
        site.start_fleet()
        site.start_core()
        site.until(lambda: (site.core("wardgate_core_renewals_total", result="renewed") or 0) > 0)
        assert shown(site, site.plan.ports.core) != first
        assert install(TlsFiles.within(handed), place).startswith("kept")
        site.stop_core()
        site.start_core()
        assert shown(site, site.plan.ports.core) != first
        site.until(lambda: site.core("wardgate_core_fleet_connected") == 1)
    finally:
        site.close()
