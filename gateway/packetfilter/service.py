"""Root's process: keeps the rules in force, and tells their counters.

* The rules are made from the configuration, which root writes, and the newest signed policy on
  disk; the gateway is not asked. A changed file counts within a second, names are resolved anew
  every half minute.
* What can't be compiled changes nothing: the rules in force stay, and the file says why. The first
  time, a policy that can't be verified closes every destination; a configuration that can't be
  read ends the process.
* A policy that is older than one that was ever believed is not believed
  (:mod:`gateway.packetfilter.believed`). What was believed is kept before the rules are in force.
* A policy that the gateway refuses, since it asks for what needs a key that a destination has not,
  opens nothing here either: the one before stays, and why is told.
* Each second it looks whether the kernel still has all of the rules: who flushes them (a reload of
  the host's own firewall) finds them back.
* When it ends the rules stay; the counters' file grows old, which the gateway tells.

It needs CAP_NET_ADMIN and nothing else.
"""

from __future__ import annotations

import hashlib
import logging
import signal
import threading
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.config import GatewayConfig, load
from gateway.domain.errors import ConfigError, WardgateError, words
from gateway.domain.ports import Clock
from gateway.fleetlink import REVOCATIONS_FILE
from gateway.packetfilter import believed, nft, openings, ruleset, snapshot
from gateway.packetfilter.believed import Believed
from gateway.packetfilter.nft import InForce, PacketFilterError
from gateway.preflight import chosen_or_refused
from gateway.systemd import Watchdog, notify, watchdog_interval_s
from security.policybook import BUNDLE_FILE, REACHED_FILE

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
RESOLVE_EVERY_S = 30.0
FAULT_CHARS_MAX = 400


class Compiled(NamedTuple):
    """What is to be in force."""

    config: GatewayConfig
    openings: openings.Openings
    script: str
    policy: str
    """Version; empty when none can be verified."""
    number: int
    """Of the signed policy; 0 when none can be verified."""
    fault: str
    """Why not, for people."""
    believed: Believed | None
    """The newest policy that was believed, this one included; None: it can't be told."""
    refused: str = ""
    """Why a newer policy than this one is not believed."""

    @property
    def table(self) -> str:
        """Its name in the kernel."""
        return ruleset.table_name(self.config.gateway.name)


def compiled(
    path: Path, resolver: Path = openings.RESOLVER, known: Believed | None = None
) -> Compiled:
    """The rules for a configuration; without a policy that can be verified, no destination is open.

    Args:
        path: of the configuration.
        resolver: resolv.conf(5).
        known: what was believed until now; None: what is on disk says it.

    Raises:
        ConfigError: the configuration can't be used.
    """
    config = load(path)
    table, version, number, fault, refused = None, "", 0, "", ""
    remembered = known
    try:
        if remembered is None:
            remembered = believed.read(memory(config))
        chosen, refused = chosen_or_refused(_believing(config))
        bundle = chosen.found.bundle
        remembered.check(bundle)
        remembered = Believed(bundle.number, bundle.substance)
        table, number, version = chosen.table, bundle.number, chosen.table.version
    except WardgateError as error:
        fault = f"no destination is open: {words(error)}"[:FAULT_CHARS_MAX]
    found = openings.find(config, path, table, resolver)
    user = config.packet_filter.user_of(config.gateway.tenant)
    script = ruleset.ruleset(found, openings.uid_of(user))
    return Compiled(config, found, script, version, number, fault, remembered, refused)


def memory(config: GatewayConfig) -> Path:
    """Where it is kept which policy was believed for a gateway."""
    return config.packet_filter.memory / f"{ruleset.table_name(config.gateway.name)}.json"


def _believing(config: GatewayConfig) -> GatewayConfig:
    """With root's own copy of the roots, which the gateway's process can't exchange."""
    trust = config.packet_filter.trust
    if trust is None:
        return config
    return msgspec.structs.replace(config, tls=msgspec.structs.replace(config.tls, trust=trust))


def inputs(config: GatewayConfig) -> tuple[Path, ...]:
    """The files, besides the configuration itself, on which the policy in force depends."""
    state = config.gateway.state_dir
    trust = config.packet_filter.trust or config.tls.trust
    named = (config.policy.file, config.policy.invariants, trust)
    kept = (state / BUNDLE_FILE, state / REACHED_FILE, state / REVOCATIONS_FILE)
    return (*(each for each in named if each is not None), *kept)


class Keeper:
    """One gateway's rules; :meth:`look` is one round."""

    def __init__(self, path: Path, clock: Clock, resolver: Path = openings.RESOLVER) -> None:
        """Compile, and put in force.

        Raises:
            ConfigError: the configuration can't be used.
            PacketFilterError: the kernel won't have the rules.
        """
        self._path = path
        self._clock = clock
        self._resolver = resolver
        self._inputs: tuple[Path, ...] = ()
        self._seen = self._signature()
        self._resolved_at = clock.monotonic()
        self._now = compiled(path, resolver)
        self._inputs = inputs(self._now.config)
        self._seen = self._signature()
        self._fault = self._keep(self._now) or self._now.fault or self._now.refused
        self._apply(self._now)

    def look(self) -> None:
        """Follow changed files, put back what was taken away, tell the counters."""
        self._follow()
        try:
            found = nft.in_force(self._now.table)
        except PacketFilterError:
            found = InForce(0, {})
        if found.rules != ruleset.rule_count(self._now.script):
            log.error("the rules were changed or taken away; they are put back")
            self._apply(self._now)
            found = nft.in_force(self._now.table)
        self._tell(found)

    @property
    def table(self) -> str:
        """The table that is kept."""
        return self._now.table

    def _follow(self) -> None:
        now, signature = self._clock.monotonic(), self._signature()
        due = bool(self._now.openings.names) and now - self._resolved_at >= RESOLVE_EVERY_S
        if signature == self._seen and not due:
            return
        self._seen, self._resolved_at = signature, now
        try:
            wanted = compiled(self._path, self._resolver, self._now.believed)
            if wanted.table != self._now.table:
                raise ConfigError("another gateway's name needs a restart")
            if wanted.fault and not self._now.fault:
                raise ConfigError(wanted.fault.removeprefix("no destination is open: "))
            unkept = self._keep(wanted) if wanted.believed != self._now.believed else ""
            if wanted.script != self._now.script:
                self._apply(wanted)
        except WardgateError as error:
            fault = words(error)[:FAULT_CHARS_MAX]
            if fault != self._fault:
                log.error("not applied, the present rules stay: %s", fault)  # noqa: TRY400  # the cause is told
            self._fault = fault
        else:
            self._now, self._fault = wanted, unkept or wanted.fault or wanted.refused
            self._inputs = inputs(wanted.config)

    def _keep(self, wanted: Compiled) -> str:
        """Remember which policy is believed, before it opens anything; what went wrong.

        A memory that can't be written keeps no rules away: they may close something.
        """
        if wanted.believed is None:
            return ""
        place = memory(wanted.config)
        try:
            believed.write(place, wanted.believed)
        except OSError as error:
            fault = f"{place}: which policy is believed can't be kept: {words(error)}"
            log.error("%s", fault)  # noqa: TRY400  # the cause is told
            return fault[:FAULT_CHARS_MAX]
        return ""

    def _apply(self, wanted: Compiled) -> None:
        nft.apply(wanted.script)
        closed = [each.name for each in wanted.openings.outgoing if not each.released]
        log.info(
            "the rules of gateway %s are in force, %s; closed: %s",
            wanted.config.gateway.name,
            f"policy {wanted.policy}" if wanted.policy else wanted.fault,
            ", ".join(closed) or "none",
        )

    def _tell(self, found: InForce) -> None:
        config = self._now.config
        place = config.packet_filter.file(config.gateway.tenant)
        told = snapshot.Snapshot(
            v=snapshot.FORMAT,
            gateway=config.gateway.name,
            at_us=self._clock.now_us(),
            ruleset=hashlib.sha256(self._now.script.encode()).hexdigest(),
            policy=self._now.policy,
            fault=self._fault,
            counters={name: (each.packets, each.bytes) for name, each in found.counters.items()},
        )
        try:
            snapshot.write(place, told)
        except OSError as error:
            log.error("the counters can't be told: %s", words(error))  # noqa: TRY400  # the cause is told

    def _signature(self) -> tuple[object, ...]:
        """Differs when a file that the rules are made of was replaced or changed."""
        found: list[object] = []
        for each in (self._path, self._resolver, *self._inputs):
            try:
                state = each.stat()
            except OSError:
                found.append(None)
            else:
                found.append((state.st_mtime_ns, state.st_size, state.st_ino))
        return tuple(found)


def run(path: Path, clock: Clock) -> None:
    """Keep the rules in force until SIGTERM or SIGINT.

    Raises:
        ConfigError: the configuration can't be used at the start.
        PacketFilterError: the kernel won't have the rules.
    """
    stopped = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopped.set())
    keeper = Keeper(path, clock)
    keeper.look()
    notify("READY=1")
    watchdog = Watchdog(watchdog_interval_s())
    while not stopped.wait(min(LOOK_EVERY_S, watchdog.ask_every_s)):
        keeper.look()
        watchdog.ask(clock.monotonic(), lambda: True)
    notify("STOPPING=1")
