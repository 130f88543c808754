"""Write the Grafana dashboards as code; ``--check`` fails when the files have drifted.

Every query is listed by ``queries()``, and a test runs each against Prometheus and the demo.
No Grafana was available to look at them: layout and units are unverified on screen.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef

OUT = Path(__file__).resolve().parent.parent / "ansible/roles/monitoring/files/dashboards"
WINDOW = "1m"


class Panel(NamedTuple):
    """One panel: a title, a unit, and queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    number: bool = False


class Row(NamedTuple):
    """A titled row of panels."""

    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate(wardgate_{metric}_total[{WINDOW}]))"


def _quantile(q: float, metric: str, by: str) -> str:
    return (
        f"histogram_quantile({q}, "
        f"sum by (le, {by}) (rate(wardgate_{metric}_seconds_bucket[{WINDOW}])))"
    )


GATEWAY = (
    Row(
        "Now",
        (
            Panel("Ready", "none", (("wardgate_ready", "{{instance}}"),), number=True),
            Panel("Policy", "none", (("wardgate_policy_loaded", "{{instance}}"),), number=True),
            Panel(
                "Sessions",
                "none",
                (("sum by (transport) (wardgate_sessions)", "{{transport}}"),),
                number=True,
            ),
            Panel(
                "Active alarms",
                "none",
                (("sum by (priority) (wardgate_alarms_active)", "{{priority}}"),),
                number=True,
            ),
        ),
    ),
    Row(
        "Acknowledged means durable",
        (
            Panel(
                "Device messages",
                "cps",
                (
                    (_rate("accepted", "driver"), "accepted {{driver}}"),
                    (_rate("acknowledged", "driver"), "acknowledged {{driver}}"),
                ),
            ),
            Panel("Repeated messages", "cps", ((_rate("duplicates", "driver"), "{{driver}}"),)),
            Panel(
                "Commit and sync",
                "s",
                (
                    (_quantile(0.5, "journal_commit", "lane"), "p50 {{lane}}"),
                    (_quantile(0.99, "journal_commit", "lane"), "p99 {{lane}}"),
                ),
            ),
        ),
    ),
    Row(
        "Nothing is lost in silence",
        (
            Panel(
                "Journal",
                "bytes",
                (
                    ("sum by (instance, lane) (wardgate_journal_bytes)", "{{lane}}"),
                    ("max by (instance) (wardgate_journal_limit_bytes)", "limit"),
                ),
            ),
            Panel(
                "Oldest unsent record",
                "s",
                (("max by (lane) (wardgate_journal_oldest_seconds)", "{{lane}}"),),
            ),
            Panel("Set aside", "cps", ((_rate("malformed", "driver, reason"), "{{reason}}"),)),
            Panel(
                "Waveforms",
                "cps",
                (
                    (f"sum(rate(wardgate_wave_samples_total[{WINDOW}]))", "samples"),
                    (_rate("journal_dropped", "lane"), "records dropped {{lane}}"),
                ),
            ),
        ),
    ),
    Row(
        "Nothing leaves unless a rule releases it",
        (
            Panel(
                "Released and withheld",
                "cps",
                ((_rate("released", "destination, treatment"), "{{destination}} {{treatment}}"),),
            ),
            Panel(
                "Waiting",
                "none",
                (
                    (
                        "sum by (destination, lane) (wardgate_lag_records)",
                        "{{destination}} {{lane}}",
                    ),
                ),
            ),
            Panel(
                "Alarm to destination",
                "s",
                (
                    (_quantile(0.5, "alarm_delivery", "destination"), "p50 {{destination}}"),
                    (_quantile(0.99, "alarm_delivery", "destination"), "p99 {{destination}}"),
                ),
            ),
            Panel("Streams", "none", (("wardgate_connected", "{{destination}}"),)),
            Panel(
                "Packets by the kernel's rule",
                "pps",
                ((_rate("packetfilter_packets", "rule"), "{{rule}}"),),
            ),
            Panel(
                "Misdirected",
                "cps",
                ((_rate("misdirected", "destination, reason"), "{{destination}} {{reason}}"),),
            ),
            Panel(
                "Report to destination",
                "s",
                (
                    (_quantile(0.5, "delivery", "destination"), "p50 {{destination}}"),
                    (_quantile(0.99, "delivery", "destination"), "p99 {{destination}}"),
                ),
            ),
        ),
    ),
    Row(
        "No certificate, no data",
        (
            Panel("Refused", "cps", ((_rate("refused", "reason"), "{{reason}}"),)),
            Panel("Handshakes", "cps", ((_rate("handshakes", "transport"), "{{transport}}"),)),
            Panel(
                "Certificate days left",
                "d",
                (("wardgate_certificate_seconds_left / 86400", "{{use}}"),),
            ),
            Panel("Revocations", "none", (("wardgate_revocations", "{{instance}}"),)),
        ),
    ),
    Row(
        "Devices are where they may be",
        (
            Panel(
                "Devices and their fence",
                "none",
                (("sum by (state) (wardgate_fence_devices)", "{{state}}"),),
            ),
            Panel(
                "Known by other words",
                "none",
                (("sum by (kind) (wardgate_sim_mismatches)", "{{kind}}"),),
            ),
            Panel("In quarantine", "none", (("wardgate_devices_held", "{{instance}}"),)),
            Panel(
                "The platform is silent, or nothing leaves",
                "none",
                (
                    ("wardgate_fence_silent", "silent {{instance}}"),
                    ("sum by (instance, reason) (wardgate_held)", "held {{instance}} {{reason}}"),
                ),
            ),
        ),
    ),
    Row(
        "Time and quality are data",
        (
            Panel("Time quality", "cps", ((_rate("time_quality", "quality"), "{{quality}}"),)),
            Panel("Times marked", "cps", ((_rate("time_marks", "mark"), "{{mark}}"),)),
            Panel(
                "Gateways' clocks may be off by",
                "s",
                (("wardgate_clock_error_seconds", "{{instance}}"),),
            ),
            Panel("Marked values", "cps", ((_rate("marked_values", "quality"), "{{quality}}"),)),
            Panel("Alarm records", "cps", ((_rate("alarms", "priority, phase"), "{{priority}}"),)),
        ),
    ),
)


def _number(title: str, expression: str, legend: str) -> Panel:
    return Panel(title, "none", ((expression, legend),), number=True)


FLEET = (
    Row(
        "Devices",
        (
            *(
                _number(
                    state.capitalize(),
                    f'sum(wardgate_fleet_devices{{health="{state}"}})',
                    state,
                )
                for state in ("healthy", "degraded", "silent", "lost")
            ),
            Panel("Health", "none", (("sum by (health) (wardgate_fleet_devices)", "{{health}}"),)),
            Panel(
                "Faults", "none", (("sum by (fault) (wardgate_fleet_device_faults)", "{{fault}}"),)
            ),
            Panel(
                "Changes of health", "cps", ((_rate("fleet_health_changes", "to"), "to {{to}}"),)
            ),
            Panel(
                "Devices whose certificate ends",
                "none",
                (('sum(wardgate_fleet_device_faults{fault="certificate"})', "devices"),),
            ),
        ),
    ),
    Row(
        "Gateways",
        (
            Panel(
                "Attached",
                "none",
                (("sum by (attached) (wardgate_fleet_gateways)", "{{attached}}"),),
            ),
            Panel("Health reports", "cps", ((_rate("fleet_reports", "instance"), "{{instance}}"),)),
            Panel(
                "Reports of devices that are not registered",
                "cps",
                ((_rate("fleet_unregistered", "instance"), "{{instance}}"),),
            ),
        ),
    ),
    Row(
        "Enrolment",
        (
            _number(
                "Things to be registered",
                'sum(wardgate_fleet_claims{state="waiting"})',
                "waiting",
            ),
            Panel(
                "Requests",
                "cps",
                ((_rate("fleet_enrolment_requests", "operation, code"), "{{operation}} {{code}}"),),
            ),
            Panel(
                "Refused there",
                "cps",
                ((_rate("fleet_enrolment_refused", "reason"), "{{reason}}"),),
            ),
            Panel(
                "Handshakes",
                "cps",
                ((_rate("fleet_web_handshakes", "instance"), "{{instance}}"),),
            ),
            Panel(
                "Renewed by their holders",
                "none",
                (("sum by (role) (wardgate_fleet_renewed_total)", "{{role}}"),),
            ),
            Panel(
                "Questions about revocation",
                "cps",
                ((_rate("fleet_revocation_requests", "kind, code"), "{{kind}} {{code}}"),),
            ),
        ),
    ),
    Row(
        "Who may talk",
        (
            Panel(
                "Certificates issued and revoked",
                "none",
                (
                    ("sum(wardgate_fleet_enrolled_total)", "issued to devices"),
                    ("sum by (role) (wardgate_fleet_revoked_total)", "revoked, {{role}}"),
                ),
            ),
            Panel(
                "Revocations in force", "none", (("wardgate_fleet_revocations", "{{instance}}"),)
            ),
            Panel("Refused", "cps", ((_rate("fleet_refused", "reason"), "{{reason}}"),)),
            Panel(
                "Operators' calls",
                "cps",
                ((_rate("fleet_calls", "method, code"), "{{method}} {{code}}"),),
            ),
            Panel(
                "Certificate days left",
                "d",
                (("wardgate_fleet_certificate_seconds_left / 86400", "{{use}}"),),
            ),
        ),
    ),
)

CORE = (
    Row(
        "What arrives",
        (
            _number("Streams", "wardgate_core_streams", "{{instance}}"),
            _number("Gaps", "wardgate_core_gaps_total", "{{instance}}"),
            _number("Repeated records", "wardgate_core_duplicates_total", "{{instance}}"),
            Panel("Records", "cps", ((_rate("core_records", "instance"), "{{instance}}"),)),
            Panel(
                "Not stored again",
                "cps",
                (
                    (_rate("core_duplicates", "instance"), "message id is here {{instance}}"),
                    (_rate("core_redelivered", "instance"), "sent again {{instance}}"),
                ),
            ),
            Panel(
                "Transactions",
                "s",
                (
                    (_quantile(0.5, "core_commit", "instance"), "p50 {{instance}}"),
                    (_quantile(0.99, "core_commit", "instance"), "p99 {{instance}}"),
                ),
            ),
            Panel(
                "Batches that wait",
                "none",
                (("sum by (instance, lane) (wardgate_core_waiting_batches)", "{{lane}}"),),
            ),
            Panel("Refused", "cps", ((_rate("core_refused", "reason"), "{{reason}}"),)),
        ),
    ),
    Row(
        "No certificate, no data",
        (
            _number("Link to the fleet", "wardgate_core_fleet_connected", "{{instance}}"),
            _number("Revoked streams ended", "wardgate_core_revoked_streams_total", "{{instance}}"),
            Panel("Revocations", "none", (("wardgate_core_revocations", "{{instance}}"),)),
            Panel(
                "Age of the revocation list",
                "s",
                (("wardgate_core_revocations_age_seconds", "{{instance}}"),),
            ),
        ),
    ),
    Row(
        "What is kept",
        (
            Panel("Store in use", "bytes", (("wardgate_core_store_bytes", "{{instance}}"),)),
            Panel(
                "Oldest report",
                "s",
                (("wardgate_core_store_oldest_seconds", "{{instance}}"),),
            ),
        ),
    ),
)

DASHBOARDS: dict[str, tuple[str, tuple[Row, ...]]] = {
    "wardgate-gateway": ("Wardgate gateway", GATEWAY),
    "wardgate-fleet": ("Wardgate fleet", FLEET),
    "wardgate-core": ("Wardgate core", CORE),
}


def queries() -> Iterator[str]:
    """Every query of every dashboard."""
    for _, rows in DASHBOARDS.values():
        for row in rows:
            for panel in row.panels:
                for expression, _ in panel.queries:
                    yield expression


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    built: stat.Panel | timeseries.Panel
    if panel.number:
        built = stat.Panel().title(panel.title).unit(panel.unit).height(4).span(6)
    else:
        built = (
            timeseries.Panel()
            .title(panel.title)
            .unit(panel.unit)
            .height(8)
            .span(12 if len(panel.queries) > 1 else 6)
            .min(0)
            .fill_opacity(8)
            .legend(
                common.VizLegendOptions()
                .display_mode(LegendDisplayMode.LIST)
                .placement(LegendPlacement.BOTTOM)
                .show_legend(True)
            )
        )
    source = DataSourceRef(type_val="prometheus", uid="${datasource}")
    for letter, (expression, legend) in zip("ABCDEFGH", panel.queries, strict=False):
        query = prometheus.Dataquery().ref_id(letter).expr(expression).legend_format(legend)
        built = built.with_target(query.datasource(source))
    return built.datasource(source)


def build(uid: str) -> str:
    """One dashboard as JSON."""
    title, rows = DASHBOARDS[uid]
    built = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["wardgate"])
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
    )
    for row in rows:
        built = built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            built = built.with_panel(_panel(panel))
    return (
        json.dumps(
            json.loads(JSONEncoder(sort_keys=True, indent=1).encode(built.build())), indent=1
        )
        + "\n"
    )


def main() -> int:
    """Write the files, or compare them."""
    stale = []
    for uid in DASHBOARDS:
        path = OUT / f"{uid}.json"
        made = build(uid)
        if "--check" not in sys.argv:
            path.write_text(made)
        elif not path.exists() or path.read_text() != made:
            stale.append(path.name)
    if stale:
        print("dashboards have drifted, run `make generate`:", *stale, file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
