"""A fleet service whose issuing key is on a token: it enrols, outlives the token's absence."""

import pytest

from fleet import ceremony, succession
from gateway.clock import SystemClock
from security import pki
from security.pki import hierarchy
from tests.integration.fleet_process import TRUST_DOMAIN, Fleet
from tests.unit.security.handshakes import openssl


class TokenFleet(Fleet):
    """Its authorities are made by the ceremony, with the issuing key on a token."""

    def __init__(self, directory, softhsm):
        clock, root = SystemClock(), directory / "root"
        authority = directory / "fleet" / "authority"
        ceremony.create(root, TRUST_DOMAIN, 3650, "", clock)
        csr = succession.request_key(authority, softhsm.uri("fleet-issuing", "fleet"))
        asked = ceremony.new_request(
            pki.load_certificates(root / "ca.pem")[0], clock, 1, kind="issuing", csr=csr.decode()
        )
        (directory / "answer.pem").write_bytes(ceremony.sign(root, asked, clock).content)
        answer = pki.load_certificates(directory / "answer.pem")
        succession.install(authority, answer, hierarchy.SAME_ROOT, clock)
        super().__init__(directory)


@pytest.fixture
def fleet(tmp_path, softhsm):
    made = TokenFleet(tmp_path, softhsm)
    made.start()
    yield made
    made.close()


def test_devices_are_enrolled_by_a_key_on_a_token(fleet, softhsm, tmp_path):
    def add(name, *options, check=True):
        out = tmp_path / "-".join((name, *options))
        command = ["device", "add", name, *options, "--bundle", str(out)]
        return out, fleet.command(*command, check=check)

    out, _ = add("mon-1")
    told = openssl(
        *("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", out / "ca.pem"),
        *("-untrusted", out / "cert.pem", out / "cert.pem"),
    )
    assert told.returncode == 0, told.stderr
    tokens = softhsm.pin_file.parent / "tokens"
    away = tokens.rename(tokens.with_name("away"))
    try:
        _, refused = add("mon-2", check=False)
        assert refused.returncode == 2
        assert "pkcs11:token=fleet" in refused.stderr
        assert "mon-1" in fleet.command("device", "list").stdout  # it goes on
    finally:
        away.rename(tokens)
    out, _ = add("mon-2", "--renew")  # it is registered, and has no certificate yet
    assert pki.load_certificates(out / "cert.pem")
