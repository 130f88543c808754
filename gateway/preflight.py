"""Looks before the leap: what ``gateway check``, ``gateway addresses`` and ``doctor`` find out.

Nothing here changes anything: no file is written, no listener opened.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

from gateway import plugins, tomlfile
from gateway.clock import SystemClock
from gateway.config import GatewayConfig, load
from gateway.domain.errors import ConfigError, WardgateError
from gateway.pipeline.config import check_metrics
from security import policy
from security.names import Role, parse_identity
from security.sealing import KeyRing
from security.tls import TlsContexts

DAYS_LEFT_MIN = 14
REACH_TIMEOUT_S = 3.0
SECONDS_PER_DAY = 86400
RESOLVER = Path("/etc/resolv.conf")


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    well: bool
    detail: str


def check(path: Path) -> list[Finding]:
    """Everything that must be right for a start.

    Raises:
        ConfigError, PolicyError: it isn't; the message says what to mend.
    """
    config = load(path)
    base = path.resolve().parent
    findings = [Finding("gateway", True, config.gateway.name)]
    contexts = TlsContexts(config.tls.files, SystemClock())
    require_own_certificate(config)
    days = contexts.certificate_seconds_left() / SECONDS_PER_DAY
    findings.append(Finding("certificate", days > 0, f"{days:.0f} days left"))
    ring = KeyRing.load(config.gateway.seal_keys)
    findings.append(Finding("sealing key", True, f"key {ring.active} seals"))
    for name, factory, _ in plugins.check(config.drivers, base, str(path)):
        findings.append(Finding(f"driver {name}", True, factory.name))
    check_metrics(config.pipeline)
    table = compiled_policy(config)
    findings.append(Finding("policy", True, f"version {table.version}"))
    findings += [
        Finding(f"destination {each.name}", True, f"{each.address}, zone {each.zone}")
        for each in config.destinations
    ]
    if config.fleet is not None:
        findings.append(Finding("fleet", True, config.fleet.address))
    return findings


def examine(path: Path) -> list[Finding]:
    """The check, and what a doctor asks: disk, days left, clock, who answers."""
    try:
        findings = check(path)
        config = load(path)
    except WardgateError as error:
        return [Finding("configuration", False, str(error))]
    days = TlsContexts(config.tls.files, SystemClock()).certificate_seconds_left() / SECONDS_PER_DAY
    findings.append(
        Finding("renewal", days > DAYS_LEFT_MIN, f"certificate ends in {days:.0f} days")
    )
    findings.append(_disk(config))
    findings.append(_clock())
    findings += [
        _reach(f"reach {each.name}", each.address, each.server_name, config)
        for each in config.destinations
    ]
    if config.fleet is not None:
        fleet = config.fleet
        findings.append(_reach("reach fleet", fleet.address, fleet.server_name, config))
    return findings


def require_own_certificate(config: GatewayConfig) -> None:
    """Refuse a certificate that names somebody else.

    Raises:
        ConfigError: it does, or can't be read.
        RefusedError: it names nobody of the trust domain.
    """
    try:
        leaf = ssl.PEM_cert_to_DER_cert(_first_pem(config.tls.cert))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{config.tls.cert}: can't read the certificate: {error}") from error
    identity = parse_identity(leaf, config.identity.trust_domain)
    if (identity.role, identity.id) != (Role.GATEWAY, config.gateway.name):
        raise ConfigError(
            f"{config.tls.cert} is the certificate of {identity.role} {identity.id}, "
            f"not of gateway {config.gateway.name}"
        )


def compiled_policy(config: GatewayConfig) -> policy.PolicyTable:
    """The policy for the configured destinations.

    Raises:
        ConfigError: the file can't be read.
        PolicyError: it is refused.
    """
    try:
        text = config.policy.file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{config.policy.file}: can't read the policy: {error}") from error
    return policy.compile_policy(text, [each.info for each in config.destinations])


def address_limits(path: Path, resolver: Path = RESOLVER) -> str:
    """A systemd drop-in: the gateway's cgroup reaches loopback and what the configuration names.

    That is the ward's networks (devices, brokers, serial servers, whoever scrapes metrics),
    destinations, fleet, and this host's name servers. Names are resolved now; a destination whose
    address moves needs a new drop-in.

    Raises:
        ConfigError: a name can't be resolved, or a network is none.
    """
    config = load(path)
    allowed = {"127.0.0.0/8", "::1/128", *_nameservers(resolver)}
    for network in config.gateway.ward_networks:
        try:
            allowed.add(str(ipaddress.ip_network(network)))
        except ValueError as error:
            raise ConfigError(f"{path}: gateway.ward_networks: {error}") from error
    targets = [each.address for each in config.destinations]
    if config.fleet is not None:
        targets.append(config.fleet.address)
    for target in targets:
        allowed.update(_addresses_of(target))
    lines = [f"IPAddressAllow={each}" for each in sorted(allowed)]
    return "\n".join(["[Service]", "IPAddressDeny=any", *lines])


def show(findings: list[Finding], *, as_json: bool) -> None:
    """Print findings as a table or as JSON."""
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings], indent=1))
        return
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark = "ok  " if finding.well else "FAIL"
        typer.echo(f"{mark}  {finding.what:{width}}  {finding.detail}")


def _first_pem(path: Path) -> str:
    text = path.read_text()
    end = text.find("-----END CERTIFICATE-----")
    if end < 0:
        raise ConfigError(f"{path}: not a PEM certificate")
    return text[: end + len("-----END CERTIFICATE-----")] + "\n"


def _disk(config: GatewayConfig) -> Finding:
    place = config.gateway.state_dir
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    need = config.journal.limit_bytes
    return Finding(
        "disk", free >= need, f"{free >> 20} MiB free at {place}, the journal may take {need >> 20}"
    )


def _clock() -> Finding:
    """Whether the kernel says that the clock is disciplined (adjtimex's STA_UNSYNC)."""
    import ctypes  # noqa: PLC0415  # for this one question

    state = ctypes.create_string_buffer(256)
    libc = ctypes.CDLL(None, use_errno=True)
    answer = libc.adjtimex(state)
    unsynchronised = answer < 0 or answer == 5  # TIME_ERROR
    return Finding(
        "clock",
        not unsynchronised,
        "not synchronised: check chrony or systemd-timesyncd" if unsynchronised else "synchronised",
    )


def _addresses_of(target: str) -> Iterator[str]:
    host, port = tomlfile.address(target, "address")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"{target}: can't be resolved: {error}") from error
    for *_, sockaddr in found:
        address = ipaddress.ip_address(sockaddr[0])
        yield f"{address}/{address.max_prefixlen}"


def _nameservers(resolver: Path) -> Iterator[str]:
    """Those of resolv.conf(5); a gateway must be able to find a destination again."""
    try:
        lines = resolver.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        match line.split():
            case ["nameserver", server, *_]:
                with contextlib.suppress(ValueError):
                    address = ipaddress.ip_address(server.partition("%")[0])
                    yield f"{address}/{address.max_prefixlen}"


def _reach(what: str, address: str, server_name: str, config: GatewayConfig) -> Finding:
    """Connect and shake hands as the gateway would."""
    host, port = tomlfile.address(address, what)
    contexts: Any = TlsContexts(config.tls.files, SystemClock())
    try:
        with (
            socket.create_connection((host, port), timeout=REACH_TIMEOUT_S) as plain,
            contexts.client().wrap_socket(plain, server_hostname=server_name or host) as secured,
        ):
            return Finding(what, True, f"{address} answers with {secured.version()}")
    except (OSError, ssl.SSLError) as error:
        return Finding(what, False, f"{address}: {error}")
