"""The units: what systemd says of them, and what the daemon says to systemd."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from demo import configs, identities, plan
from security import pki
from security.files import TlsFiles
from security.names import Role

ROLES = Path(__file__).resolve().parents[2] / "ansible" / "roles"
UNITS = ("gateway", "fleet", "core")
EXPOSURE_MAX = 2.5
WAIT_S = 30.0
WATCHDOG_S = 1.0
DEVICE = "icu-monitor-77"


# What systemd says of the units


def rendered(role: str, directory: Path, **variables: Any) -> Path:
    """The role's unit as ansible renders it, with all units' hardening, and a command that is."""
    (directory / "bin").mkdir(exist_ok=True)
    (directory / "bin" / "wardgate").write_text("#!/bin/sh\n")
    (directory / "bin" / "wardgate").chmod(0o755)
    name = f"wardgate-{role}.service"
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["ternary"] = lambda value, yes, no: yes if value else no
    defaults: dict[str, Any] = {}
    for each in ("package", role):
        defaults |= yaml.safe_load((ROLES / each / "defaults" / "main.yml").read_text())
    shared = directory / "wardgate-.service.d"
    shared.mkdir(exist_ok=True)
    shutil.copy(ROLES / "package" / "files" / "hardening.conf", shared / "10-hardening.conf")
    text = (ROLES / role / "templates" / f"{name}.j2").read_text()
    unit = directory / name
    given = {**defaults, "ansible_managed": "Managed", "wardgate_venv": directory, **variables}
    unit.write_text(environment.from_string(text).render(given))
    return unit


def exposure(unit: Path) -> float:
    said = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", "--offline=true", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in said.stdout.splitlines():
        if "Overall exposure level" in line:
            return float(line.split(":")[1].split()[0])
    raise AssertionError(said.stdout + said.stderr)


@pytest.mark.parametrize("role", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(role: str, tmp_path: Path) -> None:
    unit = rendered(role, tmp_path)
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize("role", UNITS)
def test_a_unit_exposes_little(role: str, tmp_path: Path) -> None:
    assert exposure(rendered(role, tmp_path)) <= EXPOSURE_MAX


def test_a_gateway_with_serial_ports_exposes_little_more(tmp_path: Path) -> None:
    unit = rendered("gateway", tmp_path, wardgate_serial=True)
    assert "SupplementaryGroups=dialout" in unit.read_text()
    assert exposure(unit) <= EXPOSURE_MAX


def test_the_score_is_read_from_the_unit(tmp_path: Path) -> None:
    """A unit without the hardening must not pass, else the tests above say nothing."""
    unit = rendered("gateway", tmp_path)
    (tmp_path / "wardgate-.service.d" / "10-hardening.conf").unlink()
    assert exposure(unit) > EXPOSURE_MAX


# What the daemon says to systemd


class Supervised:
    """A gateway's process, and the socket on which it speaks to systemd."""

    def __init__(self, config: Path, directory: Path, port: int) -> None:
        self.port = port
        self.said: list[str] = []
        self.listened_at_ready: bool | None = None
        self._heard = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        address = directory / "notify"
        self._socket.bind(str(address))
        self._log = (directory / "gateway.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wardgate", "gateway", "run", "--config", config],
            env={
                **os.environ,
                "NOTIFY_SOCKET": str(address),
                "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
            },
            stdout=self._log,
            stderr=self._log,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        while state := self._socket.recv(4096).decode():
            if state == "READY=1" and self.listened_at_ready is None:
                self.listened_at_ready = self._answers()
            with self._heard:
                self.said.append(state)
                self._heard.notify_all()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def wait_for(self, start: str, *, after: int = 0, times: int = 1) -> int:
        """Wait until a state was said so often; the index behind it."""

        def found() -> list[int]:
            return [i for i, s in enumerate(self.said) if i >= after and s.startswith(start)]

        with self._heard:
            heard = self._heard.wait_for(lambda: len(found()) >= times, WAIT_S)
            assert heard, f"no {start} in {self.said}; {self.words()}"
            return found()[times - 1] + 1

    def words(self) -> str:
        return Path(self._log.name).read_text()[-2000:]

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait(WAIT_S)
        if self._listener.is_alive():
            # The listener ends on an empty datagram.
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"", self._socket.getsockname())
            self._listener.join(WAIT_S)
            self._socket.close()
            self._log.close()
        return code


class Ward:
    """A gateway's files without fleet and core: it must do its work while both are away."""

    def __init__(self, directory: Path) -> None:
        self.plan = plan.prepare(directory / "state")
        made = identities.create(self.plan)
        configs.write(self.plan, made, [])
        self.device: TlsFiles
        self.device, _ = pki.make_identity(
            pki.load_authority(self.plan.fleet / "authority"),
            pki.Subject(Role.DEVICE, DEVICE),
            directory / "device",
            pki.Validity.days(datetime.now(UTC), 1),
        )


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Ward:
    return Ward(tmp_path_factory.mktemp("ward"))


@pytest.fixture
def gateway(ward: Ward, tmp_path: Path) -> Iterator[Supervised]:
    running = Supervised(ward.plan.gateway_config, tmp_path, ward.plan.ports.mqtt)
    try:
        yield running
    finally:
        running.end()


@contextlib.contextmanager
def session(ward: Ward) -> Iterator[Device]:
    device = Device(ward)
    try:
        yield device
    finally:
        device.client.disconnect()
        device.client.loop_stop()


class Device:
    """A device by another's client library."""

    def __init__(self, ward: Ward) -> None:
        self.connects = 0
        self.losses = 0
        self._n = 0
        self._connected = threading.Event()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=DEVICE, protocol=paho.MQTTv5
        )
        context = ssl.create_default_context(cafile=str(ward.device.trust))
        context.load_cert_chain(ward.device.cert, ward.device.key)
        self.client.tls_set_context(context)
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.connect("localhost", ward.plan.ports.mqtt)
        self.client.loop_start()
        assert self._connected.wait(WAIT_S)

    def _on_connect(self, *_: Any) -> None:
        self.connects += 1
        self._connected.set()

    def _on_disconnect(self, *_: Any) -> None:
        self.losses += 1

    def report(self) -> None:
        """Send one report and wait until it is acknowledged."""
        self._n += 1
        now = time.time_ns() // 1_000_000
        payload = f'{{"v":1,"boot":"b","n":{self._n},"t":{now},"hr":72.0}}'
        sent = self.client.publish(f"devices/{DEVICE}/vitals", payload, qos=1)
        sent.wait_for_publish(WAIT_S)
        assert sent.is_published()


def test_ready_is_said_when_the_listeners_answer_and_stopping_before_the_end(
    gateway: Supervised, ward: Ward
) -> None:
    gateway.wait_for("READY=1")
    assert gateway.listened_at_ready
    assert not any(state.startswith("WATCHDOG") for state in gateway.said[:1])
    with session(ward) as device:
        device.report()
    assert gateway.end() == 0
    assert gateway.said.count("READY=1") == 1
    assert gateway.said[-1] == "STOPPING=1"


def test_the_watchdog_hears_of_a_gateway_that_works_and_not_of_one_that_hangs(
    gateway: Supervised,
) -> None:
    gateway.wait_for("WATCHDOG=1", after=gateway.wait_for("READY=1"), times=3)
    os.kill(gateway.process.pid, signal.SIGSTOP)
    try:
        time.sleep(0.1)  # what was on its way arrives
        heard = len(gateway.said)
        time.sleep(2 * WATCHDOG_S)
        assert len(gateway.said) == heard
    finally:
        os.kill(gateway.process.pid, signal.SIGCONT)
    gateway.wait_for("WATCHDOG=1", after=heard)


def test_a_changed_policy_is_applied_and_no_session_ends(gateway: Supervised, ward: Ward) -> None:
    ready = gateway.wait_for("READY=1")
    policy = ward.plan.policy
    before = policy.read_text()
    with session(ward) as device:
        device.report()
        try:
            policy.write_text("permit (principal, action")
            gateway.process.send_signal(signal.SIGHUP)
            refused = gateway.wait_for("READY=1\nSTATUS=A change was not applied", after=ready)
            assert gateway.said[ready:refused].count("RELOADING=1") == 1
            device.report()

            policy.write_text(before + "\n// A remark.\n")
            gateway.process.send_signal(signal.SIGHUP)
            applied = gateway.wait_for("READY=1\nSTATUS=", after=refused)
            assert gateway.said[applied - 1] == "READY=1\nSTATUS="
            device.report()

            config = ward.plan.gateway_config
            lines = config.read_text()
            try:
                config.write_text(lines + "\n[drivers.mqtt.nonsense]\n")
                gateway.process.send_signal(signal.SIGHUP)
                refused = gateway.wait_for(
                    "READY=1\nSTATUS=A change was not applied", after=applied
                )
                config.write_text(lines + "\n[audit]\nfiles_max = 5\n")
                gateway.process.send_signal(signal.SIGHUP)
                gateway.wait_for("READY=1\nSTATUS=Applied by a restart only: audit", after=refused)
            finally:
                config.write_text(lines)
            assert (device.connects, device.losses) == (1, 0)
        finally:
            policy.write_text(before)
    assert "configuration applied" in gateway.words()


def test_other_destinations_are_applied_and_no_session_ends(
    gateway: Supervised, ward: Ward
) -> None:
    ready = gateway.wait_for("READY=1")
    config = ward.plan.gateway_config
    before = config.read_text()
    with session(ward) as device:
        device.report()
        try:
            config.write_text(before.replace('project = "demo-maintenance"', 'project = "other"'))
            gateway.process.send_signal(signal.SIGHUP)
            reloading = gateway.wait_for("RELOADING=1", after=ready)
            gateway.wait_for("READY=1", after=reloading)
            device.report()
            assert (device.connects, device.losses) == (1, 0)
        finally:
            config.write_text(before)
