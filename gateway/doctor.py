"""``wardgate doctor``: what is wrong at an edge box, whether the gateway runs or not.

Each look is a finding of its own: one that fails hides no other. Nothing is changed. A listener
is tried only while no gateway runs, for otherwise it is the gateway that has the port.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from OpenSSL import crypto

from gateway import plugins, tomlfile
from gateway.clock import SystemClock
from gateway.config import GatewayConfig, load
from gateway.dial import Receiver, route
from gateway.domain.errors import WardgateError
from gateway.journal.lock import holder
from gateway.packetfilter import snapshot
from gateway.packetfilter.nft import Count
from gateway.packetfilter.ruleset import REFUSED
from gateway.preflight import Finding, check_start, chosen_policy, policy_words
from security.files import TlsFiles
from security.pki import load_certificates
from security.renewal import Life
from security.slots import Slots
from security.tls import client_context

DAYS_LEFT_MIN = 14
OVERDUE_SHARE = 1 / 10
"""Of the life: so long a renewal may take before somebody should look."""
REACH_TIMEOUT_S = 3.0
SECONDS_PER_DAY = 86400
CLOCK_UNSYNCHRONISED = 5
"""adjtimex(2): TIME_ERROR."""


def examine(path: Path) -> list[Finding]:
    """Everything that ``check`` asks, and disk, ports, days left, clock, and who answers."""
    try:
        config = load(path)
        findings = check_start(config, path)
        runs = _runs(config)
        findings += [_policy(config), _chain(config), _renewal(config), _disk(config), _clock()]
        findings += [] if runs else _ports(config, path)
    except WardgateError as error:
        return [Finding("configuration", False, str(error))]
    state = "runs" if runs else "does not run"
    findings[0] = findings[0]._replace(detail=f"{config.gateway.name}, {state}")
    findings += [
        _reach(f"reach {each.name}", each.receiver, each.files(config.tls.files))
        for each in config.destinations
    ]
    if config.fleet is not None:
        findings.append(_reach("reach fleet", config.fleet.receiver, config.tls.files))
    findings += _networks(config)
    findings.append(_packet_filter(config))
    return findings


def _runs(config: GatewayConfig) -> bool:
    """Whether a process has the journal open."""
    return holder(config.gateway.state_dir / "journal") is not None


def _policy(config: GatewayConfig) -> Finding:
    try:
        return Finding("policy", True, policy_words(chosen_policy(config)))
    except WardgateError as error:
        return Finding("policy", False, f"nothing leaves, for it is refused: {error}")


def _chain(config: GatewayConfig) -> Finding:
    """Whether those who trust the same root would trust the gateway."""
    store = crypto.X509Store()
    for root in load_certificates(config.tls.trust):
        store.add_cert(crypto.X509.from_cryptography(root))
    leaf, *issuers = (
        crypto.X509.from_cryptography(each) for each in load_certificates(config.tls.cert)
    )
    try:
        crypto.X509StoreContext(store, leaf, issuers).verify_certificate()
    except crypto.X509StoreContextError as error:
        return Finding("chain", False, f"{config.tls.cert}, by {config.tls.trust}: {error}")
    return Finding("chain", True, f"leads to {config.tls.trust}")


def _renewal(config: GatewayConfig) -> Finding:
    """When the certificate ends, and when it is going to be renewed."""
    files = config.tls.files
    now = SystemClock().now_us() / 1e6
    life = Life.of(load_certificates(files.cert)[0])
    days = (life.end - now) / SECONDS_PER_DAY
    detail = f"certificate ends in {days:.0f} days, "
    if Slots.of(files) is None:
        detail += "and is not renewed by itself: it is not in two slots"
        return Finding("renewal", days > DAYS_LEFT_MIN, detail)
    if not config.renewal.est:
        return Finding("renewal", days > DAYS_LEFT_MIN, f"{detail}and renewal.est is not set")
    due = datetime.fromtimestamp(life.due, UTC)
    overdue = now - life.due > OVERDUE_SHARE * life.length
    detail += (
        f"and has been due since {due:%F %H:%M}Z" if now > life.due else f"due {due:%F %H:%M}Z"
    )
    return Finding("renewal", not overdue and days > 0, detail)


def _ports(config: GatewayConfig, path: Path) -> Iterator[Finding]:
    """Whether what a driver's ``listen`` names, and the metrics' port, can be bound."""
    for name, _, options in plugins.check(config.drivers, path.resolve().parent, str(path)):
        kind = getattr(options, "listens_over", socket.SOCK_STREAM)
        for address in getattr(options, "listen", ()):
            yield _port(f"listen {name}", *tomlfile.address(address, name), kind)
    if config.mec.platform != "none" and config.mec.callback is not None:
        place = tomlfile.address(config.mec.callback.listen, "mec.callback.listen")
        yield _port("listen callback", *place, socket.SOCK_STREAM)
    yield _port("listen metrics", config.metrics.host, config.metrics.port, socket.SOCK_STREAM)


def _port(what: str, host: str, port: int, kind: socket.SocketKind) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as sock:
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            return Finding(what, False, f"{host} port {port}: {error.strerror}")
    return Finding(what, True, f"{host} port {port} is free")


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
    unsynchronised = answer < 0 or answer == CLOCK_UNSYNCHRONISED
    return Finding(
        "clock",
        not unsynchronised,
        "not synchronised: check chrony or systemd-timesyncd" if unsynchronised else "synchronised",
    )


def _reach(what: str, receiver: Receiver, files: TlsFiles) -> Finding:
    """Look it up, connect and shake hands as the gateway would."""
    try:
        way = asyncio.run(route(receiver, files))
    except WardgateError as error:
        return Finding(what, False, str(error))
    host, _, port = way.door.rpartition(":")
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), REACH_TIMEOUT_S) as plain,
            client_context(files).wrap_socket(plain, server_hostname=way.name) as secured,
        ):
            pinned = ", its key is pinned" if way.anchor else ""
            return Finding(what, True, f"{way.door} answers with {secured.version()}{pinned}")
    except (OSError, ssl.SSLError) as error:
        return Finding(what, False, f"{receiver.address}: {error}")


def _networks(config: GatewayConfig) -> Iterator[Finding]:
    """Whether the platform and the operator's network answer, where they do over TLS."""
    own = config.tls.files
    mec, network = config.mec, config.network_apis
    ours = TlsFiles(mec.cert or own.cert, mec.key or own.key, mec.trust or own.trust)
    theirs = own._replace(trust=network.trust or own.trust)
    for table, files in ((mec, ours), (network, theirs)):
        for place in sorted(set(table.addresses.values())) if not table.plain else ():
            yield _reach(f"reach {place}", Receiver(place), files)


def _packet_filter(config: GatewayConfig) -> Finding:
    """What root's service told last."""
    table, what = config.packet_filter, "packet filter"
    try:
        found = snapshot.read(table.file(config.gateway.tenant), config.gateway.name)
    except WardgateError as error:
        return Finding(what, not table.required, f"not in force: {error}")
    age_s = SystemClock().now_us() / 1e6 - found.at_us / 1e6
    if age_s > table.stale_s:
        return Finding(what, not table.required, f"told last {age_s:.0f} s ago")
    refused = snapshot.counts(found).get(REFUSED, Count(0, 0)).packets
    detail = f"in force, {refused} packets refused" + (f"; {found.fault}" if found.fault else "")
    return Finding(what, not refused and not found.fault, detail)
