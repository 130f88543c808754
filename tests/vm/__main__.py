"""Install, check, change, break and upgrade a gateway as ansible and systemd do it for real.

The machine has no way to any network: what the roles need is on a second disk. Everything is seen
from outside: by what ansible says, what systemd says, and by devices that report over MQTT and
CoAP and whose reports must be in the core's store.

Arguments are groups of the inventory (``fleet core gateways``, by default all three).
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.vm import machine, site

CACHE = site.ROOT / ".wardgate-vm"
EXPOSURE_MAX = 2.5
WAIT_S = 90.0
UNITS = {"fleet": "wardgate-fleet", "core": "wardgate-core", "gateways": "wardgate-gateway"}


def say(words: str) -> None:
    sys.stdout.write(f"[{time.strftime('%H:%M:%S')}] {words}\n")
    sys.stdout.flush()


class Recap(NamedTuple):
    """What ansible counted."""

    ok: int
    changed: int


class Rehearsal:
    """One site on one machine."""

    def __init__(
        self, vm: machine.Machine, files: site.Site, wheel: Path, groups: Sequence[str]
    ) -> None:
        self.vm = vm
        self.groups = groups
        self.units = [UNITS[each] for each in groups]
        self.files = files
        self.wheel = wheel
        self._n = 0

    # What a person does

    def play(self, *arguments: str) -> Recap:
        inventory = self.files.inventory(self.wheel, self.vm.ports["ssh"], self.vm.key, self.groups)
        done = subprocess.run(
            ["ansible-playbook", "-i", inventory, *arguments, site.ROOT / "ansible" / "site.yml"],
            env={**os.environ, "ANSIBLE_PIPELINING": "1", "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        with (self.vm.work / "ansible.log").open("a") as log:
            log.write(done.stdout + done.stderr)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        found = re.search(
            r"vm\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=0", done.stdout
        )
        assert found, done.stdout
        return Recap(int(found[1]), int(found[2]))

    def property(self, name: str, unit: str = "wardgate-gateway") -> str:
        return self.vm.ssh(f"systemctl show --value -p {name} {unit}").stdout.strip()

    def wait_for(self, what: Callable[[], bool], words: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError(f"{words}: waited in vain; {self.journal()}")
            time.sleep(0.5)

    def journal(self) -> str:
        return self.vm.ssh("journalctl -n 60 --no-pager -u 'wardgate-*'").stdout

    # What a device does

    def report_by_mqtt(self) -> str:
        """Send a report, wait for the acknowledgement; its message id."""
        self._n += 1
        identity = self.files.directory / site.DEVICE
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=site.DEVICE, protocol=paho.MQTTv5
        )
        context = ssl.create_default_context(cafile=str(identity / "ca.pem"))
        context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
        client.tls_set_context(context)
        client.connect("localhost", self.vm.ports["mqtt"])
        client.loop_start()
        try:
            sent = client.publish(f"devices/{site.DEVICE}/vitals", self._payload(), qos=1)
            sent.wait_for_publish(WAIT_S)
            assert sent.is_published(), self.journal()
        finally:
            client.disconnect()
            client.loop_stop()
        return f"vm:{self._n}"

    def report_by_coap(self) -> str:
        """The same over DTLS, where the gateway runs callbacks made by cffi."""
        self._n += 1
        identity = self.files.directory / site.DEVICE
        command = ["coap-client-openssl", "-B", "30", "-m", "post", "-t", "application/json"]
        command += ["-c", str(identity / "cert.pem"), "-j", str(identity / "key.pem")]
        command += ["-C", str(identity / "ca.pem"), "-e", self._payload(), "-v", "6"]
        url = f"coaps://localhost:{self.vm.ports['coaps']}/devices/{site.DEVICE}/vitals"
        done = subprocess.run([*command, url], capture_output=True, text=True, check=False)
        assert "2.04" in done.stdout + done.stderr, done.stdout + done.stderr + self.journal()
        return f"vm:{self._n}"

    def _payload(self) -> str:
        now = time.time_ns() // 1_000_000
        return f'{{"v":1,"boot":"vm","n":{self._n},"t":{now},"hr":71.0}}'

    def wait_for_core(self, message_id: str) -> None:
        """Wait until the core's store has a report, once."""
        query = (
            "import sqlite3; db = sqlite3.connect('file:/var/lib/wardgate-core/core.db?mode=ro',"
            f" uri=True); print(db.execute('SELECT count(*) FROM reports WHERE device_id = ? AND"
            f" message_id = ?', ('{site.DEVICE}', '{message_id}')).fetchone()[0])"
        )
        self.wait_for(
            lambda: self.vm.ssh(f'python3 -c "{query}"').stdout.strip() == "1",
            f"{message_id} at the core",
        )

    def works(self) -> None:
        for message_id in (self.report_by_mqtt(), self.report_by_coap()):
            if "core" in self.groups:
                self.wait_for_core(message_id)

    # The acts

    def check_on_a_bare_box(self) -> None:
        recap = self.play("--check", "--diff")
        assert recap.changed > 0
        left = self.vm.ssh("ls -d /opt/wardgate /etc/wardgate /var/lib/wardgate*", check=False)
        assert left.stdout == "", left.stdout
        say(f"check mode on a bare box: {recap.changed} changes foretold, none made")

    def install(self) -> None:
        recap = self.play()
        for unit in self.units:
            assert self.property("Type", unit) == "notify"
            assert self.property("ActiveState", unit) == "active", self.journal()
        say(f"installed: {recap.changed} changes; {', '.join(self.units)} said READY=1")
        self.works()
        say("a report by MQTT and one by CoAP over DTLS were acknowledged")

    def again(self) -> None:
        for mode in ((), ("--check",)):
            recap = self.play(*mode)
            assert recap.changed == 0, (self.vm.work / "ansible.log").read_text()[-6000:]
            say(f"again {' '.join(mode)}: changed=0")

    def exposure(self) -> None:
        for unit in self.units:
            said = self.vm.ssh(f"systemd-analyze security --no-pager {unit}", check=False).stdout
            found = re.search(r"Overall exposure level for \S+ (\d+\.\d)", said)
            assert found, said
            assert float(found[1]) <= EXPOSURE_MAX, said
            say(f"systemd-analyze security {unit}: {found[1]}")

    def address_limits(self) -> None:
        allowed = self.property("IPAddressAllow")
        assert self.property("IPAddressDeny") == "::/0 0.0.0.0/0", allowed
        assert site.EMULATORS_NETWORK in allowed, allowed
        say(f"the gateway's cgroup reaches {allowed}")

    def change_the_policy(self) -> None:
        pid = self.property("MainPID")
        self.files.policy.write_text(self.files.policy.read_text() + "\n// Seen by the board.\n")
        recap = self.play()
        assert recap.changed == 2, recap  # the file, and the reload
        assert self.property("MainPID") == pid
        assert "configuration applied" in self.journal()
        say("a changed policy was applied without a restart")

    def kill(self) -> None:
        restarts = int(self.property("NRestarts"))
        for signal, words in (("KILL", "killed"), ("STOP", "hung, ended by the watchdog")):
            self.vm.ssh(f"kill -{signal} {self.property('MainPID')}")
            restarts += 1
            self.wait_for(
                lambda wanted=restarts: (  # type: ignore[misc]
                    int(self.property("NRestarts")) == wanted
                    and self.property("ActiveState") == "active"
                ),
                f"{words} and back",
            )
            self.works()
            say(f"{words}: back, and works")

    def upgrade(self) -> None:
        code = "from importlib.metadata import version; print(version('wardgate'))"
        ask = f'/opt/wardgate/bin/python -c "{code}"'
        before, pid = self.vm.ssh(ask).stdout.strip(), self.property("MainPID")
        self.wheel = site.next_version(self.wheel, self.vm.work / "next")
        foretold = self.play("--check")
        assert foretold.changed > 0
        assert self.vm.ssh(ask).stdout.strip() == before
        self.play()
        after = self.vm.ssh(ask).stdout.strip()
        assert after == f"{before}.post1", after
        assert self.property("MainPID") != pid
        assert self.property("ActiveState") == "active"
        self.works()
        assert self.play().changed == 0
        say(f"upgraded from {before} to {after}, then changed=0")


def main() -> int:
    """Run the rehearsal."""
    groups = sys.argv[1:] or list(UNITS)
    if not {"gateways"} <= set(groups) <= set(UNITS):
        sys.exit(f"groups are {' '.join(UNITS)}; gateways must be among them")
    began = time.monotonic()
    image = CACHE / "image"
    if not (image / "base.ext4").exists():
        say("making a Debian image, once")
        subprocess.run([Path(__file__).parent / "make-image", image], check=True)
    work, prepared = CACHE / "run", CACHE / "prepared"
    shutil.rmtree(prepared, ignore_errors=True)
    prepared.mkdir(parents=True)
    say("building the wheel and fetching what it needs")
    wheel = site.build_wheel(prepared)
    shelf = CACHE / "wheelhouse"
    site.fill_shelf(wheel, shelf)
    files = site.Site(prepared / "site")
    services = {"mqtt": ("tcp", site.MQTT_PORT), "coaps": ("udp", site.COAPS_PORT)}
    with machine.running(image, work, shelf, services) as vm:
        say(f"booted: {vm.ssh('uname -sr').stdout.strip()}, {vm.ssh('python3 -V').stdout.strip()}")
        rehearsal = Rehearsal(vm, files, wheel, groups)
        for act in (
            rehearsal.check_on_a_bare_box,
            rehearsal.install,
            rehearsal.again,
            rehearsal.exposure,
            rehearsal.address_limits,
            rehearsal.change_the_policy,
            rehearsal.kill,
            rehearsal.upgrade,
        ):
            act()
    say(f"8 passed in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
