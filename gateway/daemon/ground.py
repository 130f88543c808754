"""What every other part stands on: opened first, closed last."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from gateway.auditing import Auditing
from gateway.capture.desk import CaptureDesk
from gateway.capture.shelf import SCOPE as CAPTURE_SCOPE
from gateway.clock import SystemClock
from gateway.config import GatewayConfig, read
from gateway.control import Control, first_in_force
from gateway.domain.labels import Lane
from gateway.domain.ports import Outcome
from gateway.domain.records import TimeMark
from gateway.journal.aside import SCOPE as ASIDE_SCOPE
from gateway.journal.aside import Aside
from gateway.journal.journal import Journal
from gateway.journal.lock import DirectoryLock
from gateway.keykeeper import KEYS_FILE, SCOPES
from gateway.network.holds import Holds
from gateway.packetfilter.ruleset import REFUSED, STRANGERS
from gateway.preflight import require_own_certificate
from gateway.telemetry import Telemetry
from gateway.timekeeping import secure_time
from security.audit import AuditLog
from security.files import sync_directory
from security.identity import IdentityService
from security.scopes import ScopeKeys
from security.sealing import KeyRing
from security.timefloor import Standing
from security.tls import TlsContexts


class Ground:
    """Configuration, clock, certificates; when it is open: audit log, identities, keys, journal."""

    audit: AuditLog
    identity: IdentityService
    keys: ScopeKeys
    journal: Journal
    aside: Aside
    captures: CaptureDesk

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
        self.tls = TlsContexts(self.config.tls.files, self.time, self._time_counts)
        self.holds = Holds()
        """Devices of which nothing may leave."""

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        """Open everything in order; ``stack`` closes it in reverse.

        Raises:
            WardgateError, OSError: something can't be opened.
        """
        config, clock, telemetry = self.config, self.clock, self.telemetry
        self._begin_counting()
        state = config.gateway.state_dir
        if not state.exists():
            state.mkdir(mode=0o700, parents=True)
            sync_directory(state.parent)

        # A clock that jumps ahead must not make half a year pass.
        self.auditing = Auditing(config, clock, telemetry, self._time_counts)
        self.audit = self.auditing.log
        stack.callback(self.audit.close)
        self.identity = IdentityService(config.identity, self.time, telemetry, self.audit)

        # The scopes' keys are one process's at a time, as the journal is.
        stack.callback(DirectoryLock(str(state)).close)
        ring = KeyRing.load(config.gateway.seal_keys)
        self.keys = ScopeKeys(state / KEYS_FILE, ring, SCOPES, clock.now_us)
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

    def follow(self, config: GatewayConfig) -> None:
        """Go on under a changed configuration."""
        self.config = config
        self.auditing.follow(config.audit)
        self.identity.follow(config.identity)
        self.journal.follow(config.journal)
        self.aside.follow(config.aside)
        self.captures.follow(config.capture)
        self._begin_counting()

    def _time_counts(self) -> bool:
        return self.time.standing is Standing.AGREED

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
