"""The report of a run, and its verdict: which promises were kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from demo import account, fence
from demo.account import Cabinets, DevicesSaw, Held
from demo.fence import Fenced
from demo.platform import OnPlatform, as_report
from demo.platform import broken as broken_on_platform
from demo.scrape import Samples, matching, total

REFUSALS = (
    "no_certificate",
    "untrusted",
    "expired",
    "revoked",
    "identity_mismatch",
    "malformed",
)
TREATMENTS = {
    "pass": "passed",
    "aggregate": "aggregated",
    "pseudonymise": "pseudonymised",
    "generalise": "generalised",
    "mask": "masked",
    "withhold": "withheld",
}
SELDOM = frozenset(("generalised",))
"""Not in the report's contract: told only where it happened."""
ALARM_LABELS = ("high", "medium", "low")


class Ledger(NamedTuple):
    """What the gateway's ledger says, which a restart does not reset."""

    reports: dict[str, dict[str, int]]
    """Destination -> treatment -> device messages."""
    alarms: dict[str, int]
    """Released, by destination."""
    telemetry: dict[str, int]
    """Records of that lane that were released, by destination."""
    notices: int
    """Records of that lane that are the gateway's own: connections, gaps."""
    waiting: dict[tuple[str, str], int] = {}  # noqa: RUF012  # never changed
    """(Destination, lane) -> records that were released when the gateway was stopped, and not
    acknowledged: they leave, or leave again, after its next start."""
    quarantined: int = 0
    """Device messages that were withheld from the core because their device was held back."""
    breached: int = 0
    """Records of held devices that were released nevertheless, to anybody."""

    @property
    def journaled(self) -> int:
        """Device messages: each has an entry for the core, also when it was withheld."""
        return sum(self.reports.get("core", {}).values())

    @property
    def entered(self) -> int:
        """Records of telemetry: each has an entry for the core."""
        return self.journaled + self.notices


class Evidence(NamedTuple):
    """Everything that a report is made from."""

    seconds: float
    devices: DevicesSaw
    core: Held
    vendor: Held
    ledger: Ledger
    gateway: Samples
    """Sums over all lives of the gateway; the last look at it was when everything had left."""
    committed: int
    """Records of telemetry that it had counted when the ward had stopped."""
    entered: int
    """Of these, in its ledger when everything had left, before the last look."""
    gateway_restarts: int
    vendor_leaks: list[str]
    cabinets: Cabinets
    platform: OnPlatform | None
    """None: on none."""
    fenced: Fenced | None
    """None: without a platform."""
    rss_mib: dict[str, float]
    cpu_seconds: dict[str, float]


def build(evidence: Evidence) -> dict[str, Any]:
    """The report as the design has it; counts are device messages."""
    devices, core, vendor, gateway = (
        evidence.devices,
        evidence.core,
        evidence.vendor,
        evidence.gateway,
    )
    delays = account.latencies_us(devices, core)
    fenced, quarantined = evidence.fenced, evidence.ledger.quarantined
    explained = fenced.explained(quarantined) if fenced is not None else 0
    missing = len(account.lost(devices, core)) - explained
    return {
        "seconds": round(evidence.seconds, 1),
        "devices_saw": {
            "by_transport": devices.by_transport,
            "sent": devices.sent,
            "acknowledged": devices.acknowledged,
        },
        "stores_hold": {
            name: {"reports": held.reports, "duplicates": held.duplicates, "gaps": held.gaps}
            for name, held in (("core", core), ("vendor", vendor))
        },
        "gateway_says": {
            "accepted": max(
                int(total(gateway, "wardgate_accepted_total")), evidence.ledger.journaled
            ),
            "journaled": evidence.ledger.journaled,
            "release": {
                destination: {
                    word: counts.get(treatment, 0)
                    for treatment, word in TREATMENTS.items()
                    if word not in SELDOM or counts.get(treatment)
                }
                for destination, counts in evidence.ledger.reports.items()
            },
            "refused": {
                reason: int(total(gateway, "wardgate_refused_total", reason=reason))
                for reason in REFUSALS
            }
            # Payloads and frames; a connection that was refused for its frame is among them.
            | {"malformed": int(total(gateway, "wardgate_malformed_total"))},
        },
        "lost": max(0, missing - core.gap_reports),
        "alarms": {
            "raised": _raised(evidence),
            "delivered": core.alarms,
            "p50_ms": account.quantile_ms(core.alarm_delays_us, 0.5),
            "p99_ms": account.quantile_ms(core.alarm_delays_us, 0.99),
        },
        "latency_ms": {
            "p50": account.quantile_ms(delays, 0.5),
            "p99": account.quantile_ms(delays, 0.99),
            "p999": account.quantile_ms(delays, 0.999),
        },
        "cabinets": evidence.cabinets._asdict(),
        **({"platform": as_report(evidence.platform)} if evidence.platform else {}),
        **({"fence": fence.as_report(fenced, quarantined)} if fenced is not None else {}),
        "rss_mib": {name: round(value, 1) for name, value in evidence.rss_mib.items()},
        "cpu_seconds": {name: round(value, 2) for name, value in evidence.cpu_seconds.items()},
    }


def _raised(evidence: Evidence) -> int:
    """Alarms, without those that the gateway raised in the moment of its stop."""
    released = evidence.ledger.alarms.get("core", 0)
    missing = max(0, released - evidence.core.alarms)
    return released - min(missing, evidence.ledger.waiting.get(("core", "alarms"), 0))


def broken_promises(evidence: Evidence, report: dict[str, Any]) -> list[str]:
    """What was promised and not kept, in words; empty when all is well."""
    core, vendor, ledger = evidence.core, evidence.vendor, evidence.ledger
    broken: list[str] = []

    def promise(kept: bool, otherwise: str) -> None:
        if not kept:
            broken.append(otherwise)

    promise(report["devices_saw"]["acknowledged"] > 0, "no message was acknowledged")
    for transport, counts in report["devices_saw"]["by_transport"].items():
        promise(counts["sent"] > 0, f"no device sent anything over {transport}")
    promise(report["lost"] == 0, f"{report['lost']} acknowledged messages are not at the core")
    promise(core.duplicates == 0, f"{core.duplicates} messages are stored twice at the core")
    promise(vendor.duplicates == 0, f"{vendor.duplicates} are stored twice at the vendor")
    promise(
        not evidence.vendor_leaks,
        f"the vendor's store names devices that were withheld: {evidence.vendor_leaks[:3]}",
    )
    for name, held in (("core", core), ("vendor", vendor)):
        released = ledger.telemetry.get(name, 0)
        arrived = held.telemetry + held.repeats_refused
        promise(
            released - ledger.waiting.get((name, "telemetry"), 0) <= arrived <= released,
            f"the ledger released {released} records to {name}, which holds {held.telemetry}"
            f" and refused {held.repeats_refused} repeats",
        )
    if evidence.platform is not None:
        broken += broken_on_platform(evidence.platform)
    if evidence.fenced is not None:
        broken += fence.broken(evidence.fenced, ledger.quarantined, evidence.gateway_restarts)
    promise(not ledger.breached, f"{ledger.breached} records of held devices were released")
    cabinets = evidence.cabinets
    promise(
        cabinets.right + cabinets.doubted == cabinets.items,
        f"{cabinets.items - cabinets.right - cabinets.doubted} of {cabinets.items} things lie"
        " elsewhere than the core has it, without a doubt",
    )
    raised = report["alarms"]["raised"]
    promise(raised == core.alarms, f"{raised} alarms were raised, {core.alarms} are at the core")
    if evidence.gateway_restarts == 0:  # a killed gateway's counters miss its last second
        acknowledged = report["devices_saw"]["acknowledged"]
        accepted = int(total(evidence.gateway, "wardgate_accepted_total"))
        promise(
            accepted >= acknowledged,
            f"the gateway accepted {accepted}, devices saw {acknowledged} acknowledged",
        )
        # It says more until it ends, such as of links: behind the last look at its counters.
        promise(
            evidence.committed <= ledger.entered,
            f"the gateway journaled {evidence.committed} records of telemetry, its ledger has"
            f" {ledger.entered}",
        )
        committed = committed_telemetry(evidence.gateway)
        promise(
            evidence.entered <= committed,
            f"the ledger had {evidence.entered} records of telemetry, of which the gateway"
            f" journaled {committed}",
        )
    return broken


def committed_telemetry(gateway: Samples) -> int:
    """Records of that lane in the journal."""
    return int(total(gateway, "wardgate_journaled_total", lane="telemetry"))


def summary(report: dict[str, Any], broken: list[str], path: Path | None) -> str:
    """A few lines for the terminal."""
    saw, holds, says = report["devices_saw"], report["stores_hold"], report["gateway_says"]
    lines = [
        "",
        f"  devices saw    sent {saw['sent']}, acknowledged {saw['acknowledged']}  "
        + ", ".join(f"{name} {c['sent']}" for name, c in sorted(saw["by_transport"].items())),
        (
            f"  core holds     {holds['core']['reports']} reports, "
            f"{holds['core']['duplicates']} twice, {holds['core']['gaps']} gaps"
        ),
        f"  vendor holds   {holds['vendor']['reports']} reports",
        *(
            f"  released to    {name}: "
            + ", ".join(f"{count} {word}" for word, count in counts.items() if count)
            for name, counts in says["release"].items()
        ),
        "  refused        "
        + ", ".join(f"{reason} {count}" for reason, count in says["refused"].items()),
        f"  lost           {report['lost']}",
        "  cabinets       {right} of {items} things where they are, {doubted} in doubt".format(
            **report["cabinets"]
        ),
        *(fence.summary(report["fence"]) if "fence" in report else ()),
        (
            f"  alarms         {report['alarms']['raised']} raised, "
            f"{report['alarms']['delivered']} delivered, p99 {report['alarms']['p99_ms']} ms"
        ),
        (
            f"  latency        p50 {report['latency_ms']['p50']} ms, "
            f"p99 {report['latency_ms']['p99']} ms"
        ),
    ]
    lines += [f"  BROKEN         {what}" for what in broken] or ["  every promise was kept"]
    if path is not None:
        lines.append(f"  report         {path}")
    return "\n".join(lines)


def alarm_counts(samples: Samples) -> dict[str, int]:
    """Active alarms by priority, for the live view."""
    return {
        labels["priority"]: int(value)
        for labels, value in matching(samples, "wardgate_alarms_active")
    }
