"""Install, look, change, break and upgrade: each act says what it saw, or fails."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from gateway.domain import terms
from security.policy import default_policy
from tests.vm import site
from tests.vm.machine import Machine
from tests.vm.rehearsal import GROUPS, UNITS, Rehearsal, say
from tests.vm.ward import SerialMonitor

EXPOSURE_MAX = 2.5
TALK_PER_S = 2.0
"""Messages per second and device, while people work on the box."""
CONNECT = """\
import socket
where = socket.create_server(("192.0.2.1", 0))
port = where.getsockname()[1]
def reach():
    try:
        socket.create_connection(("192.0.2.1", port), timeout=10).close()
    except OSError as error:
        return type(error).__name__
    return "reached"
before = reach()
open("/sys/fs/cgroup/system.slice/wardgate-gateway.service/cgroup.procs", "w").write("0")
print(before, reach())
"""
"""A process steps into the gateway's cgroup and tries again what it could do before."""
KNOCK = """\
import socket
def knock(source):
    try:
        at = ("127.0.0.1", 8883) if source is None else ("192.0.2.1", 8883)
        socket.create_connection(at, timeout=5, source_address=source).close()
    except OSError as error:
        return type(error).__name__
    return "reached"
print(knock(None), knock(("192.0.2.1", 0)))
"""
SPEAK = """\
import os, socket
where = socket.create_server(("192.0.2.1", 0))
port = where.getsockname()[1]
def reach():
    try:
        socket.create_connection(("192.0.2.1", port), timeout=5).close()
    except OSError as error:
        return type(error).__name__
    return "reached"
before = reach()
import pwd
os.setuid(pwd.getpwnam("wardgate").pw_uid)
print(before, reach())
"""
"""A process becomes the gateway's user and tries again what root could do."""
FILTER = "wardgate-packetfilter"
PROMETHEUS = """\
import json, urllib.request
def ask(what):
    with urllib.request.urlopen("http://127.0.0.1:9090/api/v1/" + what, timeout=60) as answer:
        return json.load(answer)["data"]
targets = {each["labels"]["job"]: each["health"] for each in ask("targets")["activeTargets"]}
rules = [(rule["name"], rule["health"]) for group in ask("rules")["groups"]
         for rule in group["rules"]]
print(json.dumps({"targets": targets, "rules": rules}))
"""


def check_on_a_bare_box(at: Rehearsal) -> None:
    recap = at.play("--check", "--diff")
    assert recap.changed > 0
    left = at.vm.ssh(
        "ls -d /opt/wardgate /etc/wardgate* /var/lib/wardgate* /etc/prometheus", check=False
    )
    assert left.stdout == "", left.stdout
    say(f"check mode on a bare box: {recap.changed} changes foretold, none made")


def install(at: Rehearsal) -> None:
    recap = at.play()
    for unit in UNITS.values():
        assert at.property("Type", unit) == "notify"
        assert at.active(unit), at.journal()
    say(f"installed: {recap.changed} changes; {', '.join(UNITS.values())} said READY=1")
    at.works()
    say("a report by MQTT (mTLS) and one by CoAP (DTLS) were acknowledged, and are at the core")


def again(at: Rehearsal) -> None:
    for mode in ((), ("--check",)):
        recap = at.play(*mode)
        assert recap.changed == 0, at.changed_tasks()
        say(f"again, {' '.join(mode) or 'for real'}: {recap.ok} tasks, changed=0")


def units(at: Rehearsal, names: Sequence[str] = (*UNITS.values(), FILTER)) -> None:
    for unit in names:
        verified = at.vm.ssh(f"systemd-analyze verify --man=no {unit}.service", check=False)
        said = verified.stdout + verified.stderr
        assert (verified.returncode, said) == (0, ""), said
        said = at.vm.ssh(f"systemd-analyze security --no-pager {unit}", check=False).stdout
        found = re.search(r"Overall exposure level for \S+ (\d+\.\d)", said)
        assert found, said
        assert float(found[1]) <= EXPOSURE_MAX, said
        say(f"systemd-analyze {unit}: verify is silent, exposure {found[1]}")


def address_limits(at: Rehearsal) -> None:
    allowed = at.property("IPAddressAllow")
    denied = set(at.property("IPAddressDeny").split())
    assert denied == {"::/0", "0.0.0.0/0"}, denied
    assert site.EMULATORS_NETWORK in allowed, allowed
    seen = at.python(CONNECT)
    assert seen in ("reached PermissionError", "reached TimeoutError"), seen
    knocked = at.python(KNOCK)
    assert knocked == "reached TimeoutError", knocked
    say(f"the gateway's cgroup reaches {allowed}; a connection elsewhere, and one from there, fail")


def packet_filter(at: Rehearsal) -> None:
    assert at.active(FILTER), at.journal()
    spoke = at.python(SPEAK)
    assert spoke == "reached TimeoutError", spoke
    refused = "/opt/wardgate/bin/wardgate gateway packetfilter counters | grep ^refused"

    def counted() -> bool:
        return int(at.vm.ssh(refused).stdout.split()[1]) > 0

    at.wait_for(counted, "the counter of what is refused")
    at.wait_for(lambda: "nothing explains them" in at.journal(), "the gateway's word on it")
    say("a process of the gateway's user can't connect elsewhere; it is counted, and told")


def monitoring(at: Rehearsal) -> None:
    seen: dict[str, object] = {}

    def all_up() -> bool:
        seen.update(json.loads(at.python(PROMETHEUS)))
        return seen["targets"] == dict.fromkeys(UNITS.values(), "up") and all(
            health == "ok"
            for _, health in seen["rules"]  # type: ignore[attr-defined]
        )

    wanted = (site.ROOT / "ansible/roles/monitoring/files/rules/wardgate.yml").read_text()
    at.wait_for(all_up, f"Prometheus {seen}")
    names = [name for name, _ in seen["rules"]]  # type: ignore[attr-defined]
    assert sorted(names) == sorted(re.findall(r"(?:alert|record): ([\w:]+)", wanted)), names
    say(f"Prometheus scrapes {', '.join(UNITS.values())}; {len(names)} rules evaluate")


def change_the_policy(at: Rehearsal) -> None:
    pid = at.property("MainPID")
    at.files.sign_policy(2, default_policy() + "\n// Seen by the board.\n")
    recap = at.play(groups=["gateways"])
    assert at.changed_tasks() == [
        "gateway : Write the policy",
        "gateway : Reload the gateway",
    ], recap
    assert at.property("MainPID") == pid
    at.wait_for(lambda: "configuration applied" in at.journal(), "the reload")
    say("a changed policy was applied by a reload, without a restart")


def serial_port(at: Rehearsal) -> None:
    assert "char-ttyS" not in at.property("DeviceAllow")
    pid = at.property("MainPID")
    at.files.add_serial_port()
    values = {terms.HEART_RATE: 72.0, terms.SPO2: 97.5}
    assert isinstance(at.vm, Machine)  # a box in namespaces has no serial port
    with SerialMonitor(at.vm.serial_line, values):
        at.play(groups=["gateways"])
        assert at.property("MainPID") != pid
        assert "char-ttyS rw" in at.property("DeviceAllow")
        at.wait_for_core(site.BED)
    say("wardgate_serial: restarted; a monitor on the box's serial port reports to the core")
    units(at)


def kill(at: Rehearsal) -> None:
    restarts = int(at.property("NRestarts"))
    at.ward.pace(TALK_PER_S)
    for signal, words in (("KILL", "killed"), ("STOP", "hung, and ended by the watchdog")):
        at.vm.ssh(f"kill -{signal} {at.property('MainPID')}")
        restarts += 1
        wanted = str(restarts)
        at.wait_for(lambda: at.property("NRestarts") == wanted and at.active(), words)  # noqa: B023
        at.works()
        say(f"the gateway was {words}: back, and works")
    say(at.account())


def upgrade(at: Rehearsal) -> None:
    code = "from importlib.metadata import version; print(version('wardgate'))"
    ask = f'/opt/wardgate/bin/python -c "{code}"'
    before = at.vm.ssh(ask).stdout.strip()
    pids = {unit: at.property("MainPID", unit) for unit in UNITS.values()}
    at.wheel = site.next_version(at.wheel, at.vm.work / "next")
    foretold = at.play("--check", groups=["gateways"])
    assert foretold.changed > 0
    assert at.vm.ssh(ask).stdout.strip() == before
    at.ward.pace(TALK_PER_S)
    at.play()
    after = at.vm.ssh(ask).stdout.strip()
    assert after == f"{before}.post1", after
    for unit, pid in pids.items():
        assert at.active(unit), at.journal()
        assert at.property("MainPID", unit) != pid, f"{unit} still runs the old version"
    at.works()
    say(f"upgraded from {before} to {after} while devices talked: {at.account()}")
    recap = at.play(groups=[each for each in GROUPS if each != "monitoring"])
    assert recap.changed == 0, at.changed_tasks()
    say("after the upgrade: changed=0")
