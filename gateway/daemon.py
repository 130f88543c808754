"""The gateway's process: the only place that puts its parts together.

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
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from gateway import plugins
from gateway.association.associator import Associator
from gateway.association.service import Desk as AssociationDesk
from gateway.auditing import Auditing
from gateway.cabinet.interpreter import Cabinets
from gateway.cabinet.service import Around as CabinetAround
from gateway.cabinet.service import Desk as CabinetDesk
from gateway.capture.desk import CaptureDesk
from gateway.capture.shelf import SCOPE as CAPTURE_SCOPE
from gateway.clock import SystemClock
from gateway.commands import Commands
from gateway.config import GatewayConfig, read
from gateway.control import Control, Surroundings, first_in_force
from gateway.dial import forget_proxies
from gateway.domain.devices import Device
from gateway.domain.labels import Lane
from gateway.domain.ports import Movable, Outcome, Ports, Submission
from gateway.domain.records import Gap, TimeMark
from gateway.driverset import DriverSet
from gateway.fence.fence import Fence
from gateway.fence.links import Links
from gateway.fence.places import Associated
from gateway.fence.ports import Around as FenceAround
from gateway.fence.service import fence_service
from gateway.infusion.service import Looks as InfusionLooks
from gateway.infusion.service import infusion_service
from gateway.infusion.view import Infusions
from gateway.journal.aside import SCOPE as ASIDE_SCOPE
from gateway.journal.aside import Aside
from gateway.journal.committer import Committer
from gateway.journal.journal import Journal
from gateway.journal.lock import DirectoryLock
from gateway.journal.types import STATE_SCOPE
from gateway.keykeeper import KEYS_FILE, SCOPES, Keeps, KeyKeeper
from gateway.local.server import Around as LocalAround
from gateway.local.server import LocalServer
from gateway.local.status import Looks, status_service
from gateway.mec.life import HOLD as BREAKOUT
from gateway.metrics_http import MetricsPlace
from gateway.network import watch as network
from gateway.network.holds import Holds
from gateway.notices import Notices
from gateway.notification.part import Notification
from gateway.notification.part import Surroundings as NotificationSurroundings
from gateway.outbound import Outbound
from gateway.ownclock.reading import Reading, ask
from gateway.ownclock.service import Looks as ClockLooks
from gateway.ownclock.service import clocks_service
from gateway.ownclock.watch import Around as OwnClockAround
from gateway.ownclock.watch import OwnClock
from gateway.packetfilter.ruleset import REFUSED, STRANGERS
from gateway.packetfilter.watch import Around, Watch
from gateway.pipeline.classification import Classification
from gateway.pipeline.clocks.keeping import kernel_boot_id
from gateway.pipeline.config import check_metrics
from gateway.pipeline.intake import Intake
from gateway.pipeline.label import Labels
from gateway.pipeline.memory import MessageIds
from gateway.policies import Policies, policy_book
from gateway.preflight import classified, require_own_certificate
from gateway.reload import Parts
from gateway.supervisor import Part, Supervisor
from gateway.systemd import Watchdog, notify, watchdog_interval_s
from gateway.telemetry import Telemetry
from gateway.timekeeping import Timekeeping, secure_time
from gateway.uplink.flight import SCOPE as REJECTED_SCOPE
from gateway.uplink.uplink import Standing as DestinationStanding
from security.files import sync_directory
from security.identity import IdentityService
from security.scopes import ScopeKeys
from security.sealing import KeyRing
from security.timefloor import Standing
from security.tls import TlsContexts

log = logging.getLogger(__name__)

TICK_S = 0.25
HOUSEKEEPING_S = 1.0
DRAIN_LOOK_S = 0.1
CODE_MALFUNCTION = 196678
"""MDC_EVT_MALF."""


class Gateway:
    """All parts of one gateway; :meth:`run` is its life."""

    def __init__(self, path: Path) -> None:
        """Read the configuration and build what needs no I/O beyond reading.

        Raises:
            ConfigError: with file and key, or the certificate is not this gateway's.
        """
        self.path = path
        in_force, refused = first_in_force(read(path))
        self.config: GatewayConfig = in_force.config
        self.control = Control(in_force, refused)
        require_own_certificate(self.config)
        self.clock = SystemClock()
        self.telemetry = Telemetry(tenant=self.config.gateway.tenant)
        self.time = secure_time(self.config, self.clock)
        self.tls = TlsContexts(
            self.config.tls.files, self.time, lambda: self.time.standing is Standing.AGREED
        )
        self.holds = Holds()
        self._stop = asyncio.Event()
        self._recording_gaps = False

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        Raises:
            ConfigError, WardgateError, OSError: it can't start, or a vital part failed.
        """
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        async with contextlib.AsyncExitStack() as stack:
            loop.add_signal_handler(signal.SIGHUP, self.control.hung_up)
            await self._assemble(stack)
            await self._open_drivers(stack)
            self.notification.open(
                NotificationSurroundings(
                    self.journal, self.intake, self.outbound, self.audit, self.drivers.messenger
                )
            )
            stack.push_async_callback(self.notification.stop)
            await self._open_local(stack)
            await self._join_platform(stack)
            parts = Parts(
                self.drivers,
                self.outbound,
                self.tls,
                self.metrics,
                self._classify,
                self.keeper,
                (self._follow,),
                (self.notification.check,),
            )
            stack.push_async_callback(self.control.ready(parts, self.audit).close)
            self.telemetry.set("ready", 1)
            notify("READY=1")
            log.info("gateway %s is ready", self.config.gateway.name)
            stopped = asyncio.ensure_future(self._stop.wait())
            failed = asyncio.ensure_future(self._supervisor.failed())
            await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
            notify("STOPPING=1")
            self.telemetry.set("ready", 0)
            log.info("gateway %s stops", self.config.gateway.name)
            stopped.cancel()
            failed.cancel()
        if failed.done() and not failed.cancelled():
            failed.result()

    def _begin_counting(self) -> None:
        """What alert rules watch is there from the start, as 0."""
        begin = self.telemetry.begin
        lanes = [lane.name.lower() for lane in Lane]
        destinations = [each.name for each in self.config.destinations]
        begin("journal_refused", lanes)
        begin("journal_dropped", [Lane.TELEMETRY.name.lower(), Lane.WAVES.name.lower()])
        begin("journal_quarantined_bytes", lanes)
        begin("rejected", destinations, ("permanent", "transient"))
        begin("misdirected", [*destinations, "fleet"], ("address_refused", "pin_refused"))
        begin("marked_values", ("questionable", "invalid"))
        begin("time_marks", [str(mark.name).lower() for mark in TimeMark])
        begin("clock_steps", ("ahead", "back"))
        begin("packetfilter_packets", (REFUSED, STRANGERS))
        begin("not_taken", [each.value for each in Outcome if each is not Outcome.COMMITTED])

    async def _assemble(self, stack: contextlib.AsyncExitStack) -> None:
        """Open everything behind the drivers, in order; ``stack`` closes it in reverse."""
        config, clock, telemetry = self.config, self.clock, self.telemetry
        self._begin_counting()
        state = config.gateway.state_dir
        if not state.exists():
            state.mkdir(mode=0o700, parents=True)
            sync_directory(state.parent)

        # A clock that jumps ahead must not make half a year pass.
        self.auditing = Auditing(
            config, clock, telemetry, lambda: self.time.standing is Standing.AGREED
        )
        self.audit = self.auditing.log
        stack.callback(self.audit.close)
        self.identity = IdentityService(config.identity, self.time, telemetry, self.audit)

        self._open_keys(stack)
        self.journal = await asyncio.to_thread(
            Journal.open, state / "journal", config.journal, self.keys, clock, telemetry
        )
        stack.callback(self.journal.close)
        # Before anything is said: a destination begins at the journal's head.
        self.journal.set_destinations([each.name for each in config.destinations])
        sealer = self.keys.of(ASIDE_SCOPE)
        self.aside = Aside(state / "aside", config.aside, sealer, clock, telemetry)
        stack.callback(self.aside.close)

        self.captures = CaptureDesk(
            state,
            config.gateway.name,
            config.capture,
            self.keys.of(CAPTURE_SCOPE),
            self.identity,
            self.audit,
            clock,
        )

        await self._open_pipeline(stack)
        self.captures.bell = self.notices
        self._watch_sims()
        # Ends with the drivers' sessions, while its alarm can still be committed.
        stack.push_async_callback(self.captures.stop)

        self._supervisor = Supervisor()
        stack.push_async_callback(self._supervisor.stop)

        await self._watch_clock()
        self.timekeeping = Timekeeping(self.time, self.tls, telemetry, self.audit, self.notices)
        stack.callback(self.time.save)
        self.identity.on_suspicion = self.notices.suspicion
        # Before the policy: a list may call its signer void.
        self.control.apply_revocations(self.identity, clock, telemetry)
        self.outbound = Outbound(
            config,
            ledger_path=state / "ledger.sqlite",
            journal=self.journal,
            committer=self.committer,
            sealer=self.keys.of(REJECTED_SCOPE),
            clock=clock,
            telemetry=telemetry,
            audit=self.audit,
            notices=self.notices,
            policies=Policies(policy_book(config, self.control.void_authorities)),
        )
        stack.push_async_callback(self.outbound.stop)
        if config.mec.platform != "none":
            self.outbound.hold(BREAKOUT)  # until the platform says that data stays on campus
        await self.outbound.start()
        if self.journal.cursors_lost or self.journal.state_incomplete:
            self.notices.occurrence("journal_restored", "The journal's state was lost or restored")
        self.committer.on_gaps(self._record_gaps)
        self._record_gaps(self.journal.discovered_gaps())

        self.commands = Commands(clock)
        if config.fleet is not None:
            self.identity.on_dismissed = self.intake.retire
            around = Surroundings(
                self.identity,
                self.audit,
                self.notices,
                lambda: list(self.intake.seen),
                self.commands,
                clock,
                telemetry,
                self.outbound,
            )
            link = self.control.attach(config.fleet, around)
            link.on_attachment = self.sims.told
            self._supervisor.start(Part("fleet", link.run))

        self._keep_keys()
        self._serve_metrics(stack)
        self._start_parts()

    async def _open_local(self, stack: contextlib.AsyncExitStack) -> None:
        """Answer people on site."""
        config = self.config
        around = LocalAround(
            config.tls.files,
            config.identity.trust_domain,
            self.control.void_authorities,
            self.clock,
            self.telemetry,
            self.audit,
        )
        self.local = LocalServer(
            config.local, config.local.socket_in(config.gateway.state_dir), around
        )
        looks = Looks(
            config.gateway.name,
            self.clock,
            self.healthy,
            lambda: list(self.intake.seen),
            lambda: self.intake.alarms.active,
            self.outbound.standing,
        )
        self.local.offer(status_service(looks))
        self.local.offer(
            infusion_service(
                InfusionLooks(
                    self.infusions,
                    self.clock,
                    self.intake.alarms.standing,
                    self.intake.seen.state_of,
                )
            )
        )
        if self.cabinets is not None:
            desk = CabinetDesk(self.cabinets, CabinetAround(self.intake, self.clock, self.audit))
            self.local.offer(desk.service())
        self.local.offer(self.notification.service())
        self.local.offer(
            clocks_service(
                ClockLooks(
                    self.clock,
                    self.intake.time.steady,
                    lambda: self.own_clock.reading,
                    lambda: list(self.intake.seen),
                )
            )
        )
        associations = AssociationDesk(
            config.gateway.name, self.associator, self.intake, self.clock
        )
        self.local.offer(associations.service())
        self.local.offer(fence_service(self.fence, self.links, self.clock))
        self._ask_network(stack)
        await self.local.start()
        self._supervisor.start(Part("local", self.local.run))
        stack.push_async_callback(self.local.stop)

    async def _join_platform(self, stack: contextlib.AsyncExitStack) -> None:
        """Take the gateway's place on a MEC platform, if it runs on one."""
        config = self.config
        mec = config.mec
        if mec.platform == "none" or mec.callback is None or mec.breakout is None:
            return
        # With them comes an HTTP library, which few gateways need.
        from gateway.mec.agent import Around as MecAround  # noqa: PLC0415
        from gateway.mec.making import OnPlatform  # noqa: PLC0415
        from gateway.mec.seeing import Watchers  # noqa: PLC0415

        around = MecAround(
            self.clock,
            self.telemetry,
            self.audit,
            self.notices,
            self.outbound.hold,
            self.outbound.free,
            self._drain,
            self._stop.set,
            self._move,
            lambda _time: None,
            Watchers(self.fence, self.links.told),
        )
        addresses = {each.name: each.address for each in config.destinations}
        platform = OnPlatform(mec, mec.callback, mec.breakout, config.tls.files, addresses, around)
        await platform.start()
        stack.push_async_callback(platform.stop)
        self._supervisor.start(Part("mec", platform.run))

    def _ask_network(self, stack: contextlib.AsyncExitStack) -> None:
        """Have an operator's network that can be asked, if there is one."""
        config = self.config
        if not config.network_apis:
            return
        # With them comes an HTTP library, which few gateways need.
        from gateway.networkapi.keeper import Around as NetworkAround  # noqa: PLC0415
        from gateway.networkapi.making import OnNetwork  # noqa: PLC0415

        around = NetworkAround(
            self.intake.alarms.devices_with,
            self.identity.device,
            self.identity.addresses_of,
            self.clock,
            self.telemetry,
            self.audit,
        )
        network_ = OnNetwork(config.network_apis, config.tls.files, around)
        stack.push_async_callback(network_.stop)
        self.local.offer(network_.service(self.fence))
        self._supervisor.start(Part("network", network_.run))

    async def _drain(self, seconds: float) -> None:
        """Take no more from devices; return when everything has left, or the time is over."""
        deadline = self.clock.monotonic() + seconds
        await self.drivers.stop(min(self.config.gateway.stop_grace_s, seconds))
        await self._settled()
        while waiting := _waiting(self.outbound.standing()):
            if self.clock.monotonic() >= deadline:
                log.warning("not everything has left in time, and waits on disk: %s", waiting)
                return
            await asyncio.sleep(DRAIN_LOOK_S)

    def _move(self, addresses: frozenset[str], place: str) -> int:
        """Send devices at these addresses to another gateway; how many sessions that were."""
        found = self.identity.sessions_at(addresses)
        for session in found:
            if isinstance(session, Movable):
                session.move(place)
            else:
                session.kill("moved")
        return len(found)

    async def _open_pipeline(self, stack: contextlib.AsyncExitStack) -> None:
        """What stands between the drivers and the journal, with what it knew before a restart."""
        config, clock, telemetry = self.config, self.clock, self.telemetry
        loop = asyncio.get_running_loop()
        self.committer = Committer(self.journal, loop, telemetry, config.commit)
        self.associator = Associator(
            config.association, config.gateway.name, os.urandom, self.identity.device, telemetry
        )
        self.infusions = Infusions(config.pipeline.infusion)
        self.cabinets = Cabinets(config.cabinets, telemetry) if config.cabinets else None
        self.notification = Notification(config, self._device, clock, telemetry, self.audit)
        self.intake = Intake(
            config.pipeline,
            self.committer,
            clock,
            telemetry,
            os.urandom,
            self._first_labels(),
            interpreters=(
                self.infusions,
                self.notification.desk,
                self.associator,
                *([self.cabinets] if self.cabinets else []),
            ),
        )
        self.intake.infusions = self.infusions
        self.intake.associate(self.associator)
        self.message_ids = MessageIds(
            config.gateway.state_dir / "message-ids",
            self.intake.duplicates,
            self.journal,
            self.keys.of(STATE_SCOPE),
        )
        replayed = await asyncio.to_thread(self.message_ids.load)
        self.intake.restore(self.journal.state, kernel_boot_id())
        self.notification.hold(self.journal)
        log.info("journal open at %s, %d message ids replayed", _positions(self.journal), replayed)
        await self.committer.start()
        stack.push_async_callback(self.committer.stop)
        stack.push_async_callback(self._last_checkpoint)
        self.notices = Notices(config.gateway.name, self.intake, clock)
        self.notices.restore(self.journal.state)

    async def _watch_clock(self) -> None:
        """Know what the own clock is worth before any device is let in."""
        around = OwnClockAround(
            self.config.gateway.name,
            self.intake,
            self.clock,
            self.telemetry,
            self.intake.time,
            self.notices,
            self._ask_clock,
        )
        self.own_clock = OwnClock(self.config.clock, around)
        await self.own_clock.prepare()

    async def _ask_clock(self) -> Reading:
        return await ask(self.config.clock.address)

    def _watch_sims(self) -> None:
        """Hold devices back that the network knows by other words; before any is let in."""
        around = network.Around(
            self.identity,
            self.holds,
            self.intake,
            self.notices,
            self.audit,
            self.clock,
            self.telemetry,
        )
        self.sims = network.SimWatch(self.config.sim, around)
        self.sims.restore(self.journal.state)
        self.fence = Fence(
            self.config.fence,
            FenceAround(
                self.sims,
                Associated(
                    self.config.gateway.name,
                    lambda: self.associator.devices,
                    self.identity.device,
                    self.intake,
                    self.clock,
                ),
                self.notices,
                self.audit,
                self.clock,
                self.telemetry,
            ),
        )
        self.fence.restore()
        self.links = Links(self.identity.devices_at, self.clock)
        self.identity.on_directory = self._registered

    def _registered(self, devices: Iterable[Device]) -> None:
        """The fleet said which devices there are."""
        known = list(devices)
        self.fence.directory(known)
        self.sims.directory(known)

    def _open_keys(self, stack: contextlib.AsyncExitStack) -> None:
        """The scopes' keys; they are one process's at a time, as the journal is."""
        state = self.config.gateway.state_dir
        stack.callback(DirectoryLock(str(state)).close)
        ring = KeyRing.load(self.config.gateway.seal_keys)
        self.keys = ScopeKeys(state / KEYS_FILE, ring, SCOPES, self.clock.now_us)

    def _keep_keys(self) -> None:
        keeps = Keeps(
            self.journal,
            self.aside,
            lambda: self.message_ids.key_id,
            self.outbound.rejected_key_ids,
            self.captures.key_ids,
            lambda: self.message_ids.checkpoint(self.intake),
            self._settled,
            lambda: self._record_gaps(self.journal.discovered_gaps()),
        )
        state = self.config.gateway.state_dir
        self.keeper = KeyKeeper(state, self.keys, keeps, self.audit, self.clock)

        def hung_up() -> None:
            self.keeper.look()
            self.captures.look()

        self.control.on_hangup = hung_up

    def _serve_metrics(self, stack: contextlib.AsyncExitStack) -> None:
        self.metrics = MetricsPlace(self.config.metrics, self.telemetry.registry)
        self.metrics.start()
        stack.callback(self.metrics.stop)

    def _start_parts(self) -> None:
        """What runs beside everything else."""
        around = Around(self.telemetry, self.audit, self.notices, self.clock)
        self.packet_filter = Watch(self.config, around)
        self._supervisor.start(Part("tick", self._tick, vital=True))
        self._supervisor.start(Part("message-ids", lambda: self.message_ids.run(self.intake)))
        self._supervisor.start(Part("own-clock", self.own_clock.run))
        self._supervisor.start(Part("audit", self.audit.run))
        self._supervisor.start(Part("audit-syslog", self.auditing.shipper.run))
        self._supervisor.start(Part("accounting", self.outbound.accounting.run))
        self._supervisor.start(Part("keys", self.keeper.run))
        self._supervisor.start(Part("captures", self.captures.run))
        renewer = self.timekeeping.renewer(self.config)
        if renewer is not None:
            self._supervisor.start(Part("renewal", renewer.run))
        self._supervisor.start(Part("housekeeping", self._keep_house, vital=True))

    async def _open_drivers(self, stack: contextlib.AsyncExitStack) -> None:
        ports = Ports(
            admission=self.identity,
            sink=self.intake,
            counters=self.telemetry,
            clock=self.clock,
            aside=self.aside,
            state=self.journal.state,
            commands=self.commands,
            server_tls=self.tls.server,
            server_dtls=self.tls.dtls_server,
            client_tls=self.tls.client,
        )
        self.drivers = DriverSet(ports, self.path, self._settled)
        stack.push_async_callback(self._close_drivers)
        self.drivers.check(self.config.drivers)
        check_metrics(self.config.pipeline)  # the drivers are imported, and their metrics known
        await self.drivers.start(self.config.drivers)

    async def _close_drivers(self) -> None:
        await self.drivers.stop(self.config.gateway.stop_grace_s)

    async def _settled(self) -> None:
        """Return when everything submitted until now has its outcome."""
        done = asyncio.Event()
        self.intake.when_settled(done.set)
        await done.wait()

    def healthy(self) -> bool:
        """Whether the journal commits and every driver does its work."""
        return self.committer.healthy() and self.drivers.healthy()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.intake.tick()

    async def _keep_house(self) -> None:
        """Once a second: watchdog, gauges, ended certificates."""
        watchdog = Watchdog(watchdog_interval_s())
        while True:
            await asyncio.sleep(min(HOUSEKEEPING_S, watchdog.ask_every_s))
            self.timekeeping.tick(self.control.revocations)
            self.auditing.tick(self.notices)
            self.identity.expire()
            self.packet_filter.look()
            self.notices.tick()
            self.fence.tick()
            self.sims.tick()
            left = self.tls.certificate_seconds_left()
            self.telemetry.set("certificate_seconds_left", left, "gateway")
            watchdog.ask(self.clock.monotonic(), self.healthy)

    def _record_gaps(self, gaps: list[Gap]) -> None:
        """What the journal lost becomes records that every destination receives."""
        if not gaps or self._recording_gaps:
            return
        self._recording_gaps = True
        log.error("the journal lost %d ranges; they become Gap records", len(gaps))

        def done(outcome: Outcome) -> None:
            self._recording_gaps = False
            if outcome is Outcome.COMMITTED:
                self.journal.gaps_recorded(gaps)

        self.intake.submit(Submission(gaps, done))

    async def _last_checkpoint(self) -> None:
        try:
            await self.message_ids.checkpoint(self.intake)
        except OSError as error:
            log.error("the message ids can't be written, the next start reads more: %s", error)  # noqa: TRY400  # the cause is told; a trace adds nothing

    def _first_labels(self) -> Labels:
        """Import the drivers, since the hospital may have labelled what they declare, and label."""
        plugins.check(self.config.drivers, self.path.resolve().parent, str(self.path))
        classification = classified(self.config)
        self.audit.record("classification", version=classification.version)
        return self._labels_by(classification)

    def _labels_by(self, classification: Classification) -> Labels:
        name = self.config.gateway.name
        return Labels(classification, self._device, name, self.holds.devices)

    def _device(self, device_id: str) -> Device | None:
        """What the registry tells of a device; of a cabinet, what the configuration does."""
        found = self.identity.device(device_id)
        if found is None and self.cabinets is not None:
            return self.cabinets.device(device_id)
        return found

    def _classify(self, classification: Classification) -> None:
        """Label by a changed classification."""
        if classification != self.intake.classification:
            self.intake.classify(self._labels_by(classification))
            self.audit.record("classification", version=classification.version)

    def _follow(self, config: GatewayConfig) -> None:
        """Hand a changed configuration to every part that just goes on under it."""
        before, self.config = self.config, config
        logging.getLogger().setLevel(config.gateway.log_level.upper())
        self.auditing.follow(config.audit)
        self.identity.follow(config.identity)
        self.journal.follow(config.journal)
        self.committer.follow(config.commit)
        self.aside.follow(config.aside)
        self.captures.follow(config.capture)
        self.local.follow(config.local)
        self.own_clock.follow(config.clock)
        self.sims.follow(config.sim)
        self.associator.follow(config.association)
        self.fence.follow(config.fence)
        if config.pipeline != before.pipeline:
            self.intake.follow(config.pipeline)
            self.infusions.follow(config.pipeline.infusion)
        self.control.follow(config)
        self.notification.follow(config)
        self.packet_filter.follow(config)
        self._begin_counting()


def _positions(journal: Journal) -> str:
    return ", ".join(
        f"{lane.name.lower()} {journal.first_seq(lane)}..{journal.last_seq(lane)}" for lane in Lane
    )


def _waiting(standing: list[DestinationStanding]) -> str:
    """What destinations have not acknowledged, in words; empty when they have everything."""
    return ", ".join(
        f"{each.name} {lane.name.lower()} {lag}"
        for each in standing
        for lane, lag in each.lag.items()
        if lag
    )


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
