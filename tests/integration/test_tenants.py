"""Two hospitals on one node: the same names, addresses and device ids, and nothing in common.

Each has a gateway of a user of its own in a network namespace of its own, a ward and a campus that
look exactly like the other's, and an authority of its own. All that is tried is tried from both
sides.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.namespaces.net import PYTHON, Net, needs_namespaces, network
from tests.integration.namespaces.site import (
    CORE_AT,
    GATEWAY_AT,
    Captured,
    Hospital,
    readable_folder,
    until,
)

pytestmark = [needs_namespaces, pytest.mark.timeout(600)]

SMALL_BYTES = 64 * 1024
"""A's journal: a hundred reports."""
MESSAGES_MAX = 5000
MARK_PORT = 7777
"""Nobody uses it but who looks for a way to the other."""
REACH = """
import json, socket, sys
said = {}
for place in sys.argv[1:]:
    host, port = place.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 1).close()
        said[place] = "connected"
    except OSError as error:
        said[place] = type(error).__name__
print(json.dumps(said))
"""
PRY = """
import json, os, sys
said = {}
def attempt(what, how):
    try:
        how()
        said[what] = "done"
    except OSError as error:
        said[what] = type(error).__name__
state, secret, counters, space, pid = sys.argv[1:]
attempt("list state", lambda: os.listdir(state))
attempt("read audit key", lambda: open(state + "/audit.key").read())
attempt("read journal", lambda: os.listdir(state + "/journal"))
attempt("write state", lambda: open(state + "/x", "w"))
attempt("read sealing keys", lambda: open(secret).read())
attempt("read counters", lambda: open(counters).read())
attempt("read environment", lambda: open(f"/proc/{pid}/environ").read())
attempt("read memory", lambda: open(f"/proc/{pid}/mem", "rb").read(1))
attempt("signal", lambda: os.kill(int(pid), 0))
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def enter():
    with open(space) as file:
        if libc.setns(file.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
attempt("enter the network", enter)
print(json.dumps(said))
"""


class Node:
    """One host with two hospitals."""

    def __init__(self, net: Net, folder: Path) -> None:
        self.net = net
        self.hospitals = []
        self.seen: dict[str, list[Captured]] = {}
        for number, letter in enumerate("ab"):
            gateway, ward, campus = f"{letter}-gw", f"{letter}-ward", f"{letter}-campus"
            net.add(gateway, ward, campus)
            net.wire(gateway, ward, ["10.20.0.1/16"], ["10.20.0.2/16"])
            # Besides what is the same, an address on the campus that the other has not.
            net.wire(gateway, campus, ["10.2.0.1/16"], ["10.2.0.5/16", f"10.9{number}.0.5/16"])
            self.seen[letter] = [Captured(net, each, folder) for each in (gateway, ward, campus)]
            hospital = Hospital(
                net,
                folder / letter,
                f"hospital-{letter}",
                64991 + number,
                gateway_in=gateway,
                core_in=campus,
                ward_in=ward,
                limit_bytes=SMALL_BYTES if letter == "a" else 256 << 20,
            )
            hospital.start()
            self.hospitals.append(hospital)
        for hospital in self.hospitals:
            hospital.ready()

    def pairs(self) -> list[tuple[Hospital, Hospital]]:
        one, other = self.hospitals
        return [(one, other), (other, one)]


def arrived(hospital: Hospital, message_id: str) -> bool:
    return message_id in hospital.message_ids()


def counted(hospital: Hospital, series: str) -> bool:
    return hospital.metric(series) > 0


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with readable_folder() as folder, network() as net:
        yield Node(net, folder)


def test_each_gateway_serves_its_own_device_of_the_same_name(node):
    said = {}
    for hospital in node.hospitals:
        with hospital.talking() as device:
            assert device.greeting == "connected"
            said[hospital] = device.report()
    for one, other in node.pairs():
        until(partial(arrived, one, said[one]), one.words)
        assert said[other] not in one.message_ids()
        assert one.rows("SELECT DISTINCT device_id FROM reports") == [("monitor-1",)]


def test_a_device_of_one_is_a_stranger_to_the_other(node):
    for one, other in node.pairs():
        refused = (
            f'wardgate_refused_total{{reason="untrusted",tenant="{one.settings["tenant"]}",'
            'transport="mqtt"}'
        )
        ids = one.message_ids()
        # It trusts whom it visits, so that it is the gateway that refuses.
        intruder = other.device._replace(trust=one.device.trust)
        with one.talking(intruder) as device:
            assert device.greeting != "connected"
        until(partial(counted, one, refused), one.words)
        assert one.message_ids() == ids


def test_a_gateway_of_one_is_a_stranger_to_the_others_core(node):
    """Even where it gets at the core: here it is put into the other's network."""
    for one, other in node.pairs():
        ask = (
            "import socket, ssl, sys\n"
            "cert, key, trust = sys.argv[1:]\n"
            "c = ssl.create_default_context(cafile=trust)\n"
            "c.load_cert_chain(cert, key)\n"
            "c.set_alpn_protocols(['h2'])\n"
            f"s = socket.create_connection(('{CORE_AT}', 7443), 60)\n"
            "try:\n"
            "    t = c.wrap_socket(s, server_hostname='core.campus.test')\n"
            "    t.settimeout(60)\n"
            "    t.sendall(b'PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n' + bytes(9))\n"
            "    print('answered' if t.recv(1) else 'closed')\n"
            "except OSError as error: print(type(error).__name__)\n"
        )
        trust = one.folder / "gateway" / "ca.pem"
        for whose, expected in (
            (one, {"answered"}),
            (other, {"SSLError", "closed", "ConnectionResetError"}),
        ):
            files = [whose.folder / "gateway" / each for each in ("cert.pem", "key.pem")]
            said = node.net.call(one.gateway_in, PYTHON, "-c", ask, *files, trust).strip()
            assert said in expected, (whose.domain, said)


def test_there_is_no_path_from_one_to_the_other(node):
    for number, (one, other) in enumerate(node.pairs()):
        letter, others = "ab"[number], "ba"[number]
        for each in node.seen[others]:
            each.forget()
        own, foreign = f"10.9{number}.0.5:{MARK_PORT}", f"10.9{1 - number}.0.5:{MARK_PORT}"
        places = [
            foreign,
            f"{CORE_AT}:{MARK_PORT}",
            f"{GATEWAY_AT}:{MARK_PORT}",
            f"10.20.0.2:{MARK_PORT}",
        ]
        for uid in (one.uid, 0):  # with the rules, and as if they were not there
            said = json.loads(
                node.net.call(one.gateway_in, PYTHON, "-c", REACH, *places, own, uid=uid)
            )
            assert "connected" not in said.values(), (letter, said)
        time.sleep(0.2)
        for each in node.seen[others]:
            assert not [packet for packet in each.packets() if str(MARK_PORT) in packet.split()], (
                letter
            )
        assert other.gateway is not None
        # The listener and the metrics at the very addresses of the other are its own.
        tenant = one.settings["tenant"]
        assert one.metric(f'wardgate_ready{{tenant="{tenant}"}}') == 1
        with pytest.raises(KeyError):
            one.metric(f'wardgate_ready{{tenant="{other.settings["tenant"]}"}}')


def test_one_user_reads_nothing_of_the_other_on_the_shared_host(node):
    for one, other in node.pairs():
        assert other.gateway is not None
        space = f"/run/netns/{node.net.name(other.gateway_in)}"
        files = [other.folder / each for each in ("state", "seal.keys", "run/packetfilter.json")]
        pry = (PYTHON, "-c", PRY, *files, space, other.gateway.pid)
        said = json.loads(node.net.call(one.gateway_in, *pry, uid=one.uid))
        assert set(said.values()) == {"PermissionError"}, said
        # The same, asked by its own user, is allowed: so it is the user that decides.
        own = json.loads(node.net.call(other.gateway_in, *pry, uid=other.uid))
        assert {what for what, how in own.items() if how == "done"} >= {
            "list state",
            "read audit key",
            "read journal",
            "read sealing keys",
            "read counters",
            "signal",
        }


def test_the_full_journal_of_one_is_its_own_affair(node):
    a, b = node.hospitals
    a.end(a.core)
    full = 'wardgate_not_taken_total{outcome="full",tenant="hospital-a"}'
    with a.talking() as device, b.talking() as neighbour:
        # It is refused when nothing more fits; what was acknowledged before fits.
        taken = 0
        while device.is_taken():
            taken += 1
            assert taken < MESSAGES_MAX
        assert taken
        until(lambda: a.metric(full) > 0, a.words)
        for _ in range(20):
            last = neighbour.report()
        until(lambda: last in b.message_ids(), b.words)
        assert b.metric('wardgate_not_taken_total{outcome="full",tenant="hospital-b"}') == 0
        lanes = ("alarms", "telemetry")
        held = [f'wardgate_journal_bytes{{lane="{each}",tenant="hospital-a"}}' for each in lanes]
        assert sum(map(a.metric, held)) <= SMALL_BYTES
        a.start_core()
        until(
            lambda: a.metric('wardgate_connected{destination="core",tenant="hospital-a"}') == 1,
            a.words,
        )


def test_a_destination_of_another_tenant_is_refused_at_load(node, tmp_path):
    a = node.hospitals[0]
    path = tmp_path / "gateway.toml"
    wrong = a.config.read_text().replace(
        'tenant = "hospital-a"\naddress', 'tenant = "hospital-b"\naddress', 1
    )
    path.write_text(wrong)
    done = subprocess.run(
        [sys.executable, "-m", "wardgate", "gateway", "check", "-c", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "destination core: tenant is not 'hospital-a'" in done.stderr
