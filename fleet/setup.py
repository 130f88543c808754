"""Setting a fleet up, and certificates for what is not a device; on the fleet's own host."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509

from fleet import ceremony, succession
from fleet.ceremony import auditing
from fleet.config import FleetConfig
from fleet.operators import note_on_host
from fleet.registry import credential_row
from fleet.roles import ANY
from fleet.store import Store
from gateway.domain.errors import ConfigError
from gateway.domain.ports import Clock
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pki import Subject, Validity, hierarchy
from security.pki.hierarchy import Cross
from security.slots import Slots

CONFIG = """\
# The fleet service of {domain}; see `wardgate fleet run --help`.
listen = "{listen}"
state = "state"
authority = "authority"

[tls]
cert = "service/cert.pem"
key = "service/key.pem"
trust = "service/ca.pem"

[metrics]
host = "127.0.0.1"
port = {metrics_port}
"""
WEB = """
# Devices enrol and renew here (EST); `url` is how they reach it.
[web]
listen = "{listen}"
url = "{url}"
"""


class Made(NamedTuple):
    """What :func:`init` made."""

    config: Path
    root: Path
    """The root's directory, to be moved off this host."""
    operator: Path


class InitOptions(NamedTuple):
    """What a new fleet is to be."""

    directory: Path
    root_directory: Path
    trust_domain: str
    listen: str
    hosts: tuple[str, ...]
    operator: str
    metrics_port: int = 9465
    web_port: int = 0
    """Where devices enrol, at the address of ``listen``; 0: nowhere."""


def init(options: InitOptions, clock: Clock) -> Made:
    """Make the root, the issuing CA, the service's and a first operator's certificate.

    An issuing CA that `ca issuing` has put in place is taken, and no root made.

    Raises:
        ConfigError: something is there already, or a name can't be one.
    """
    config_path = options.directory / "fleet.toml"
    authority = options.directory / "authority"
    for path in (config_path, options.root_directory / "ca.key"):
        if path.exists():
            raise ConfigError(f"{path} exists; a fleet is never overwritten")
    if not authority.exists():
        _make_authorities(options, clock)
    issuing = hierarchy.load(authority).signing
    if issuing.trust_domain != options.trust_domain:
        raise ConfigError(f"{authority} is of {issuing.trust_domain}, not {options.trust_domain}")
    text = CONFIG.format(
        domain=options.trust_domain, listen=options.listen, metrics_port=options.metrics_port
    )
    config_path.write_text(text + _web(options))
    database = options.directory / "state" / "fleet.db"
    operator = options.directory / f"operator-{options.operator}"
    service = Subject(Role.SERVICE, "fleet", options.hosts)
    issue(issuing, database, service, options.directory / "service", pki.LEAF_DAYS, clock)
    first = Subject(Role.OPERATOR, options.operator)
    issue(issuing, database, first, operator, pki.LEAF_DAYS, clock)
    note_on_host(database, options.operator, ANY, clock)
    return Made(config_path, options.root_directory, operator)


def _web(options: InitOptions) -> str:
    host = options.listen.rpartition(":")[0]
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return ""  # that listener takes literal addresses only
    if not options.web_port:
        return ""
    name = f"[{options.hosts[0]}]" if ":" in options.hosts[0] else options.hosts[0]
    return WEB.format(listen=f"{host}:{options.web_port}", url=f"https://{name}:{options.web_port}")


def _make_authorities(options: InitOptions, clock: Clock) -> None:
    """The root and its first issuing CA, in one ceremony."""
    ceremony.create(options.root_directory, options.trust_domain, pki.ROOT_DAYS, "", clock)
    root = pki.load_authority(options.root_directory)
    authority = options.directory / "authority"
    options.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    csr = succession.request_key(authority, "")
    asked = ceremony.new_request(
        root.certificate, clock, 1, kind="issuing", csr=csr.decode(), reason="fleet init"
    )
    answer = ceremony.sign(options.root_directory, asked, clock)
    certificates = x509.load_pem_x509_certificates(answer.content)
    succession.install(authority, certificates, Cross(), clock)


def issue(  # what a certificate needs
    authority: pki.Authority,
    database: Path,
    subject: Subject,
    directory: Path,
    days: float,
    clock: Clock,
    csr: bytes = b"",
) -> tuple[TlsFiles, int]:
    """A key and a certificate below ``directory``, noted so that it can be revoked.

    With ``csr`` the key is its holder's, and the certificate comes alone.

    Works while the service runs. Returns the files and the serial number.

    Raises:
        ConfigError: the name can't be one, or an identity is there already.
        MalformedError: the request is none.
    """
    if (directory / "key.pem").exists():
        raise ConfigError(f"{directory} holds an identity already")
    now_us = clock.now_us()
    key = None if csr else pki.new_key()
    public_key = key.public_key() if key else pki.read_csr(csr)
    try:
        validity = Validity.days(pki.moment(now_us), days)
        issued = pki.issue(authority, subject, public_key, validity)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store.open(database, clock.now_us)
    try:
        store.add_credential(credential_row(issued, subject.role, subject.id, now_us))
    finally:
        store.close()
    if key is not None and subject.role is not Role.OPERATOR:
        # Who renews by itself needs two slots; people come for theirs.
        files = Slots(directory).create(key, issued.chain_pem, issued.trust_pem)
    else:
        files = pki.write_identity(directory, issued, key)
    return files, issued.serial


def issue_for(
    config: FleetConfig,
    subject: Subject,
    directory: Path,
    days: float,
    clock: Clock,
    csr: bytes = b"",
) -> str:
    """As :func:`issue`, with a configured fleet, and audited; returns the serial number."""
    authority = config.load_site().signing
    with auditing(config.authority, clock) as audit:
        _, number = issue(authority, config.database, subject, directory, days, clock, csr)
        serial = f"{number:X}"
        audit.record("issued", role=subject.role, id=subject.id, serial=serial, days=round(days))
    return serial
