"""Looks before the leap: what ``gateway check`` and ``gateway addresses`` find out.

Nothing here changes anything: no file is written, no listener opened.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import typer

from gateway import desired, plugins, tomlfile
from gateway.carried import revocation_book
from gateway.clock import SystemClock
from gateway.config import GatewayConfig, load, read
from gateway.domain.errors import ConfigError
from gateway.pipeline import classification
from gateway.pipeline.classification import Classification
from gateway.pipeline.config import check_metrics
from gateway.policies import NONE_BROUGHT, Chosen, Policies, policy_book
from gateway.uplink.release import require_no_key
from security import policy
from security.names import Role, parse_identity
from security.policybundle import Bundle, is_bundle, peek
from security.sealing import KeyRing
from security.tls import TlsContexts

SECONDS_PER_DAY = 86400
RESOLVER = Path("/etc/resolv.conf")


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    well: bool
    detail: str


def check(path: Path) -> list[Finding]:
    """Everything that must be right for a start, and for anything to leave.

    Raises:
        ConfigError, PolicyError: it isn't; the message says what to mend.
    """
    config = load(path)
    chosen = chosen_policy(config)
    return [*check_start(config, path), Finding("policy", True, policy_words(chosen))]


def check_start(config: GatewayConfig, path: Path) -> list[Finding]:
    """Everything that must be right for a start; without a policy, the gateway collects.

    Raises:
        ConfigError: it isn't; the message says what to mend.
    """
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
    findings.append(Finding("classification", True, classified(config).version))
    findings += [
        Finding(f"destination {each.name}", True, f"{each.address}, zone {each.zone}")
        for each in config.destinations
    ]
    from gateway.notification.checking import check_outlet  # noqa: PLC0415  # not for every command

    for outlet in config.notification.outlets:
        check_outlet(outlet, config.tls.files)
        findings.append(Finding(f"outlet {outlet.name}", True, f"zone {outlet.zone}"))
    findings += cabinet_findings(config)
    findings += network_findings(config)
    if config.fleet is not None:
        findings.append(Finding("fleet", True, config.fleet.address))
    if config.audit.syslog is not None:
        syslog = config.audit.syslog
        findings.append(Finding("audit collector", True, f"{syslog.address} ({syslog.zone})"))
    findings += _wanted(config, path)
    return findings


def cabinet_findings(config: GatewayConfig) -> list[Finding]:
    """Each cabinet, and whether a driver has its readers."""
    known = set(_device_ids(config.drivers))
    findings = []
    for each in config.cabinets:
        missing = sorted(each.readers - known)
        told = f"{each.kind}, places: {len(each.places)}, doors: {len(each.doors)}"
        if missing:
            told = f"no driver has the reader {', '.join(missing)}"
        findings.append(Finding(f"cabinet {each.name}", not missing, told))
    return findings


def network_findings(config: GatewayConfig) -> list[Finding]:
    """What the network around is asked, and by what devices are followed.

    Raises:
        ConfigError: it can't be asked.
    """
    from gateway.mec import checking  # noqa: PLC0415  # not for every command

    findings = []
    if config.mec.platform != "none":
        checking.check_platform(config.mec, config.tls.files)
        rules = ", ".join(config.mec.breakout.rules) if config.mec.breakout else ""
        told = f"{config.mec.addresses['mec-apps']}; nothing leaves unless {rules} is in force"
        findings.append(Finding("platform", True, told))
    if config.fence:
        fence = config.fence
        counts = (("zones", fence.zones), ("areas", fence.areas), ("classes", fence.classes))
        told = ", ".join(f"{name}: {len(each)}" for name, each in counts)
        findings.append(Finding("fence", True, f"{told}, roaming: {fence.roaming}"))
    if config.network_apis:
        checking.check_network(config.network_apis, config.tls.files)
        told = ", ".join(sorted(set(config.network_apis.addresses.values())))
        findings.append(Finding("operator's network", True, told))
    return findings


def _device_ids(table: Any) -> Iterator[str]:
    """Every device that the drivers' tables name."""
    if isinstance(table, dict):
        if isinstance(table.get("device_id"), str):
            yield table["device_id"]
        table = list(table.values())
    if isinstance(table, list):
        for each in table:
            yield from _device_ids(each)


def _wanted(config: GatewayConfig, path: Path) -> list[Finding]:
    """What the fleet wants over the file, and whether it fits; a start goes on without."""
    wanted = desired.load(config.gateway.state_dir)
    if not wanted.version:
        return []
    try:
        desired.effective(read(path), wanted)
    except ConfigError as error:
        return [Finding("fleet wants", False, str(error))]
    return [Finding("fleet wants", True, f"configuration {wanted.version} over the file")]


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


def classified(config: GatewayConfig) -> Classification:
    """The labels of everything; to be called when the drivers are imported.

    Raises:
        ConfigError: the hospital's file can't be read, or is refused.
    """
    return classification.compiled(classification.read(config.classification))


def chosen_policy(config: GatewayConfig) -> Chosen:
    """The signed policy that the gateway would start with, for the configured destinations.

    Takes a second, or a few: not to be called on the loop of a gateway that runs.

    Raises:
        WardgateError: there is none that is right; the message says why.
    """
    chosen = _policies(config).first(config)
    if chosen is None:
        raise NONE_BROUGHT
    return chosen


class ChosenOrRefused(NamedTuple):
    """The policy that counts, and why a newer one does not."""

    chosen: Chosen
    refused: str
    """Empty: there is none."""


def chosen_or_refused(config: GatewayConfig) -> ChosenOrRefused:
    """As :func:`chosen_policy`, of those for which the keys are there.

    Raises:
        WardgateError: as :func:`chosen_policy`.
    """
    policies = _policies(config)
    chosen = policies.first(config, partial(_require_keys, config))
    if chosen is None:
        raise NONE_BROUGHT
    return ChosenOrRefused(chosen, policies.refused.reason)


def _require_keys(config: GatewayConfig, chosen: Chosen) -> None:
    """As the exit does before it puts a policy in force.

    Raises:
        ConfigError: it asks for what needs a key, of a destination that has none.
    """
    for each in config.destinations:
        if each.pseudonym_key is None:
            try:
                require_no_key(each.name, chosen.table.rows.get(each.name, {}))
            except ValueError as error:
                raise ConfigError(f"policy {chosen.found.bundle.number}: {error}") from error


def _policies(config: GatewayConfig) -> Policies:
    book = revocation_book(config, SystemClock())
    book.load()
    return Policies(policy_book(config, lambda: book.current.serials))


def policy_words(chosen: Chosen) -> str:
    """Which policy it is, and for whom it says nothing."""
    words = f"number {chosen.found.bundle.number}, version {chosen.table.version}"
    if chosen.unproved:
        words += f"; not proved for, and nothing leaves for: {', '.join(chosen.unproved)}"
    return words


def compiled_policy(config: GatewayConfig) -> policy.PolicyTable:
    """The table that :func:`chosen_policy` comes to.

    Raises:
        WardgateError: as there.
    """
    return chosen_policy(config).table


def table_of(file: Path, config: GatewayConfig) -> policy.PolicyTable:
    """What a file would release to the configured destinations, whatever the invariants say.

    Raises:
        ConfigError: it can't be read.
        PolicyError: it is refused.
    """
    try:
        return policy.compile_policy(policy_of(file, None).policy, config.receivers)
    except policy.PolicyError as error:
        raise policy.PolicyError(f"{file}: {error}") from error


def policy_of(file: Path | None, config: GatewayConfig | None) -> Bundle:
    """What a Cedar file or a signed one says, whoever has signed it; without one, the gateway's.

    Raises:
        WardgateError: the file can't be read, or nothing was brought to the gateway.
    """
    if file is None:
        if config is None:
            raise ConfigError("name a policy, or a gateway's configuration")
        return _policies(config).newest(config).bundle
    content = tomlfile.read(file)
    try:
        return peek(content)[0] if is_bundle(content) else Bundle(0, 0, content.decode(), "", "")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not a text: {error}") from error


def address_limits(path: Path, resolver: Path = RESOLVER) -> str:
    """A systemd drop-in: the gateway's cgroup reaches loopback and what the configuration names.

    That is the ward's networks (devices, brokers, serial servers, whoever scrapes metrics),
    destinations, fleet, enrolment, the collector of audit messages, and, where one of them is a
    name, this host's name servers. Names without networks are resolved now; a destination whose
    address moves needs a new drop-in.

    Raises:
        ConfigError: a name can't be resolved, or a network is none.
    """
    from gateway.packetfilter import openings, systemd  # noqa: PLC0415  # only this command needs it

    found = openings.find(load(path), path, None, resolver, every=True)
    return systemd.drop_in(found)


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
