"""Every metric of the gateway, declared once; labels have few values, never a device's id.

Parts count through the ``Counters`` port by the names below; a name that is not declared
raises KeyError. Names get the prefix ``wardgate_``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, Literal, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.metrics_core import Metric

# A series per counter that nobody asked for.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped


class Declared(NamedTuple):
    """One metric: its kind, help text and label names."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


METRICS: Mapping[str, Declared] = {
    # From the devices
    "accepted": Declared("counter", "Device messages that were understood", ("driver",)),
    "acknowledged": Declared("counter", "Device messages acknowledged after commit", ("driver",)),
    "duplicates": Declared("counter", "Device messages stored before and dropped", ("driver",)),
    "malformed": Declared("counter", "Payloads and frames set aside", ("driver", "reason")),
    "refused": Declared("counter", "Peers and requests refused", ("reason", "transport")),
    "sim_mismatches": Declared("gauge", "Devices that the network knows by other words", ("kind",)),
    "devices_held": Declared("gauge", "Devices in quarantine: collected, and not released"),
    "fence_devices": Declared("gauge", "Devices by where they are to their fence", ("state",)),
    "fence_silent": Declared("gauge", "1 while the network tells nothing of its zones"),
    "fence_told": Declared(
        "counter",
        "Words of the network: in, out, old, unknown_device, unknown_zone",
        ("what",),
    ),
    "link_states": Declared(
        "counter",
        "Records of devices' links: cell, zone, quality, session_ended, unheard, restarted",
        ("cause",),
    ),
    "not_taken": Declared("counter", "Device messages left unacknowledged", ("outcome",)),
    "sessions": Declared("gauge", "Live device sessions", ("transport",)),
    "handshakes": Declared("counter", "Completed TLS and DTLS handshakes", ("transport",)),
    "handshakes_failed": Declared("counter", "Failed handshakes", ("transport", "reason")),
    "link_losses": Declared("counter", "Serial and outgoing links lost", ("driver",)),
    "rfid_reports": Declared("counter", "Reports of RFID readers with tags in them", ()),
    "rfid_reads": Declared("counter", "Times that RFID readers read a tag", ()),
    "paused_readers": Declared("gauge", "Sessions not read because the journal is behind", ()),
    # Pipeline
    "alarms": Declared("counter", "Alarm records raised", ("priority", "phase", "source")),
    "alarms_active": Declared("gauge", "Alarm conditions that are active", ("priority",)),
    "beyond_window": Declared(
        "counter", "Device messages older than the duplicate window, kept", ("driver",)
    ),
    "marked_values": Declared("counter", "Values that are not valid", ("quality",)),
    "time_quality": Declared("counter", "Reports by quality of device time", ("quality",)),
    "time_marks": Declared(
        "counter", "Reports by what is particular about when they were measured", ("mark",)
    ),
    "clock_synchronised": Declared("gauge", "Whether a time service vouches for the clock"),
    "clock_error_seconds": Declared("gauge", "The greatest that the clock may be off"),
    "clock_offset_seconds": Declared("gauge", "Clock minus true time, as its source estimates"),
    "clock_stratum": Declared("gauge", "How far the clock is from a reference clock"),
    "clock_contradicted": Declared("gauge", "1 while the platform's time contradicts the clock's"),
    "clock_steps": Declared("counter", "Times that the clock was set", ("way",)),
    "wave_blocks": Declared("counter", "Blocks of waveforms accepted", ()),
    "wave_samples": Declared("counter", "Samples of waveforms accepted", ()),
    # The MEC platform
    "mec_calls": Declared("counter", "Calls of the platform", ("result",)),
    "network_calls": Declared("counter", "Calls of the operator's network", ("result",)),
    "network_quality": Declared(
        "gauge",
        "Devices whose flow is to be first, by what has become of their session",
        ("state",),
    ),
    "network_told": Declared("counter", "What the core network told", ("kind",)),
    "network_located": Declared("counter", "Answers whether a device is in an area", ("verdict",)),
    "mec_failures": Declared("counter", "Looks at the platform that failed", ("what",)),
    "mec_told": Declared("counter", "What the platform told", ("kind",)),
    "mec_state": Declared("gauge", "1 for where the gateway stands with it", ("state",)),
    "mec_clock_offset_seconds": Declared("gauge", "The platform's clock minus the gateway's", ()),
    "mec_clock_traceable": Declared("gauge", "1: the platform's clock is locked to UTC", ()),
    "held": Declared("gauge", "1 while nothing may leave, whatever the policy says", ("reason",)),
    # People on site
    "local_calls": Declared("counter", "Calls of people on site", ("method", "result")),
    # Cabinets
    "tag_reads": Declared(
        "counter", "Tags read by what became of it: placed, badge, no_badge, unplaced", ("what",)
    ),
    "cabinet_events": Declared("counter", "What became of items in cabinets", ("action",)),
    "cabinet_accesses": Declared("counter", "Door sessions of cabinets", ("verdict",)),
    "cabinet_items": Declared("gauge", "Items in cabinets", ("state",)),
    "cabinets_unseen": Declared("gauge", "Cabinets that are not seen, or not all of them", ()),
    # Whose records are
    "association_events": Declared(
        "counter", "Events of patients and beds that were said", ("source", "outcome")
    ),
    "association_quarantined": Declared(
        "gauge", "Times in beds that belong to nobody until resolved", ()
    ),
    "association_forgotten": Declared("counter", "Events beyond horizon or limit", ()),
    # Journal
    "journaled": Declared("counter", "Records committed", ("lane",)),
    "journal_bytes": Declared("gauge", "Bytes on disk", ("lane",)),
    "journal_limit_bytes": Declared("gauge", "Byte limit", ("lane",)),
    "journal_oldest_seconds": Declared("gauge", "Age of the oldest unsent record", ("lane",)),
    "journal_commit_seconds": Declared("histogram", "Group commit, write and sync", ("lane",)),
    "journal_dropped": Declared(
        "counter", "Records dropped unsent at the byte limit, which Gaps tell", ("lane",)
    ),
    "journal_refused": Declared("counter", "Records refused at the byte limit", ("lane",)),
    "journal_quarantined_bytes": Declared("counter", "Damaged bytes set aside", ("lane",)),
    "set_aside": Declared("counter", "Samples kept for the engineer", ("driver", "reason")),
    # Uplink
    "released": Declared(
        "counter", "Records released or withheld", ("destination", "lane", "treatment")
    ),
    "lag_records": Declared(
        "gauge", "Records not yet acknowledged by the destination", ("destination", "lane")
    ),
    "sent_bytes": Declared("counter", "Batch bytes sent", ("destination", "lane")),
    "send_failures": Declared("counter", "Streams that broke", ("destination", "reason")),
    "misdirected": Declared(
        "counter", "Refusals of whom a destination's name leads to", ("destination", "reason")
    ),
    "rejected": Declared("counter", "Batches rejected by the receiver", ("destination", "kind")),
    "connected": Declared("gauge", "1 while the stream is up", ("destination",)),
    "alarm_delivery_seconds": Declared(
        "histogram", "Receive time of the cause to the destination's ack", ("destination",)
    ),
    "delivery_seconds": Declared(
        "histogram", "Receive time of a batch's oldest record to ack", ("destination",)
    ),
    "audit_heads_sent": Declared(
        "counter", "Heads of the audit log carried to a receiver", ("destination",)
    ),
    "policy_loaded": Declared("gauge", "1 when a verified policy is in force", ()),
    # The packet filter, as root's service tells it
    "packetfilter_packets": Declared("counter", "Packets by the rule that judged them", ("rule",)),
    "packetfilter_bytes": Declared("counter", "Bytes by the rule that judged them", ("rule",)),
    "packetfilter_missing": Declared(
        "gauge", "1 while the packet filter that is required does not say that it is in force", ()
    ),
    # The audit log
    "audit_bytes": Declared("gauge", "Bytes of the audit log on disk", ()),
    "audit_limit_bytes": Declared("gauge", "Byte limit of the audit log", ()),
    "audit_oldest_seconds": Declared("gauge", "Age of the oldest entry that is kept", ()),
    "audit_entries": Declared("gauge", "Entries ever written to the audit log", ()),
    "audit_head_age_seconds": Declared("gauge", "Since the last signed head", ()),
    "audit_dropped_early": Declared("gauge", "Files that went before their time", ()),
    "audit_lost": Declared("gauge", "Entries that could not be written", ()),
    "audit_damaged": Declared("gauge", "1 when the log was found damaged at the start", ()),
    "audit_syslog_connected": Declared("gauge", "1 while the collector takes entries", ()),
    "audit_syslog_lag": Declared("gauge", "Entries that the collector has not confirmed", ()),
    "audit_syslog_sent": Declared("counter", "Entries sent to the collector, repeats too", ()),
    # Alarms to people
    "notifications": Declared("counter", "What became of notifications", ("outlet", "result")),
    "notification_seconds": Declared(
        "histogram", "Receive time of the cause to the outlet's receipt", ("outlet",)
    ),
    "notification_waiting": Declared("gauge", "Notifications that wait for an outlet", ("outlet",)),
    "notification_outlet_failing": Declared(
        "gauge", "1 while an outlet does not take notifications", ("outlet",)
    ),
    "notification_outlets_failing": Declared("gauge", "How many of them there are", ()),
    "notification_alarms": Declared("gauge", "Alarms that concern people, by state", ("state",)),
    "notification_escalations": Declared("counter", "Levels that were told", ("level",)),
    "notification_answers": Declared("counter", "Acknowledgements by people", ("result",)),
    "notifications_unrouted": Declared("counter", "Alarms that no rule takes", ("priority",)),
    "notifications_overflow": Declared(
        "counter", "Alarms that were not told since too many stand", ("priority",)
    ),
    # The gateway itself
    "certificate_seconds_left": Declared("gauge", "Until a certificate of ours ends", ("use",)),
    "renewals": Declared("counter", "Renewals of our certificate", ("result",)),
    "clock_wrong": Declared("gauge", "1 while the wall clock does not count", ("how",)),
    "fleet_connected": Declared(
        "gauge", "1 while attached to the fleet service; -1 without one", ()
    ),
    "revocations": Declared("gauge", "Entries in the revocation set", ()),
    "revocations_age_seconds": Declared("gauge", "Since the revocation list was confirmed", ()),
    "ready": Declared("gauge", "1 when journal, policy and listeners are ready", ()),
}

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)


class _TenantRegistry(CollectorRegistry):
    """Gives every sample the label ``tenant``, so that several gateways' can be told apart."""

    def __init__(self, tenant: str) -> None:
        super().__init__()
        self._tenant = tenant

    def collect(self) -> Iterator[Metric]:
        """Every metric, with the label."""
        for metric in super().collect():
            made = Metric(metric.name, metric.documentation, metric.type, metric.unit)
            made.samples = [
                each._replace(labels={**each.labels, "tenant": self._tenant})
                for each in metric.samples
            ]
            yield made

    def restricted_registry(self, names: Iterable[str]) -> Any:
        """Whoever asks for some metrics gets all: the library would leave the label out."""
        del names
        return self


class Telemetry:
    """The Counters port over a Prometheus registry."""

    def __init__(
        self,
        metrics: Mapping[str, Declared] = METRICS,
        prefix: str = "wardgate",
        tenant: str = "",
    ) -> None:
        self.registry = _TenantRegistry(tenant) if tenant else CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}
        """By name and labels: looking one up in prometheus_client costs more than counting."""
        for name, declared in metrics.items():
            full = f"{prefix}_{name}"
            if declared.kind == "counter":
                self._counters[name] = Counter(
                    full, declared.help, declared.labels, registry=self.registry
                )
            elif declared.kind == "gauge":
                self._gauges[name] = Gauge(
                    full, declared.help, declared.labels, registry=self.registry
                )
            else:
                self._histograms[name] = Histogram(
                    full, declared.help, declared.labels, registry=self.registry, buckets=_BUCKETS
                )

    def begin(self, name: str, *labels: Iterable[str]) -> None:
        """Show a counter as 0 for each combination of labels.

        A series that appears with its first event has no increase that an alert rule could see.
        """
        for each in product(*labels):
            self.add(name, *each, n=0)

    def add(self, name: str, *labels: str, n: float = 1) -> None:
        """Add ``n`` to a counter."""
        child = self._children.get((name, labels))
        if child is None:
            child = self._child(self._counters[name], name, labels)
        child.inc(n)

    def _child(self, metric: Any, name: str, labels: tuple[str, ...]) -> Any:
        child = metric.labels(*labels) if labels else metric
        self._children[(name, labels)] = child
        return child

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        child = self._children.get((name, labels))
        if child is None:
            child = self._child(self._gauges[name], name, labels)
        child.set(value)

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Record one duration."""
        child = self._children.get((name, labels))
        if child is None:
            child = self._child(self._histograms[name], name, labels)
        child.observe(seconds)
