"""Monitoring against the real thing: Debian's Prometheus scrapes a running demo.

Every query of the dashboards and every series that a rule reads must return data, and no label
may name a device.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from core.metrics import METRICS as CORE_METRICS
from demo.plan import free_ports
from fleet.metrics import METRICS as FLEET_METRICS
from gateway.telemetry import METRICS as GATEWAY_METRICS
from tests.integration.ward import RunningWard, running
from tools.dashboards import DASHBOARDS, queries

ROLE = Path(__file__).resolve().parents[2] / "ansible" / "roles" / "monitoring"
RULES = ROLE / "files" / "rules" / "wardgate.yml"
PROCESSES = ("gateway", "fleet", "core")
WAIT_S = 60.0
DATA_S = 120.0
"""For data of a ward that has just begun, of some hundred queries, on a busy machine."""
SERIES_PER_METRIC_MAX = 100
pytestmark = pytest.mark.timeout(480)
"""The first test that needs them waits for the ward and for Prometheus, too."""
PREFIXES = {
    "wardgate_fleet_": FLEET_METRICS,
    "wardgate_core_": CORE_METRICS,
    "wardgate_": GATEWAY_METRICS,
}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def selectors(expression: str) -> list[str]:
    """The series that an expression reads: a comparison is only true when something is wrong."""
    return re.findall(r"(?:wardgate_\w+|\bup\b)(?:\{[^}]*\})?", expression)


# Without a running ward


def test_the_rules_are_sound_and_fire_when_they_should() -> None:
    for command in (["check", "rules", RULES.name], ["test", "rules", "wardgate_test.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=RULES.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_test() -> None:
    tests = yaml.safe_load((RULES.parent / "wardgate_test.yml").read_text())["tests"]
    tested = {each["alertname"] for test in tests for each in test["alert_rule_test"]}
    assert {rule["alert"] for rule in rules() if "alert" in rule} == tested


def test_every_alert_says_what_to_do() -> None:
    for rule in rules():
        if "alert" in rule:
            assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]
            assert rule["labels"]["severity"] in {"critical", "warning"}, rule["alert"]


def test_dashboards_and_rules_name_only_declared_metrics() -> None:
    text = " ".join([*queries(), *(rule["expr"] for rule in rules())])
    for name in set(re.findall(r"\bwardgate_\w+", text)):
        bare = re.sub(r"_(total|bucket)$", "", name)
        declared = [bare.removeprefix(prefix) in metrics for prefix, metrics in PREFIXES.items()]
        assert any(declared), name


def test_the_dashboards_are_what_the_tool_writes() -> None:
    done = subprocess.run(
        [sys.executable, "tools/dashboards.py", "--check"],
        cwd=ROLE.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for uid in DASHBOARDS:
        made = json.loads((ROLE / "files" / "dashboards" / f"{uid}.json").read_text())
        assert made["uid"] == uid


# With one


class Prometheus:
    """The daemon, with the configuration that the role would write."""

    def __init__(self, ward: RunningWard, directory: Path) -> None:
        self._log = (directory / "prometheus.log").open("w+")
        (port,) = free_ports(1)
        self._url = f"http://127.0.0.1:{port}"
        targets = {
            name: [urllib.parse.urlsplit(ward.endpoints["metrics"][name]).netloc]
            for name in PROCESSES
        }
        variables = {
            **yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()),
            "ansible_managed": "Managed",
            "wardgate_scrape_interval": "1s",
            "wardgate_scrape_gateways": targets["gateway"],
            "wardgate_scrape_fleets": targets["fleet"],
            "wardgate_scrape_cores": targets["core"],
        }
        environment = jinja2.Environment(
            undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False
        )
        environment.filters["to_json"] = json.dumps
        template = (ROLE / "templates" / "prometheus.yml.j2").read_text()
        text = environment.from_string(template).render(variables)
        config = directory / "prometheus.yml"
        assert "/etc/prometheus/rules/*.yml" in text
        config.write_text(text.replace("/etc/prometheus/rules/*.yml", str(RULES)))
        command = ["prometheus", f"--config.file={config}"]
        command += [f"--storage.tsdb.path={directory / 'tsdb'}"]
        command += [f"--web.listen-address={urllib.parse.urlsplit(self._url).netloc}"]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def ready(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + WAIT_S
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self._url}/-/ready", timeout=10).close()
                return
            assert self._process.poll() is None, self.words()
            assert time.monotonic() < deadline, self.words()
            time.sleep(0.1)

    def get(self, path: str, **parameters: str) -> Any:
        url = f"{self._url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.SERVICE_UNAVAILABLE:
                raise  # it is starting
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def ask(self, query: str) -> list[dict[str, Any]]:
        """An instant vector."""
        found: list[dict[str, Any]] = self.get("query", query=query)["result"]
        return found

    def wait_for_data(self, wanted: list[str]) -> list[str]:
        """Wait until each query returns a number; those that did not."""
        deadline = time.monotonic() + DATA_S
        missing = wanted
        while missing and time.monotonic() < deadline:
            assert self._process.poll() is None, self.words()
            with contextlib.suppress(OSError):  # it is starting
                missing = [query for query in missing if not self._numbers(query)]
            if missing:
                time.sleep(0.5)
        return missing

    def _numbers(self, query: str) -> bool:
        return any(each["value"][1] != "NaN" for each in self.ask(query))

    def words(self) -> str:
        return Path(self._log.name).read_text()[-2000:]

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWard]:
    with running(tmp_path_factory.mktemp("ward")) as demo:
        yield demo


@pytest.fixture(scope="module")
def prometheus(ward: RunningWard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    daemon = Prometheus(ward, tmp_path_factory.mktemp("prometheus"))
    try:
        daemon.ready()
        yield daemon
    finally:
        daemon.stop()


def test_every_query_of_every_dashboard_returns_data(prometheus: Prometheus) -> None:
    assert prometheus.wait_for_data(list(queries())) == []


def test_every_series_that_a_rule_reads_is_there(prometheus: Prometheus) -> None:
    wanted = {each for rule in rules() for each in selectors(rule["expr"])}
    assert len(wanted) > 20
    assert prometheus.wait_for_data(sorted(wanted)) == []


def test_prometheus_evaluates_every_rule_and_a_healthy_ward_raises_no_alert_of_ours(
    prometheus: Prometheus,
) -> None:
    def evaluated() -> list[dict[str, Any]]:
        groups = prometheus.get("rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    deadline = time.monotonic() + WAIT_S
    while any(rule["health"] != "ok" for rule in evaluated()) and time.monotonic() < deadline:
        time.sleep(0.5)
    found = evaluated()
    assert len(found) == len(rules())
    assert [rule for rule in found if rule["health"] != "ok"] == []
    firing = {rule["name"] for rule in found if rule.get("state") == "firing"}
    # The demo lets strangers and trespassers try, and these rules have no delay.
    assert firing <= {"WardgateIdentityMismatch", "WardgateRevokedDeviceKnocks"}


@pytest.mark.usefixtures("prometheus")
def test_no_label_names_a_device(ward: RunningWard) -> None:
    ids = {path.name for path in Path(ward.endpoints["devices"]).iterdir()}
    ids |= set(ward.endpoints["serial"])
    ids |= {ward.endpoints[each]["device_id"] for each in ("spare", "stranger", "revoked")}
    assert len(ids) > 10
    for name, url in ward.endpoints["metrics"].items():
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        assert len(families) > 5
        for family in families:
            series = {
                tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
                for sample in family.samples
            }
            assert len(series) <= SERIES_PER_METRIC_MAX, (name, family.name)
            for labels in series:
                for _, value in labels:
                    assert not any(each in value for each in ids), (name, family.name, labels)
