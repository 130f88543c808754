"""``wardgate ca``, from a ceremony with keys on tokens to the first certificates."""

import re

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from typer.testing import CliRunner

from fleet import ca_cli, cli, config
from security import pki
from security.audit import load_or_create_key, verify
from security.names import Role, parse_identity
from security.pki import hierarchy
from security.pki.approvals import FILE_BYTES_MAX
from tests.unit.security.handshakes import openssl

ROOTS, SITE = "hospital.example", "north.hospital.example"

_COMMANDS = typer.Typer()
_COMMANDS.add_typer(ca_cli.app, name="ca")
_COMMANDS.add_typer(cli.app, name="fleet")


def run(*arguments):
    """A command that works; returns what it shows."""
    done = CliRunner().invoke(_COMMANDS, [str(each) for each in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.stderr
    return done.stdout


def fails(*arguments):
    """A command that ends with one line; returns it."""
    done = CliRunner().invoke(_COMMANDS, [str(each) for each in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


class Made:
    def __init__(self, softhsm, directory):
        self.root, self.fleet = directory / "root", directory / "fleet"
        self.authority, self.config = self.fleet / "authority", self.fleet / "fleet.toml"
        self.answer, self.request = directory / "answer.pem", directory / "request.json"
        run("ca", "init", self.root, "--trust-domain", ROOTS, "--key", softhsm.uri("cli-root"))
        self.asked = run(
            *("ca", "request", "issuing", "--authority", self.authority, "--out", self.request),
            *("--root-certificate", self.root / "ca.pem", "--trust-domain", SITE),
            *("--dns", "localhost", "--key", softhsm.uri("cli-issuing", "other")),
        )
        run("ca", "sign", self.request, "--root", self.root, "--out", self.answer)
        self.installed = run("ca", "issuing", self.answer, "--authority", self.authority)
        names = ("--trust-domain", SITE, "--host", "localhost", "--host", "127.0.0.1")
        run("fleet", "init", self.fleet, *names)


@pytest.fixture(scope="module")
def made(softhsm, tmp_path_factory):
    return Made(softhsm, tmp_path_factory.mktemp("ca"))


def test_a_ceremony_with_tokens_leaves_no_key_in_a_file(softhsm, made):
    assert "approvals       0 of 2" in made.asked
    assert f"trust domain    {SITE}" in made.asked
    assert f"names {SITE}, hosts: localhost" in made.installed
    for place, label, token in ((made.root, "root", "ca"), (made.authority, "issuing", "other")):
        assert (place / "ca.key").read_text().strip() == softhsm.uri(f"cli-{label}", token)
    assert not (made.authority / "pending").exists()
    assert not made.fleet.with_name("fleet-root").exists()  # fleet init made no root of its own
    service = made.fleet / "service"
    told = openssl(
        *("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", service / "ca.pem"),
        *("-untrusted", service / "cert.pem", service / "cert.pem"),
    )
    assert told.returncode == 0, told.stderr
    for place in (made.root, made.authority):
        key = load_or_create_key(place / "audit.key").public_key()
        assert verify(place / "audit", key).unsigned == 0


def test_certificates_are_issued_within_the_scope(made, tmp_path):
    key = pki.new_key()
    (tmp_path / "csr.pem").write_bytes(pki.create_csr(key, "whatever"))
    where = ("--config", made.config, "--out", tmp_path / "edge")
    run(
        "ca",
        "issue",
        "gateway",
        "edge-1",
        "--host",
        "localhost",
        "--csr",
        tmp_path / "csr.pem",
        *where,
    )
    leaf, issuer = pki.load_certificates(tmp_path / "edge" / "cert.pem")
    assert leaf.public_key() == key.public_key()
    assert issuer == hierarchy.load(made.authority).present.certificate
    identity = parse_identity(leaf.public_bytes(Encoding.DER), SITE)
    assert (identity.role, identity.id) == (Role.GATEWAY, "edge-1")
    assert not (tmp_path / "edge" / "key.pem").exists()
    other = ("--config", made.config, "--out", tmp_path / "other")
    assert "outside" in fails("ca", "issue", "gateway", "edge-2", "--host", "elsewhere", *other)
    assert "days, by the profile" in fails("ca", "issue", "operator", "o", "--days", 400, *other)
    assert "gateway, service or operator" in fails("ca", "issue", "device", "d", *other)
    issued = (made.authority / "audit" / "audit.log").read_text()
    assert f'"serial":"{leaf.serial_number:X}"' in issued


def test_revocation_lists_are_openssls(made, tmp_path):
    loaded = config.load(made.config)
    place = hierarchy.load(loaded.authority).present
    first, second = (run("ca", "crl", "--config", made.config, "--out", tmp_path) for _ in "12")
    assert f"{place.id}.crl: 0 entries" in first
    assert first == second
    path = tmp_path / f"{place.id}.crl"
    ca = made.authority / "ca.pem"
    told = openssl("crl", "-inform", "DER", "-in", path, "-noout", "-crlnumber", "-CAfile", ca)
    assert "verify OK" in told.stderr
    assert told.stdout.strip().endswith("2")  # each has a greater number


def test_show_tells_requests_certificates_and_trust(made, tmp_path):
    assert run("ca", "show", made.request).startswith("request ")
    assert f"{SITE} issuing" in run("ca", "show", made.answer)
    shown = run("ca", "show", "--config", made.config)
    assert (
        x509.load_pem_x509_certificate(shown.encode())
        == pki.load_certificates(made.root / "ca.pem")[0]
    )
    assert "show what?" in fails("ca", "show")
    (tmp_path / "junk").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    assert "not a PEM certificate" in fails("ca", "show", tmp_path / "junk")


def test_status_and_steps_that_do_not_lead_on(made):
    told = run("ca", "status", "--config", made.config)
    assert "phase           steady" in told
    assert re.search(r"\d+ certificates are good; \d+ holders have no other", told)
    assert "ca request issuing" in fails("ca", "rotate", "--config", made.config)
    assert "not while steady" in fails("ca", "rotate", "--config", made.config, "--back")
    assert "not while steady" in fails("ca", "retire", "--config", made.config)
    assert "used already" in fails(
        "ca", "sign", made.request, "--root", made.root, "--out", made.answer
    )
    assert "holds an authority" in fails("ca", "init", made.root, "--trust-domain", ROOTS)
    assert "trust domain" in fails("ca", "init", made.root / "x", "--trust-domain", "A b")


def test_every_command_explains_itself():
    names = "init officers request approve sign issuing rotate retire status issue crl show"
    told = run("ca", "--help")
    assert all(name in told for name in names.split())
    for name in names.split():
        run("ca", name, "--help")
