"""The life of a gateway.

Start: configuration, certificates, journal (recovered), policy, message ids and alarms restored,
forwarders, fleet, drivers last: nobody is let in before everything behind is ready. Stop: drivers
first, then what is under way is committed and acknowledged, then forwarders and journal.

Without a policy that loads, nothing leaves and collecting goes on. SIGHUP applies a changed
configuration (:mod:`gateway.reload`); sessions and backlog stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from gateway.commands import Commands
from gateway.config import GatewayConfig
from gateway.control import Surroundings
from gateway.daemon.ground import Ground
from gateway.daemon.networks import Networks
from gateway.daemon.people import local_server
from gateway.daemon.pipeline import Pipeline
from gateway.daemon.whereabouts import Whereabouts
from gateway.dial import forget_proxies
from gateway.domain.ports import Ports
from gateway.driverset import DriverSet
from gateway.keykeeper import Keeps, KeyKeeper
from gateway.mec.life import HOLD as BREAKOUT
from gateway.metrics_http import MetricsPlace
from gateway.notification.part import Surroundings as NotificationSurroundings
from gateway.outbound import Outbound
from gateway.ownclock.reading import Reading, ask
from gateway.ownclock.watch import Around as OwnClockAround
from gateway.ownclock.watch import OwnClock
from gateway.packetfilter.watch import Around, Watch
from gateway.pipeline.config import check_metrics
from gateway.policies import Policies, policy_book
from gateway.reload import Parts
from gateway.supervisor import Part, Supervisor
from gateway.systemd import Watchdog, notify, watchdog_interval_s
from gateway.timekeeping import Timekeeping
from gateway.uplink.flight import SCOPE as REJECTED_SCOPE

log = logging.getLogger(__name__)

TICK_S = 0.25
HOUSEKEEPING_S = 1.0


class Gateway:
    """All parts of one gateway; :meth:`run` is its life."""

    def __init__(self, path: Path) -> None:
        """Read the configuration and build what needs no I/O beyond reading.

        Raises:
            ConfigError: with file and key, or the certificate is not this gateway's.
        """
        self.ground = Ground(path)
        self._stop = asyncio.Event()
        self._is_ready = False

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        Raises:
            ConfigError, WardgateError, OSError: it can't start, or a vital part failed.
        """
        loop = asyncio.get_running_loop()
        ground = self.ground
        name = ground.config.gateway.name
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._stop.set)
        async with contextlib.AsyncExitStack() as stack:
            loop.add_signal_handler(signal.SIGHUP, ground.control.hung_up)
            await self._assemble(stack)
            await self._open_drivers(stack)
            await self._open_to_people(stack)
            await self.networks.join(stack, self.own_clock)
            parts = Parts(
                self.drivers,
                self.outbound,
                ground.tls,
                self.metrics,
                self.pipeline.classify,
                self.keeper,
                (self._follow,),
                (self.pipeline.notification.check,),
            )
            stack.push_async_callback(ground.control.ready(parts, ground.audit).close)
            ground.telemetry.set("ready", 1)
            notify("READY=1")
            self._is_ready = True
            log.info("gateway %s is ready", name)
            stopped = asyncio.ensure_future(self._stop.wait())
            failed = asyncio.ensure_future(self._supervisor.failed())
            await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
            notify("STOPPING=1")
            ground.telemetry.set("ready", 0)
            log.info("gateway %s stops", name)
            stopped.cancel()
            failed.cancel()
        if failed.done() and not failed.cancelled():
            failed.result()

    async def _assemble(self, stack: contextlib.AsyncExitStack) -> None:
        """Open everything behind the drivers, in order; ``stack`` closes it in reverse."""
        ground = self.ground
        await ground.open(stack)
        self.pipeline = Pipeline(ground)
        await self.pipeline.open(stack)
        ground.captures.bell = self.pipeline.notices
        self.whereabouts = Whereabouts(ground, self.pipeline)
        # Ends with the drivers' sessions, while its alarm can still be committed.
        stack.push_async_callback(ground.captures.stop)

        self._supervisor = Supervisor()
        stack.push_async_callback(self._supervisor.stop)

        await self._watch_clocks(stack)
        ground.identity.on_suspicion = self.pipeline.notices.suspicion
        # Before the policy: a list may call its signer void.
        ground.control.apply_revocations(ground.identity, ground.clock, ground.telemetry)
        await self._open_exit(stack)
        self._attach_to_fleet()
        self._keep_keys()
        self.metrics = MetricsPlace(ground.config.metrics, ground.telemetry.registry)
        self.metrics.start()
        stack.callback(self.metrics.stop)
        self._start_parts()

    async def _watch_clocks(self, stack: contextlib.AsyncExitStack) -> None:
        """Know what the own clock is worth before any device is let in."""
        ground, intake, notices = self.ground, self.pipeline.intake, self.pipeline.notices

        async def ask_clock() -> Reading:
            return await ask(ground.config.clock.address)

        around = OwnClockAround(
            ground.config.gateway.name,
            intake,
            ground.clock,
            ground.telemetry,
            intake.time,
            notices,
            ground.audit,
            ask_clock,
        )
        self.own_clock = OwnClock(ground.config.clock, around)
        await self.own_clock.prepare()
        self.timekeeping = Timekeeping(
            ground.time, ground.tls, ground.telemetry, ground.audit, notices
        )
        stack.callback(ground.time.save)

    async def _open_exit(self, stack: contextlib.AsyncExitStack) -> None:
        """Forward to the destinations what the policy releases, and say what the journal lost."""
        ground, pipeline, config = self.ground, self.pipeline, self.ground.config
        self.outbound = Outbound(
            config,
            ledger_path=config.gateway.state_dir / "ledger.sqlite",
            journal=ground.journal,
            committer=pipeline.committer,
            sealer=ground.keys.of(REJECTED_SCOPE),
            clock=ground.clock,
            telemetry=ground.telemetry,
            audit=ground.audit,
            notices=pipeline.notices,
            policies=Policies(policy_book(config, ground.control.void_authorities)),
        )
        stack.push_async_callback(self.outbound.stop)
        if config.mec.platform == "none":
            ground.telemetry.set("held", 0.0, BREAKOUT)
        else:
            self.outbound.hold(BREAKOUT)  # until the platform says that data stays on campus
        await self.outbound.start()
        if ground.journal.cursors_lost or ground.journal.state_incomplete:
            pipeline.notices.occurrence(
                "journal_restored", "The journal's state was lost or restored"
            )
        pipeline.committer.on_gaps(pipeline.record_gaps)
        pipeline.record_gaps(ground.journal.discovered_gaps())

    def _attach_to_fleet(self) -> None:
        ground = self.ground
        self.commands = Commands(ground.clock)
        if ground.config.fleet is None:
            return
        ground.identity.on_dismissed = self.pipeline.intake.retire
        around = Surroundings(
            ground.identity,
            ground.audit,
            self.pipeline.notices,
            lambda: list(self.pipeline.intake.seen),
            self.commands,
            ground.clock,
            ground.telemetry,
            self.outbound,
        )
        link = ground.control.attach(ground.config.fleet, around)
        link.on_attachment = self.whereabouts.sims.told
        self._supervisor.start(Part("fleet", link.run))

    def _keep_keys(self) -> None:
        ground, pipeline = self.ground, self.pipeline
        keeps = Keeps(
            ground.journal,
            ground.aside,
            lambda: pipeline.message_ids.key_id,
            self.outbound.rejected_key_ids,
            ground.captures.key_ids,
            lambda: pipeline.message_ids.checkpoint(pipeline.intake),
            pipeline.settled,
            lambda: pipeline.record_gaps(ground.journal.discovered_gaps()),
        )
        state = ground.config.gateway.state_dir
        self.keeper = KeyKeeper(state, ground.keys, keeps, ground.audit, ground.clock)

        def hung_up() -> None:
            self.keeper.look()
            ground.captures.look()

        ground.control.on_hangup = hung_up

    def _start_parts(self) -> None:
        """What runs beside everything else."""
        ground, pipeline, start = self.ground, self.pipeline, self._supervisor.start
        around = Around(ground.telemetry, ground.audit, pipeline.notices, ground.clock)
        self.packet_filter = Watch(ground.config, around)
        start(Part("tick", self._tick, vital=True))
        start(Part("message-ids", lambda: pipeline.message_ids.run(pipeline.intake)))
        start(Part("own-clock", self.own_clock.run))
        start(Part("audit", ground.audit.run))
        start(Part("audit-syslog", ground.auditing.shipper.run))
        start(Part("accounting", self.outbound.accounting.run))
        start(Part("keys", self.keeper.run))
        start(Part("captures", ground.captures.run))
        renewer = self.timekeeping.renewer(ground.config)
        if renewer is not None:
            start(Part("renewal", renewer.run))
        start(Part("housekeeping", self._keep_house, vital=True))

    async def _open_drivers(self, stack: contextlib.AsyncExitStack) -> None:
        ground, config = self.ground, self.ground.config
        ports = Ports(
            admission=ground.identity,
            sink=self.pipeline.intake,
            counters=ground.telemetry,
            clock=ground.clock,
            aside=ground.aside,
            state=ground.journal.state,
            commands=self.commands,
            server_tls=ground.tls.server,
            server_dtls=ground.tls.dtls_server,
            client_tls=ground.tls.client,
        )
        self.drivers = DriverSet(ports, ground.path, self.pipeline.settled)
        stack.push_async_callback(self._close_drivers)
        self.drivers.check(config.drivers)
        check_metrics(config.pipeline)  # the drivers are imported, and their metrics known
        await self.drivers.start(config.drivers)

    async def _close_drivers(self) -> None:
        await self.drivers.stop(self.ground.config.gateway.stop_grace_s)

    async def _open_to_people(self, stack: contextlib.AsyncExitStack) -> None:
        """Tell people of alarms, and answer them on site."""
        ground, pipeline = self.ground, self.pipeline
        pipeline.notification.open(
            NotificationSurroundings(
                ground.journal,
                pipeline.intake,
                self.outbound,
                ground.audit,
                self.drivers.messenger,
            )
        )
        stack.push_async_callback(pipeline.notification.stop)
        self.networks = Networks(
            ground,
            pipeline,
            self.whereabouts,
            self.outbound,
            self.drivers,
            self._supervisor,
            self._stop.set,
        )
        self.local = local_server(
            ground, pipeline, self.whereabouts, self.own_clock, self.outbound, self.healthy
        )
        operators = await self.networks.ask(stack)
        if operators is not None:
            self.local.offer(operators)
        await self.local.start()
        self._supervisor.start(Part("local", self.local.run))
        stack.push_async_callback(self.local.stop)

    def healthy(self) -> bool:
        """Whether the journal commits and every driver does its work."""
        return self.pipeline.committer.healthy() and self.drivers.healthy()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.pipeline.intake.tick()

    async def _keep_house(self) -> None:
        """Once a second: watchdog, gauges, ended certificates."""
        ground = self.ground
        watchdog = Watchdog(watchdog_interval_s())
        while True:
            await asyncio.sleep(min(HOUSEKEEPING_S, watchdog.ask_every_s))
            self.timekeeping.tick(ground.control.revocations)
            ground.auditing.tick(self.pipeline.notices)
            ground.identity.expire()
            self.packet_filter.look()
            self.pipeline.notices.tick()
            self.whereabouts.tick()
            left = ground.tls.certificate_seconds_left()
            ground.telemetry.set("certificate_seconds_left", left, "gateway")
            if self._is_ready:  # before that it does not do its work, and systemd waits
                watchdog.ask(ground.clock.monotonic(), self.healthy)

    def _follow(self, config: GatewayConfig) -> None:
        """Hand a changed configuration to every part that just goes on under it."""
        before = self.ground.config
        logging.getLogger().setLevel(config.gateway.log_level.upper())
        self.ground.follow(config)
        self.pipeline.follow(config, before)
        self.whereabouts.follow(config)
        self.local.follow(config.local)
        self.own_clock.follow(config.clock)
        self.ground.control.follow(config)
        self.packet_filter.follow(config)


SWITCH_INTERVAL_S = 0.0005
"""Threads that read a backlog compute; by default the loop would wait 5 ms for the interpreter each
time. Halves the delivery of alarms at the 99th percentile while a backlog drains."""


def run(path: Path) -> None:
    """Run a gateway until it is told to stop.

    Raises:
        ConfigError, WardgateError, OSError: it can't start or can't go on.
    """
    import uvloop  # noqa: PLC0415  # only the running daemon needs it

    async def live() -> None:
        await Gateway(path).run()

    forget_proxies()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    uvloop.run(live())
