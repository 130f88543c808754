"""The kernel agrees: nothing leaves a gateway's host that its policy does not release.

Namespaces play the gateway's host, the ward, the campus with its core, the Internet and another
tenant; whoever is there answers for every address of its network and notes each packet. A process
of the gateway's user tries every way out. First without the rules: what is tried arrives, so that
its absence afterwards says something.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.namespaces.net import PYTHON, Net, needs_namespaces, network
from tests.integration.namespaces.site import (
    CORE_AT,
    CORE_NAME,
    CORE_PORT,
    HERE,
    MQTT_PORT,
    Captured,
    Hospital,
    readable_folder,
    until,
)

pytestmark = [needs_namespaces, pytest.mark.timeout(600)]

UID = 64991
ROGUE = (HERE / "rogue.py").read_text()
LISTENER = (HERE / "listener.py").read_text()
RESOLVER_AT = "10.2.0.53"
OUTSIDE = {
    "campus": "10.2.0.5",
    "internet": "203.0.113.2",
    "tenant": "10.30.0.2",
    "ward": "10.20.0.2",
}
MARK_PORT = 7777
PATIENCE_S = 60.0
"""With what is going to come."""


def metric(name: str, labels: str = "") -> str:
    """A series of the gateway's, which carry its tenant."""
    return f'wardgate_{name}{{{labels}{"," if labels else ""}tenant="hospital-a"}}'


def rule(name: str) -> str:
    return metric("packetfilter_packets_total", f'rule="{name}"')


class Campus:
    """The picture, and what is seen in it."""

    def __init__(self, net: Net, folder: Path) -> None:
        self.net = net
        self._marks = 0
        net.add("gw", *OUTSIDE)
        net.wire("gw", "ward", ["10.20.0.1/16", "fd00:20::1/64"], ["10.20.0.2/16", "fd00:20::2/64"])
        net.wire("gw", "campus", ["10.2.0.1/16", "fd00:2::1/64"], ["10.2.0.5/16", "fd00:2::5/64"])
        net.wire(
            "gw",
            "internet",
            ["203.0.113.1/24", "2001:db8:f::1/64"],
            ["203.0.113.2/24", "2001:db8:f::2/64"],
        )
        net.wire("gw", "tenant", ["10.30.0.1/16"], ["10.30.0.2/16"])
        net.ip("gw", "route", "add", "default", "via", "203.0.113.2")
        net.ip("gw", "-6", "route", "add", "default", "via", "2001:db8:f::2")
        net.ip("gw", "route", "add", "224.0.0.0/4", "dev", "w2a")
        for each, networks in (
            ("campus", ["10.2.0.4/30", "10.2.0.8/29", "10.2.0.53/32"]),
            ("internet", ["0.0.0.0/0", "::/0"]),
        ):
            for network_ in networks:
                net.answers_for(each, network_)
        net.call("gw", "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647")
        self.seen = {each: Captured(net, each, folder) for each in OUTSIDE}
        self.hospital = Hospital(
            net, folder / "hospital", "hospital-a", UID, gateway_in="gw", core_in="campus",
            ward_in="ward", required=True,
        )  # fmt: skip
        self.answer = folder / "answer"
        self.answer.write_text(CORE_AT)
        self.resolver = folder / "resolv.conf"
        self.resolver.write_text(f"nameserver {RESOLVER_AT}\noptions timeout:1 attempts:1\n")

    def forget(self) -> None:
        for each in self.seen.values():
            each.forget()

    def misbehave(self) -> dict[str, str]:
        """Let the rogue try everything; what arrives of it has been noted."""
        said = self.net.call("gw", PYTHON, "-I", "-c", ROGUE, uid=UID)
        self.catch_up()
        result: dict[str, str] = json.loads(said)
        return result

    def catch_up(self) -> None:
        """Wait until everything that has arrived is noted: until what is sent behind it is."""
        self._marks += 1
        port = MARK_PORT + self._marks
        places = [(each, port) for each in OUTSIDE.values()]
        send = f"import socket as s; [s.socket(type=s.SOCK_DGRAM).sendto(b'', p) for p in {places}]"
        self.net.call("gw", PYTHON, "-c", send)
        for where, seen in self.seen.items():
            mark = f" {OUTSIDE[where]} {port}"
            until(lambda: any(each.endswith(mark) for each in seen.packets()), lambda: where)  # noqa: B023

    def serve_secretly(self, patience_s: float) -> str:
        """A listener of the gateway's user; what somebody on the campus gets from it in time."""
        server = self.net.start(
            "gw", PYTHON, "-I", "-u", "-c", LISTENER, uid=UID, stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        client = (
            "import socket\n"
            f"try: print(socket.create_connection(('10.2.0.1', 9999), {patience_s}).recv(99))\n"
            "except OSError as error: print(type(error).__name__)\n"
        )
        try:
            return self.net.call("campus", PYTHON, "-c", client).strip()
        finally:
            server.kill()
            server.wait()

    def arrived(self, where: str) -> set[str]:
        """What arrived, without our side's passing ports."""
        found = set()
        for packet in self.seen[where].packets():
            protocol, source, sport, there, dport = packet.split()
            if MARK_PORT < int(dport) <= MARK_PORT + self._marks:
                continue
            keep = sport if int(sport) in (MQTT_PORT, 9999) else "*"
            found.add(f"{protocol} {source} {keep} {there} {dport}")
        return found


@pytest.fixture(scope="module")
def campus() -> Iterator[Campus]:
    with readable_folder() as folder, network() as net:
        yield Campus(net, folder)


def test_without_the_rules_every_attempt_arrives(campus):
    """The control: else the silence below would prove nothing."""
    campus.forget()
    said = campus.misbehave()
    assert said["raw"] == said["packet"] == said["setuid"] == "PermissionError"
    internet = {
        packet.split(" ", 2)[0] + " " + packet.split(" ", 3)[3]
        for packet in campus.arrived("internet")
    }
    assert internet >= {
        "tcp 93.184.216.34 443",
        "tcp 93.184.216.34 8443",
        "tcp 2001:db8:bad::1 443",
        "tcp 198.51.100.9 443",
        "udp 93.184.216.34 443",
        "udp 2001:db8:bad::1 443",
        "udp 93.184.216.34 123",
        "icmp 93.184.216.34 0",
        "icmp6 2001:db8:bad::1 0",
        "udp 192.0.2.99 53",
        "tcp 192.0.2.99 53",
    }
    assert {packet.split(" ", 3)[3] for packet in campus.arrived("campus")} >= {
        f"{CORE_AT} 22",
        f"{CORE_AT} {CORE_PORT}",
        f"10.2.0.6 {CORE_PORT}",
        f"{RESOLVER_AT} 53",
        "10.2.0.8 3128",
        "224.0.0.251 5353",
        "10.2.255.255 9",
    }
    assert any("10.30.0.2 8883" in packet for packet in campus.arrived("tenant"))
    assert any("10.20.0.2 22" in packet for packet in campus.arrived("ward"))
    assert campus.serve_secretly(PATIENCE_S) == "b'patient'"


def test_with_them_nothing_arrives_the_stream_works_and_the_alarm_is_at_the_core(campus):
    hospital = campus.hospital
    hospital.start()
    hospital.ready()
    with hospital.talking() as device:
        assert device.greeting == "connected"
        first = device.report()
        until(lambda: first in hospital.message_ids(), hospital.words)
        # That the filter was slower to start than the gateway waits for it, may have been told.
        assert hospital.alarms() <= {"silent", "packetfilter_missing"}
        campus.forget()
        campus.misbehave()
        assert campus.serve_secretly(2.0) == "TimeoutError"
        meanwhile = device.report()
        until(lambda: meanwhile in hospital.message_ids(), hospital.words)
        time.sleep(1.5)  # the kernel tries SYN and SYN-ACK again after a second
        campus.catch_up()
    assert campus.arrived("internet") == set()
    assert campus.arrived("tenant") == set()
    assert campus.arrived("campus") <= {
        # The stream, and the kernel's answers to the listener's visitor: none.
        f"tcp 10.2.0.1 * {CORE_AT} {CORE_PORT}",
    }, campus.arrived("campus")
    assert {packet.split()[2] for packet in campus.arrived("ward")} == {str(MQTT_PORT)}
    until(lambda: "unexpected_traffic" in hospital.alarms(), hospital.words)
    until(
        lambda: hospital.metric(rule("refused")) > 20,
        hospital.words,
    )
    until(lambda: hospital.metric(metric("packetfilter_missing")) == 0, hospital.words)
    # Who may be spoken to and is not: counted apart, and no surprise.
    assert hospital.metric(rule("closed-vendor")) >= 1
    entries = (hospital.folder / "state" / "audit").glob("*")
    assert any(b'"unexpected_traffic"' in each.read_bytes() for each in entries if each.is_file())


def test_a_stranger_reaches_no_listener(campus):
    """From the campus, to the ward's listener: outside its networks."""
    campus.forget()
    client = (
        "import socket\n"
        "try: socket.create_connection(('10.20.0.1', 8883), 2); print('connected')\n"
        "except OSError as error: print(type(error).__name__)\n"
    )
    campus.net.ip("campus", "route", "add", "10.20.0.0/16", "via", "10.2.0.1")
    campus.net.call("gw", "sysctl", "-qw", "net.ipv4.ip_forward=0")
    assert campus.net.call("campus", PYTHON, "-c", client).strip() == "TimeoutError"
    hospital = campus.hospital
    strangers = rule("strangers")
    until(lambda: hospital.metric(strangers) > 0, hospital.words)


def test_a_dns_answer_outside_is_not_dialled_and_the_alarm_is_at_the_core(campus):
    hospital, net = campus.hospital, campus.net
    server = net.start(
        "campus", PYTHON, HERE / "resolver.py", RESOLVER_AT, campus.answer,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    hospital.end(hospital.gateway)
    hospital.configure(core=f"{CORE_NAME}:{CORE_PORT}")
    hospital.end(hospital.filter)
    (hospital.folder / "run" / "packetfilter.json").unlink()
    hospital.start_filter(campus.resolver)
    hospital.start_gateway(campus.resolver)
    hospital.ready()
    with hospital.talking() as device:
        first = device.report()
        until(lambda: first in hospital.message_ids(), hospital.words)
        campus.forget()
        campus.answer.write_text("203.0.113.77")
        hospital.end(hospital.core)
        refused = metric("misdirected_total", 'destination="core",reason="address_refused"')
        until(lambda: hospital.metric(refused) > 1, hospital.words)
        later = device.report()
        assert campus.arrived("internet") == set()
        campus.answer.write_text(CORE_AT)
        hospital.start_core()
        until(lambda: later in hospital.message_ids(), hospital.words)
        until(lambda: "destination_misdirected" in hospital.alarms(), hospital.words)
    # What remains, plainly: who may ask the campus' resolver may ask it anything.
    campus.forget()
    campus.misbehave()
    assert any(f"{RESOLVER_AT} 53" in packet for packet in campus.arrived("campus"))
    assert campus.arrived("internet") == set()
    until(lambda: hospital.metric(rule("dns")) > 0, hospital.words)
