"""A running gateway follows its configuration: what is untouched goes on as if nothing happened."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import configs
from demo.plan import free_ports
from security import pki
from security.policy import default_policy
from security.policybundle import Bundle, sign_bundle
from tests.integration.supervised import DEVICE, WAIT_S, Supervised, Ward, session


class Edited:
    """The gateway's configuration file, to be changed and put back."""

    def __init__(self, ward: Ward, gateway: Supervised) -> None:
        self.path = ward.plan.gateway_config
        self.before = self.path.read_text()
        self._ward = ward
        self._gateway = gateway
        gateway.wait_for("READY=1")
        self._at = len(gateway.said)

    def hang_up(self, text: str | None = None) -> str:
        """Write the file, send SIGHUP, and return the status that systemd hears."""
        if text is not None:
            self.path.write_text(text)
        self._gateway.process.send_signal(signal.SIGHUP)
        reloading = self._gateway.wait_for("RELOADING=1\nMONOTONIC_USEC=", after=self._at)
        self._at = self._gateway.wait_for("READY=1", after=reloading)
        return self._gateway.said[self._at - 1].removeprefix("READY=1\nSTATUS=")

    def digest(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def audited(self) -> dict[str, Any]:
        """The last entry on a reload."""
        log = self._ward.plan.gateway_state / "audit" / "audit.log"
        entries: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
        return [entry for entry in entries if entry["event"] == "reload"][-1]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    made = Ward(tmp_path_factory.mktemp("ward"))
    # The alarms are counted: that a device has rested, while a test was held up, is none here.
    with made.plan.gateway_config.open("a") as config:
        config.write("\n[pipeline.silence]\nseconds_min = 36000\n[clock]\nalarm_after_s = 36000\n")
    return made


@pytest.fixture(scope="module")
def gateway(ward: Ward, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """One process for all tests: each of them leaves it as it was, or the next one fails."""
    directory = tmp_path_factory.mktemp("gateway")
    running = Supervised(ward.plan.gateway_config, directory, ward.plan.ports.mqtt)
    try:
        yield running
    finally:
        assert running.end() == 0, running.words()


@pytest.fixture
def file(ward: Ward, gateway: Supervised) -> Iterator[Edited]:
    edited = Edited(ward, gateway)
    try:
        yield edited
    finally:
        edited.path.write_text(edited.before)
        edited.hang_up()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer:
        return str(answer.read().decode())


def until(condition: Callable[[], object], gateway: Supervised) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        with contextlib.suppress(OSError, sqlite3.Error):
            if condition():
                return
        assert time.monotonic() < deadline, gateway.words()
        time.sleep(0.05)


def alarms(port: int) -> list[str]:
    lines = scraped(port).splitlines()
    return [
        line
        for line in lines
        if line.startswith("wardgate_alarms_total") and not line.endswith(" 0.0")
    ]


LIMITS = """
[pipeline.limits.MDC_ECG_HEART_RATE]
high = 60
delay_s = 0
"""


def test_a_session_stays_while_limits_listeners_and_the_scrape_endpoint_change(
    gateway: Supervised, ward: Ward, file: Edited
) -> None:
    added, further, moved = free_ports(3)
    ports = ward.plan.ports
    before = alarms(ports.gateway_metrics)
    with session(ward) as device:
        device.report()  # 72 a minute
        assert alarms(ports.gateway_metrics) == before
        mqtt = f'"127.0.0.1:{ports.mqtt}"'
        more = f"[drivers.more]\ndriver = 'mqtt'\nlisten = ['127.0.0.1:{added}']\n"
        status = file.hang_up(
            file.before.replace(f"port = {ports.gateway_metrics}", f"port = {moved}")
            .replace(f"[{mqtt}, ", f'[{mqtt}, "127.0.0.1:{further}", ')
            .replace("[drivers.coap]", f"{more}[drivers.second]\ndriver = 'coap'")
            + LIMITS
        )
        assert status == ""
        device.report()
        until(lambda: alarms(moved) != before, gateway)
        with pytest.raises(urllib.error.URLError):
            scraped(ports.gateway_metrics)
        assert answers(added)
        assert answers(further)
        with session(ward, added) as elsewhere:  # takes the device's place over there only
            elsewhere.report()
        assert (device.connects, device.losses) == (1, 0)
        entry = file.audited()
        assert (entry["result"], entry["by"], entry["sha256"]) == ("applied", "file", file.digest())
        changed = set(entry["changed"].split(", "))
        assert changed == {
            "drivers.second",
            "drivers.more",
            "drivers.mqtt",
            "drivers.coap",
            "pipeline.limits",
            "metrics.port",
        }

        assert file.hang_up(file.before) == ""
        assert not answers(added)
        assert not answers(further)
        device.report()
        assert (device.connects, device.losses) == (1, 0)
        assert "# HELP" in scraped(ports.gateway_metrics)


def test_a_driver_that_can_follow_keeps_its_sessions(
    gateway: Supervised, ward: Ward, file: Edited
) -> None:
    (port,) = free_ports(1)
    other = f"[drivers.more]\ndriver = 'mqtt'\nlisten = ['127.0.0.1:{port}']\n"
    assert file.hang_up(f"{file.before}\n{other}") == ""
    with session(ward) as here, session(ward, port) as there:
        here.report()
        there.report()
        assert file.hang_up(f"{file.before}\n{other}packet_size_bytes_max = 4096\n") == ""
        there.report()
        here.report()
        assert (there.connects, there.losses) == (1, 0)
        # It is gone with all of its sessions; the other one hears nothing of it.
        assert file.hang_up(file.before) == ""
        until(lambda: there.losses == 1, gateway)
        here.report()
        assert (here.connects, here.losses) == (1, 0)


def udp_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_a_driver_that_cannot_follow_is_made_anew_or_comes_back_as_it_was(
    gateway: Supervised, ward: Ward, file: Edited
) -> None:
    (elsewhere,) = free_ports(1)
    usual = ward.plan.ports.coaps
    with session(ward) as device, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        busy = file.before.replace(f":{usual}", f":{taken.getsockname()[1]}")
        assert "can't start" in file.hang_up(busy)
        assert not udp_is_free(usual)
        assert file.hang_up(file.before.replace(f":{usual}", f":{elsewhere}")) == ""
        assert udp_is_free(usual)
        assert not udp_is_free(elsewhere)
        device.report()
        assert (device.connects, device.losses) == (1, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text + "\n[drivers.mqtt.nonsense]\n", "nonsense"),
        (lambda text: text + "\nnot toml", "not TOML"),
        (lambda text: text.replace('name = "gw-demo"', 'name = "gw-other"'), "gateway.name"),
        (lambda text: text.replace("[journal]", "[journal]\ncache_bytes = 5"), "journal.cache_byt"),
        (lambda text: text + "\n[pipeline.limits.MDC_NO_SUCH]\nhigh = 1\n", "MDC_NO_SUCH"),
        (lambda text: text + '\n[drivers.extra]\ndriver = "no_such"\n', "no_such"),
        (
            lambda text: text.replace('pseudonym_key = "vendor.key"\n', ""),
            "vendor",
        ),
        (
            lambda text: text + "\n[drivers.extra]\ndriver='mqtt'\nlisten=['127.0.0.1:{taken}']\n",
            "can't start",
        ),
        (
            lambda text: text.replace("port = {metrics}", "port = {taken}"),
            "metrics: cannot listen",
        ),
    ],
)
def test_what_is_wrong_is_refused_whole(
    gateway: Supervised, ward: Ward, file: Edited, change: Callable[[str], str], words: str
) -> None:
    ports = ward.plan.ports
    before, said = alarms(ports.gateway_metrics), gateway.log().count("not applied")
    with session(ward) as device, socket.create_server(("127.0.0.1", 0)) as taken:
        device.report()
        # Beside what is wrong there is much that could be applied: a driver less, other limits.
        wrong = file.before.replace("[drivers.coap]", "[drivers.second]\ndriver = 'coap'") + LIMITS
        marked = wrong.replace(f"port = {ports.gateway_metrics}", "port = {metrics}")
        text = change(marked).replace("{taken}", str(taken.getsockname()[1]))
        status = file.hang_up(text.replace("{metrics}", str(ports.gateway_metrics)))
        assert status.startswith("A change was not applied: ")
        assert words in status
        assert "\n" not in status
        assert gateway.log().count("not applied") == said + 1
        entry = file.audited()
        assert (entry["result"], entry["by"]) == ("refused", "file")
        assert words in entry["reason"]
        device.report()
        assert alarms(ports.gateway_metrics) == before
        assert (device.connects, device.losses) == (1, 0)


def test_a_changed_policy_is_applied_and_no_session_ends(
    gateway: Supervised, ward: Ward, file: Edited
) -> None:
    policy = ward.plan.policy
    before = policy.read_bytes()
    with session(ward) as device:
        device.report()
        policy.write_text(default_policy())
        assert "no signed policy" in file.hang_up()
        policy.write_bytes(before.replace(b"inside-the", b"outside-th"))
        assert "the signature is not the signer's" in file.hang_up()
        device.report()
        assert configs.sign_policy(ward.plan, default_policy() + "\n// A remark.\n") == 2
        assert file.hang_up() == ""
        device.report()
        policy.write_bytes(before)
        assert "policy 1 is older than 2" in file.hang_up()
        assert configs.sign_policy(ward.plan, default_policy()) == 3  # the old text, a new number
        assert file.hang_up() == ""
        assert (device.connects, device.losses) == (1, 0)


def test_a_policy_that_breaks_an_invariant_is_not_taken(
    gateway: Supervised, ward: Ward, file: Edited
) -> None:
    policy = ward.plan.policy
    before = policy.read_bytes()
    # As by somebody who has the key; `policy sign` and the fleet refuse it before they sign.
    authority = pki.load_authority(ward.plan.fleet / "authority")
    text = '@id("all") permit (principal, action == Action::"pass", resource);'
    bundle = Bundle(99, time.time_ns() // 1000, text, "", authority.trust_domain)
    try:
        policy.write_bytes(sign_bundle(authority, bundle))
        status = file.hang_up()
    finally:
        policy.write_bytes(before)
    assert "identifying-stays-on-campus is broken" in status
    assert "leaves unchanged, by all" in status


def label_of(ward: Ward, message_id: str) -> tuple[int, list[str]]:
    """Level of the newest record with an id, and why; asked beside the gateway that runs."""
    config = str(ward.plan.gateway_config)
    command = ["policy", "explain", "--device", DEVICE, "--message-id", message_id, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "wardgate", *command, "--dest", "core", "--config", config],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    [told] = json.loads(done.stdout)
    return told["level"], told["because"]


def test_a_changed_classification_counts_from_the_next_report_on(
    gateway: Supervised, ward: Ward, file: Edited
) -> None:
    labels = file.path.parent / "classification.toml"
    named = f'{file.before}\n[classification]\nfile = "{labels.name}"\n'
    with session(ward) as device:
        device.report()
        labels.write_text("[metrics]\nMDC_HEART = { level = 5 }\n")
        assert "metrics.MDC_HEART: no metric has this REFID" in file.hang_up(named)
        device.report()
        labels.write_text("[metrics]\nMDC_ECG_HEART_RATE = { level = 5 }\n")
        assert file.hang_up() == ""
        assert file.audited()["changed"] == "classification.file"
        device.report()
        labels.write_text(f'[tags.studied]\nlevel = 5\ndevices = ["{DEVICE}"]\n')
        assert file.hang_up() == ""
        device.report()
        assert (device.connects, device.losses) == (1, 0)
        found = [label_of(ward, f"{device.boot}:{n}") for n in (1, 2, 3, 4)]
    assert [level for level, _ in found] == [3, 3, 5, 5]
    # Why is told by the classification now: whatever it was then, the device is tagged.
    assert all(why == ["a tag that the device has"] for _, why in found)


def test_the_backlog_goes_on_under_other_destinations_and_limits(
    gateway: Supervised, ward: Ward, file: Edited
) -> None:
    """Reports from before, between and after two reloads reach a core that comes late, once."""
    with session(ward) as device:
        device.report()
        other = file.before.replace('project = "demo-maintenance"', 'project = "other"')
        assert file.hang_up(other.replace("[journal]", "[journal]\ndrop_oldest = true")) == ""
        assert "destinations.vendor" in file.audited()["changed"]
        device.report()
        assert file.hang_up(file.before) == ""
        device.report()
        assert (device.connects, device.losses) == (1, 0)
        sent = [f"{device.boot}:{n}" for n in (1, 2, 3)]
    core = subprocess.Popen(
        [sys.executable, "-m", "core", "run", "--config", ward.plan.core_config],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: stored(ward.plan.core_db, device.boot) == sent, gateway)
    finally:
        core.terminate()
        core.wait(WAIT_S)


def stored(database: Path, boot: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT message_id FROM reports WHERE device_id = ? AND message_id LIKE ?",
            (DEVICE, f"{boot}:%"),
        )
        return sorted(message_id for (message_id,) in rows)
