"""What the gateway does about its own clock and its own certificate.

Once a second the clocks are compared (:mod:`security.timefloor`); when the wall clock ceases to
count, or counts again, the TLS contexts are built anew and a condition is raised or ended. A
renewed certificate is for the next handshakes; sessions that stand keep theirs.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from gateway.config import GatewayConfig
from gateway.domain.errors import ConfigError
from gateway.domain.ports import Clock, Counters
from gateway.notices import Notices
from gateway.renewer import RESULTS, Renewer, Surroundings, by_est
from security import pki
from security.audit import AuditLog
from security.revocations_in_force import RevocationsInForce
from security.timefloor import SecureTime, Standing
from security.tls import TlsContexts

FLOOR_FILE = "time-floor"
CONDITIONS = {
    Standing.BEHIND: ("clock_behind_floor", "The clock is behind a time that was proved"),
    Standing.AHEAD: ("clock_ahead", "The clock has jumped ahead and is not believed"),
}

log = logging.getLogger(__name__)


class Contexts(Protocol):
    """What is built anew."""

    def reload(self) -> None: ...


class Timekeeping:
    """Watches clock and certificate; to be used on the loop's thread."""

    def __init__(
        self,
        time: SecureTime,
        tls: TlsContexts,
        counters: Counters,
        audit: AuditLog,
        notices: Notices,
    ) -> None:
        """Take the parts, and say what is wrong already."""
        self._time = time
        self._tls: Contexts = tls
        self._counters = counters
        self._audit = audit
        self._notices = notices
        self._saving: asyncio.Task[None] | None = None
        for result in RESULTS:
            counters.add("renewals", result, n=0)
        self._say()

    def tick(self, revocations: RevocationsInForce | None) -> None:
        """To be called every second."""
        before = self._time.standing
        if revocations is not None:
            self._time.proved(revocations.current.issued_us)
        self._time.look()
        if self._time.standing is not before:
            self._audit.record("clock", was=before.value, now=self._time.standing.value)
            self._say()
            self.reload()
        if self._time.save_due() and (self._saving is None or self._saving.done()):
            self._saving = asyncio.create_task(asyncio.to_thread(self._time.save))

    def reload(self) -> None:
        """Have new handshakes use the present files and the present standing of the clock."""
        try:
            self._tls.reload()
        except ConfigError as error:
            log.error("the contexts before stay in force: %s", error)  # noqa: TRY400  # the cause is told

    def renewer(self, config: GatewayConfig) -> Renewer | None:
        """For the gateway's own certificate; None where that isn't possible."""

        def on_trouble(reason: str) -> None:
            text = f"The certificate is not renewed: {reason}"
            self._notices.condition("renewal_fails", text, active=bool(reason))

        return by_est(
            config.tls.files,
            config.renewal,
            self._time,
            config.identity.trust_domain,
            Surroundings(
                counted=lambda result: self._counters.add("renewals", result),
                audit=lambda result, serial, words: self._audit.record(
                    "renewal", result=result, serial=serial, words=words
                ),
                on_swapped=self.reload,
                on_trouble=on_trouble,
                proved=self._time.proved,
            ),
            checks_time=lambda: self._time.standing is Standing.AGREED,
        )

    def _say(self) -> None:
        for standing, (condition, text) in CONDITIONS.items():
            active = self._time.standing is standing
            self._counters.set("clock_wrong", float(active), standing.value)
            self._notices.condition(condition, text, active=active)


def secure_time(config: GatewayConfig, clock: Clock) -> SecureTime:
    """The gateway's time: the kept floor, and what its own certificate proves.

    Raises:
        ConfigError: the certificate can't be read.
    """
    made = SecureTime(config.gateway.state_dir / FLOOR_FILE, clock)
    issued = pki.load_certificates(config.tls.cert)[0].not_valid_before_utc
    made.proved(round(issued.timestamp() * 1e6))
    return made
