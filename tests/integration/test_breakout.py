"""Without the local breakout nothing of the gateway's reaches the Internet: the network agrees.

Namespaces play a device (UE), the UPF, the gateway's host at the UPF's side, the campus with the
core, and the Internet. The UPF steers by nftables: what a rule covers breaks out to the gateway or
to the campus; everything else goes to the Internet, where somebody has the core's address and notes
every packet and every byte. What the UPF does and what the platform says of it are set apart.

No packet filter runs, and it would not help: the core's address is allowed, and it is the network
that takes the packets elsewhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.namespaces.mec_platform import PORT as PLATFORM_PORT
from tests.integration.namespaces.net import PYTHON, Net, needs_namespaces, network
from tests.integration.namespaces.site import (
    CORE_AT,
    CORE_PORT,
    DEVICE,
    GATEWAY_AT,
    HERE,
    MQTT_PORT,
    ROOT,
    Captured,
    Hospital,
    readable_folder,
    until,
)

pytestmark = [needs_namespaces, pytest.mark.timeout(420)]

UID = 64993
UE_AT: Final = "10.20.1.2"
INSTANCE: Final = "instance-1"
RULES: Final = {"wards": GATEWAY_AT, "campus": CORE_AT}
"""Traffic rules of the application, and where each sends what it covers."""
STEERING: Final = {
    "wards": f'iifname "w1b" ip daddr {GATEWAY_AT} meta mark set 1',
    "campus": """\
        iifname "w2a" ip daddr 10.2.0.0/16 meta mark set 1
        iifname "w3a" ip daddr 10.20.0.0/24 meta mark set 1""",
}
"""The same rules in the data plane; the second one, both ways."""
MARK_PORT: Final = 7777
SILENCE_S: Final = 2.5
"""A gateway that tries again does so, and a kernel repeats a SYN, within a second."""
MEC: Final = f"""
[mec]
platform = "etsi"
app_instance = "{INSTANCE}"
app_support = "http://127.0.0.1:{PLATFORM_PORT}/mec_app_support/v1"
plain = true
look_s = 0.1
[mec.callback]
listen = "127.0.0.1:7449"
url = "http://127.0.0.1:7449"
plain = true
[mec.breakout]
rules = ["wards", "campus"]
campus = ["10.2.0.0/16", "10.20.0.0/16"]
"""


class Mobile:
    """The network, the hospital in it, and what is seen on the Internet."""

    def __init__(self, net: Net, folder: Path) -> None:
        self.net, self.folder = net, folder
        self._marks = 0
        net.add("ue", "upf", "gw", "campus", "internet")
        net.wire("ue", "upf", [f"{UE_AT}/24"], ["10.20.1.1/24"])
        net.wire("upf", "gw", ["10.20.0.254/24"], [f"{GATEWAY_AT}/24"])
        net.wire("upf", "campus", ["10.2.0.1/16"], [f"{CORE_AT}/16"])
        net.wire("upf", "internet", ["203.0.113.1/24"], ["203.0.113.2/24"])
        for name, router in (
            ("ue", "10.20.1.1"),
            ("gw", "10.20.0.254"),
            ("campus", "10.2.0.1"),
            ("internet", "203.0.113.1"),
        ):
            net.ip(name, "route", "add", "default", "via", router)
        net.answers_for("internet", "10.2.0.0/16")
        self._make_upf()
        self.internet = Captured(net, "internet", folder)
        self.heard = folder / "heard"
        self.heard.touch()
        self._await_ready("internet", PYTHON, HERE / "impostor.py", CORE_AT, CORE_PORT, self.heard)
        self.platform = self._await_ready(
            "gw", sys.executable, "-m", "tests.integration.namespaces.mec_platform", INSTANCE
        )
        self.hospital = Hospital(
            net, folder / "hospital", "hospital-a", UID, gateway_in="gw", core_in="campus",
            ward_in="ue",
        )  # fmt: skip
        config = self.hospital.config
        # The pause between tries is as long as it is by default: who is told to be silent in the
        # middle of one must be, too.
        config.write_text(config.read_text().replace("backoff_s_max = 1.0\n", "") + MEC)

    def _make_upf(self) -> None:
        """What is marked goes where it is addressed to; what is not goes to the Internet."""
        net = self.net
        for key in ("ip_forward=1", "conf.all.rp_filter=0", "conf.default.rp_filter=0"):
            net.call("upf", "sysctl", "-qw", f"net.ipv4.{key}")
        net.ip("upf", "rule", "add", "fwmark", "1", "lookup", "main", "priority", "100")
        for side in ("w1b", "w2a", "w3a"):
            net.ip("upf", "rule", "add", "iif", side, "lookup", "200", "priority", "200")
        net.ip("upf", "route", "add", "10.20.1.0/24", "dev", "w1b", "table", "200")
        net.ip("upf", "route", "add", "default", "via", "203.0.113.2", "table", "200")

    def _await_ready(self, there: str, *command: object) -> subprocess.Popen[str]:
        process: subprocess.Popen[str] = self.net.start(
            there, *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    # What is so, and what is said

    def steer(self, *names: str) -> None:
        """Have the UPF follow these rules and no other."""
        lines = "\n".join(STEERING[each] for each in names)
        file = self.folder / "upf.nft"
        file.write_text(
            "table ip upf {}\ndelete table ip upf\ntable ip upf {\nchain steer {\n"
            f"type filter hook prerouting priority mangle;\n{lines}\n}}\n}}\n"
        )
        self.net.call("upf", "nft", "-f", file)

    def say(self, *names: str) -> None:
        """Have the platform say that these rules are in force, and no other."""
        assert self.platform.stdin is not None
        assert self.platform.stdout is not None
        print(json.dumps({each: RULES[each] for each in names}), file=self.platform.stdin)
        self.platform.stdin.flush()
        assert self.platform.stdout.readline() == "told\n"

    # What came of it

    def metric(self, name: str, label: str) -> float:
        return self.hospital.metric(f'wardgate_{name}{{{label},tenant="hospital-a"}}')

    def is_held(self) -> bool:
        return self.metric("held", 'reason="breakout"') == 1

    def is_connected(self) -> bool:
        return self.metric("connected", 'destination="core"') == 1

    def has_let_go(self) -> bool:
        """Whether the gateway's host has no connection to the core's address, nor begins one."""
        return not self.net.call("gw", "ss", "-Htn", "dst", CORE_AT).strip()

    def look(self) -> list[str]:
        """Every packet that reached the Internet up to now, however late it is noted."""
        self._marks += 1
        port = MARK_PORT + self._marks
        send = (
            f"import socket as s; s.socket(type=s.SOCK_DGRAM).sendto(b'', ('203.0.113.2', {port}))"
        )
        self.net.call("upf", PYTHON, "-c", send)
        mark = f" 203.0.113.2 {port}"
        until(lambda: any(each.endswith(mark) for each in self.internet.packets()), lambda: mark)
        return [each for each in self.internet.packets() if each.split()[3] != "203.0.113.2"]

    def forget(self) -> None:
        """Begin anew to note what reaches the Internet."""
        self.look()
        self.internet.forget()

    def from_gateway(self) -> list[str]:
        """Its packets that reached the Internet."""
        return [each for each in self.look() if each.split()[1] == GATEWAY_AT]

    def from_device(self) -> list[str]:
        return [each for each in self.look() if each.split()[1] == UE_AT]

    def holds(self, *message_ids: str) -> bool:
        return set(message_ids) <= self.hospital.message_ids()


@pytest.fixture(scope="module")
def mobile() -> Iterator[Mobile]:
    with readable_folder() as folder, network() as net:
        mobile = Mobile(net, folder)
        mobile.steer(*RULES)
        mobile.say(*RULES)
        mobile.hospital.start_core()
        mobile.hospital.start_gateway()
        until(mobile.is_connected, mobile.hospital.words)
        yield mobile


def test_a_gateway_that_is_told_of_it_is_silent_in_the_middle_of_trying(mobile):
    """The UPF is first, and the platform's word comes later."""
    words = mobile.hospital.words
    with mobile.hospital.talking() as device:
        first = device.report()
        until(lambda: mobile.holds(first), words)
        assert mobile.look() == []

        # The control, and the limit: what nobody says the gateway can't know. What it then says to
        # whoever has the core's address is the beginning of a handshake, which nobody ends.
        mobile.steer("wards")
        kept = [device.report()]
        until(lambda: mobile.from_gateway() and mobile.heard.read_bytes(), words)
        until(lambda: not mobile.is_connected(), words)

        mobile.say("wards")
        until(lambda: mobile.is_held() and mobile.has_let_go(), words)
        mobile.forget()
        kept += [device.report() for _ in range(5)]
        time.sleep(SILENCE_S)
        assert mobile.from_gateway() == []
        assert mobile.hospital.message_ids() == {first}
        heard = mobile.heard.read_bytes()
        assert heard.startswith(b"\x16\x03")  # TLS: a handshake
        assert not any(each.encode() in heard for each in (DEVICE, first, *kept))

        mobile.steer(*RULES)
        mobile.say(*RULES)
        until(lambda: mobile.holds(first, *kept), words)
        until(lambda: "breakout_lost" in mobile.hospital.alarms(), words)


def test_nothing_leaves_at_all_when_the_platform_says_so_first(mobile):
    """What is under way arrives, connections end, and then the path may go."""
    words = mobile.hospital.words
    mobile.steer(*RULES)
    mobile.say(*RULES)
    with mobile.hospital.talking() as device:
        until(mobile.is_connected, words)
        first = device.report()
        until(lambda: mobile.holds(first), words)
        mobile.forget()
        mobile.say("wards")
        until(lambda: mobile.is_held() and mobile.has_let_go(), words)
        before = mobile.hospital.message_ids()
        mobile.steer("wards")
        kept = [device.report() for _ in range(5)]
        time.sleep(SILENCE_S)
        assert mobile.look() == []
        assert mobile.hospital.message_ids() == before

        # The other rule, too: what the device says goes astray, encrypted, and is sent again.
        mobile.steer()
        mobile.say()
        device.begin()
        until(mobile.from_device, words)
        assert {each.split()[4] for each in mobile.from_device()} == {str(MQTT_PORT)}
        assert mobile.from_gateway() == []
        mobile.steer(*RULES)
        kept.append(device.acknowledged())
        assert mobile.is_held()
        assert mobile.hospital.message_ids() == before
        mobile.say(*RULES)
        until(lambda: mobile.holds(*kept), words)
        assert mobile.from_gateway() == []
