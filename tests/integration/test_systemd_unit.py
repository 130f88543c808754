"""The units: what systemd says of them, and what the daemon says to systemd."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from tests.integration.supervised import WATCHDOG_S, Supervised, Ward, session

ROLES = Path(__file__).resolve().parents[2] / "ansible" / "roles"
UNITS = ("gateway", "fleet", "core")
FILTER = "packetfilter"
EXPOSURE_MAX = 2.5


# What systemd says of the units


def rendered(role: str, directory: Path, *, unit: str = "", **variables: Any) -> Path:
    """The role's unit as ansible renders it, with all units' hardening, and a command that is.

    ``unit`` names another one of the role; ``wardgate_its`` is what a gateway says for itself.
    """
    (directory / "bin").mkdir(exist_ok=True)
    (directory / "bin" / "wardgate").write_text("#!/bin/sh\n")
    (directory / "bin" / "wardgate").chmod(0o755)
    name = f"wardgate-{unit or role}.service"
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
    given = {**defaults, "ansible_managed": "Managed", "wardgate_venv": directory, **variables}
    given["wardgate_version"] = "0.1.0"
    given |= own_variables(role, given)
    tenant = given.get("wardgate_tenant")
    place = directory / (name.replace(".service", f"@{tenant}.service") if tenant else name)
    place.write_text(environment.from_string(text).render(given))
    if unit == FILTER:
        own = place.with_name(f"{place.name}.d")
        own.mkdir(exist_ok=True)
        shutil.copy(ROLES / role / "files" / "packetfilter-rights.conf", own / "20-rights.conf")
    return place


def own_variables(role: str, given: dict[str, Any]) -> dict[str, Any]:
    """The role's vars, which are made of each other and of ``wardgate_its``."""
    path = ROLES / role / "vars" / "main.yml"
    if not path.exists():
        return {}
    native = NativeEnvironment(undefined=jinja2.StrictUndefined)
    found: dict[str, Any] = {"wardgate_its": {}, **given}
    for key, text in yaml.safe_load(path.read_text()).items():
        found[key] = native.from_string(text).render(found)
    return found


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


def left_to(unit: Path) -> set[str]:
    """What a unit leaves to itself of what systemd asks for, unit and drop-ins read together."""
    said = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", "--offline=true", "--json=short", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    return {each["json_field"] for each in json.loads(said.stdout) if not each["set"]}


def verified(unit: Path) -> tuple[int, list[str]]:
    """What systemd says of a unit, without what it says of other packages' on this machine."""
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    others = ("/lib/systemd/", "/usr/lib/systemd/", "/etc/systemd/")
    return said.returncode, [
        line for line in said.stderr.splitlines() if not line.startswith(others)
    ]


@pytest.mark.parametrize("role", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(role: str, tmp_path: Path) -> None:
    unit = rendered(role, tmp_path)
    assert verified(unit) == (0, [])


@pytest.mark.parametrize("role", UNITS)
def test_a_unit_exposes_little(role: str, tmp_path: Path) -> None:
    assert exposure(rendered(role, tmp_path)) <= EXPOSURE_MAX


def test_a_gateway_with_serial_ports_exposes_little_more(tmp_path: Path) -> None:
    unit = rendered("gateway", tmp_path, wardgate_serial=True)
    assert "SupplementaryGroups=dialout" in unit.read_text()
    assert exposure(unit) <= EXPOSURE_MAX


TENANT = {"tenant": "hospital-a", "secrets": [{"name": "seal.keys", "src": "x"}]}
NETWORK = {"interface": "eth1", "addresses": ["10.20.0.1/16"], "router": "10.20.0.254"}


@pytest.mark.parametrize("its", [{}, TENANT, {**TENANT, "network": NETWORK}])
@pytest.mark.parametrize("unit", ["", FILTER])
def test_the_units_of_one_gateway_and_of_a_tenants_are_in_order(
    unit: str, its: dict[str, Any], tmp_path: Path
) -> None:
    network = tmp_path / "tenant-network-hospital-a.service"
    network.write_text("[Service]\nExecStart=/bin/true\n")
    for each in ("", FILTER):  # each names the other
        rendered("gateway", tmp_path, unit=each, wardgate_its=its)
    made = rendered("gateway", tmp_path, unit=unit, wardgate_its=its)
    text = made.read_text()
    assert verified(made) == (0, [])
    assert exposure(made) <= EXPOSURE_MAX
    who = "wardgate-hospital-a" if its else "wardgate"
    assert f"Group={who}\n" in text
    assert ("NetworkNamespacePath=/run/netns/wardgate-hospital-a\n" in text) == ("network" in its)
    if unit == FILTER:
        rights = {each for each in left_to(made) if each.startswith("CapabilityBoundingSet_")}
        groups = ("CAP_NET_ADMIN", "CAP_DAC_FOWNER_IPC_OWNER")
        assert rights == {f"CapabilityBoundingSet_{each}" for each in groups}
        assert "PrivateUsers" in left_to(made)
    else:
        assert f"User={who}\nGroup={who}\nStateDirectory={who}\n" in text


def test_the_score_is_read_from_the_unit(tmp_path: Path) -> None:
    """A unit without the hardening must not pass, else the tests above say nothing."""
    unit = rendered("gateway", tmp_path)
    (tmp_path / "wardgate-.service.d" / "10-hardening.conf").unlink()
    assert exposure(unit) > EXPOSURE_MAX


# What the daemon says to systemd


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


def test_the_first_word_is_ready(ward: Ward, tmp_path: Path) -> None:
    """However often systemd wants to hear that it works, and however long its start takes."""
    running = Supervised(ward.plan.gateway_config, tmp_path, ward.plan.ports.mqtt, 0.02)
    try:
        running.wait_for("WATCHDOG=1")
        assert running.said[0] == "READY=1"
    finally:
        running.end()


def test_ready_is_said_when_the_listeners_answer_and_stopping_before_the_end(
    gateway: Supervised, ward: Ward
) -> None:
    gateway.wait_for("READY=1")
    assert gateway.listened_at_ready
    with session(ward) as device:
        device.report()
    assert gateway.end() == 0
    assert gateway.said.count("READY=1") == 1
    # While it closes, it is well, and may say so.
    assert [each for each in gateway.said if each != "WATCHDOG=1"][-1] == "STOPPING=1"


def test_the_watchdog_hears_of_a_gateway_that_works_and_not_of_one_that_hangs(
    gateway: Supervised,
) -> None:
    gateway.wait_for("WATCHDOG=1", after=gateway.wait_for("READY=1"), times=3)
    os.kill(gateway.process.pid, signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, gateway.process.pid, os.WSTOPPED | os.WNOWAIT)
        heard = gateway.catch_up()
        time.sleep(2 * WATCHDOG_S)
        assert gateway.catch_up() == heard + 1
    finally:
        os.kill(gateway.process.pid, signal.SIGCONT)
    gateway.wait_for("WATCHDOG=1", after=heard)
