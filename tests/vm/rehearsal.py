"""What a person, a device and an onlooker do at the machine; the acts are made of these."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.vm import machine, site
from tests.vm.ward import Ward

WAIT_S = 900.0
"""Three services that start at once take an emulated machine minutes, beside other work."""
POLL_S = 0.5
UNITS = {"fleet": "wardgate-fleet", "core": "wardgate-core", "gateways": "wardgate-gateway"}
PLAYBOOK = site.ROOT / "ansible" / "site.yml"
GROUPS = (*UNITS, "monitoring")
BACKUP = """\
import sqlite3
source = sqlite3.connect("file:/var/lib/wardgate-core/core.db?mode=ro", uri=True)
source.backup(sqlite3.connect("/run/core-copy.db"))
"""


def say(words: str) -> None:
    """One line of progress."""
    sys.stdout.write(f"[{time.strftime('%H:%M:%S')}] {words}\n")
    sys.stdout.flush()


class Recap(NamedTuple):
    """What ansible counted."""

    ok: int
    changed: int


class Rehearsal:
    """One site on one machine."""

    def __init__(self, vm: machine.Host, files: site.Site, wheel: Path, random: Random) -> None:
        self.vm = vm
        self.files = files
        self.wheel = wheel
        self.random = random
        self.ward = self._ward()
        self._n = 0

    # What a person does

    def play(self, *arguments: str, groups: Sequence[str] = GROUPS) -> Recap:
        """Run the roles of some groups of hosts, all of which are this machine."""
        code, said = self._played(arguments, groups)
        assert code == 0, said[-5000:] + self.journal()
        found = re.search(r"vm\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=0\s+failed=0", said)
        assert found, said
        return Recap(int(found[1]), int(found[2]))

    def play_in_vain(self, *, groups: Sequence[str]) -> str:
        """Run roles that have to refuse what they were given; what they said."""
        code, said = self._played((), groups)
        assert code != 0, said[-5000:]
        return said

    def _played(self, arguments: Sequence[str], groups: Sequence[str]) -> tuple[int, str]:
        login = {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.vm.ports["ssh"],
            "ansible_user": "root",
            "ansible_become": False,
            "ansible_python_interpreter": "/opt/warm/python",
            "ansible_ssh_private_key_file": str(self.vm.key),
            "ansible_ssh_args": " ".join(self.vm.ssh_options()),
        }
        inventory = self.files.inventory(self.wheel, login, groups)
        log = self.vm.work / "ansible.log"
        with log.open("a") as file:
            file.write(f"== {tuple(arguments)} {groups}\n")
            file.flush()
            done = subprocess.run(
                ["ansible-playbook", "-i", inventory, *arguments, PLAYBOOK],
                env={**os.environ, "ANSIBLE_PIPELINING": "1", "ANSIBLE_NOCOLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return done.returncode, self.last_play()

    def last_play(self) -> str:
        """What ansible said in the last play."""
        return (self.vm.work / "ansible.log").read_text().rpartition("== ")[2]

    def changed_tasks(self) -> list[str]:
        """What the last play changed, by the names of its tasks and handlers."""
        blocks = re.split(r"(?m)^(?:TASK|RUNNING HANDLER) \[", self.last_play())[1:]
        return [each.split("]")[0] for each in blocks if re.search(r"(?m)^changed: ", each)]

    # What an onlooker sees

    def property(self, name: str, unit: str = "wardgate-gateway") -> str:
        """One property of a unit."""
        return self.vm.ssh(f"systemctl show --value -p {name} {unit}").stdout.strip()

    def python(self, code: str) -> str:
        """What a few lines of Python say in the machine."""
        return self.vm.ssh(f"python3 - <<'CODE'\n{code}\nCODE").stdout.strip()

    def wait_for(self, what: Callable[[], bool], words: str) -> None:
        """Look until it is so.

        Raises:
            AssertionError: it is not so in :data:`WAIT_S`.
        """
        deadline = time.monotonic() + WAIT_S
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError(f"{words}: waited in vain; {self.journal()}")
            time.sleep(POLL_S)

    def active(self, unit: str = "wardgate-gateway") -> bool:
        """Whether systemd has heard READY=1."""
        return self.property("ActiveState", unit) == "active"

    def journal(self) -> str:
        """What the units said last."""
        return self.vm.ssh("journalctl -n 60 --no-pager -u 'wardgate-*'", check=False).stdout

    def core_store(self) -> Path:
        """A copy of the core's store, on this host."""
        self.python(BACKUP)
        copy = self.vm.work / "core.db"
        done = self.vm.ssh_bytes("cat /run/core-copy.db && rm /run/core-copy.db")
        assert done.returncode == 0, done.stderr
        copy.write_bytes(done.stdout)
        return copy

    # What devices do

    def _ward(self) -> Ward:
        identities = [self.files.directory / name for name in site.WARD]
        return Ward(identities, self.vm.ports["mqtt"], self.random)

    def new_ward(self) -> None:
        """The same devices, switched off and on: they begin a new account."""
        self.ward.close()
        self.ward = self._ward()

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
        command = ["coap-client-openssl", "-B", "60", "-m", "post", "-t", "application/json"]
        command += ["-c", str(identity / "cert.pem"), "-j", str(identity / "key.pem")]
        command += ["-C", str(identity / "ca.pem"), "-e", self._payload(), "-v", "6"]
        url = f"coaps://127.0.0.1:{self.vm.ports['coaps']}/devices/{site.DEVICE}/vitals"
        done = subprocess.run([*command, url], capture_output=True, text=True, check=False)
        assert "2.04" in done.stdout + done.stderr, done.stdout + done.stderr + self.journal()
        return f"vm:{self._n}"

    def _payload(self) -> str:
        now = time.time_ns() // 1_000_000
        return f'{{"v":1,"boot":"vm","n":{self._n},"t":{now},"hr":71.0}}'

    def wait_for_core(self, device: str, message_id: str | None = None) -> None:
        """Wait until the core's store has a report of a device, or that one, once."""
        if message_id is None:
            what = f"count(*) > 0 FROM reports WHERE device_id = '{device}'"
        else:
            what = "count(*) = 1 FROM reports WHERE (device_id, message_id) = "
            what += f"('{device}', '{message_id}')"
        code = (
            "import sqlite3; db = sqlite3.connect('file:/var/lib/wardgate-core/core.db?mode=ro',"
            f' uri=True); print(db.execute("SELECT {what}").fetchone()[0])'
        )
        self.wait_for(
            lambda: self.python(code) == "1", f"{message_id or 'a report'} of {device} at the core"
        )

    def works(self) -> None:
        """A report by each way, and both at the core."""
        for message_id in (self.report_by_mqtt(), self.report_by_coap()):
            self.wait_for_core(site.DEVICE, message_id)

    def account(self) -> str:
        """Wait until the core has everything that was acknowledged to the ward's devices.

        Raises:
            AssertionError: something is lost.
        """
        self.ward.settle()
        missing: dict[str, int] = {}

        def complete() -> bool:
            missing.clear()
            missing.update(self.ward.missing(self.core_store()))
            return not missing

        try:
            self.wait_for(complete, "the core")
        except AssertionError as error:
            raise AssertionError(f"acknowledged and lost: {missing}; {error}") from None
        count = self.ward.count()
        return f"{count.acknowledged} of {count.sent} messages were acknowledged, all at the core"
