"""The gateway's audit log and who hears of its state: metrics, alarms, the syslog collector."""

from __future__ import annotations

from collections.abc import Callable

from gateway.config import GatewayConfig
from gateway.domain.ports import Clock
from gateway.notices import Notices
from gateway.telemetry import Telemetry
from security.audit import AuditConfig, AuditLog, load_or_create_key
from security.audit.retention import DAY_US
from security.audit.syslog import Shipper


class Auditing:
    """Made before everything else that has something to record."""

    def __init__(
        self,
        config: GatewayConfig,
        clock: Clock,
        telemetry: Telemetry,
        time_counts: Callable[[], bool],
    ) -> None:
        """Open the log.

        Args:
            config: the gateway's.
            clock: dates the entries.
            telemetry: for ``audit_…``.
            time_counts: whether the clock may decide that something is old enough to go.

        Raises:
            ConfigError, TokenError: its key can't be used.
            OSError: it can't be written.
        """
        state, name = config.gateway.state_dir, f"gateway/{config.gateway.name}"
        key = load_or_create_key(state / "audit.key")
        self._config: AuditConfig = config.audit
        self._clock = clock
        self._telemetry = telemetry
        self._lost = 0
        self._damage_told = False
        self.log = AuditLog(state / "audit", key, clock, config.audit, name, time_counts)
        self.log.record("start", gateway=config.gateway.name)
        self.shipper = Shipper(
            state / "audit", name, state / "audit-syslog.json", config.tls.files, clock, telemetry
        )
        self.shipper.follow(config.audit.syslog)

    def follow(self, config: AuditConfig) -> None:
        """Go on under a changed ``[audit]``."""
        self._config = config
        self.log.follow(config)
        self.shipper.follow(config.syslog)

    def tick(self, notices: Notices) -> None:
        """Once a second: gauges, and what an engineer must hear of."""
        standing, now_us, telemetry = self.log.standing(), self._clock.now_us(), self._telemetry
        age_us = max(0, now_us - standing.oldest_us)
        telemetry.set("audit_bytes", standing.bytes)
        telemetry.set("audit_limit_bytes", self._config.bytes_max)
        telemetry.set("audit_oldest_seconds", age_us / 1e6)
        telemetry.set("audit_entries", standing.entries)
        telemetry.set("audit_dropped_early", standing.dropped_early)
        telemetry.set("audit_lost", standing.lost)
        telemetry.set("audit_damaged", float(standing.damaged))
        signed_us = standing.head.us if standing.head is not None else now_us
        behind_s = max(0, now_us - signed_us) / 1e6 if standing.unsigned > 1 else 0.0
        telemetry.set("audit_head_age_seconds", behind_s)
        lag = standing.entries - self.shipper.confirmed if self.shipper.is_on else 0
        telemetry.set("audit_syslog_lag", max(0, lag))
        notices.condition(
            "audit_nearly_full",
            "The audit log is near its disk limit: its oldest entries will go early",
            active=standing.nearly_full,
        )
        notices.condition(
            "audit_short",
            "The audit log's disk limit took entries before their time",
            active=bool(standing.dropped_early) and age_us < self._config.keep_days * DAY_US,
        )
        # While each second brings losses it is one alarm; the first second without ends it.
        losing, self._lost = standing.lost > self._lost, standing.lost
        notices.condition("audit_lost", "The audit log can't be written", active=losing)
        if standing.damaged and not self._damage_told:
            self._damage_told = True
            notices.occurrence(
                "audit_damaged", "The audit log was found damaged; it is kept, another was begun"
            )
