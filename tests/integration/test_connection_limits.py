"""What one address may open at a gRPC port, enforced by the roles' rules in a kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "ansible" / "roles"
PORT, OTHER_PORT = 7443, 7444
CONNECTIONS = 8
BURST = 30
LISTEN = f"""
import asyncio

async def hold(reader, writer):
    await reader.read()
    writer.close()

async def main():
    for port in ({PORT}, {OTHER_PORT}):
        for host in ("0.0.0.0", "::"):
            await asyncio.start_server(hold, host, port, backlog=1024)
    print("listening", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
KNOCK = """
import socket, sys
source, target, port, tries = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
held = []
for _ in range(tries):
    try:
        held.append(socket.create_connection((target, port), 0.3, (source, 0)))
    except OSError as error:
        print(type(error).__name__)
print(len(held), flush=True)
sys.stdin.read()
"""


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def rules(directory: Path, **given: int) -> Path:
    """As the role of the fleet renders them."""
    defaults = yaml.safe_load((ROLES / "fleet" / "defaults" / "main.yml").read_text())
    words = {
        "ansible_managed": "Managed",
        "wardgate_limits_table": "wardgate_fleet",
        "wardgate_limits_port": PORT,
        "wardgate_limits_connections": defaults["wardgate_fleet_connections_per_address"],
        "wardgate_limits_per_s": defaults["wardgate_fleet_connections_per_s"],
        "wardgate_limits_burst": defaults["wardgate_fleet_connections_burst"],
        **given,
    }
    text = (ROLES / "package" / "templates" / "limits.nft.j2").read_text()
    found = directory / "limits.nft"
    found.write_text(jinja2.Template(text, undefined=jinja2.StrictUndefined).render(words))
    return found


class Network:
    """A host with the rules, and another one with several addresses."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._here, self._there = f"wg{os.getpid()}h", f"wg{os.getpid()}t"
        self._children: list[subprocess.Popen[str]] = []

    def build(self) -> None:
        for name in (self._here, self._there):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run(
            *("ip", "link", "add", "veth-h", "netns", self._here, "type", "veth"),
            *("peer", "name", "veth-t", "netns", self._there),
        )
        for name, link, number, count in (
            (self._here, "veth-h", 1, 1),
            (self._there, "veth-t", 16, 2),
        ):
            run("ip", "-n", name, "link", "set", link, "up")
            for last in range(number, number + count):
                run("ip", "-n", name, "addr", "add", f"192.0.2.{last}/24", "dev", link)
            for subnet in range(number, number + count):
                for last in (1, 2):
                    run(
                        *("ip", "-n", name, "addr", "add", f"2001:db8:0:{subnet}::{last}/32"),
                        *("dev", link, "nodad"),
                    )
        server = self._child(self._here, LISTEN)
        assert server.stdout is not None
        assert server.stdout.readline() == "listening\n"

    def limit(self, **given: int) -> None:
        """Load the rules, over those that are there."""
        found = rules(self._directory, **given)
        run("ip", "netns", "exec", self._here, "nft", "-f", str(found))

    def knock(self, source: str, target: str, tries: int, port: int = PORT) -> int:
        """How many connections an address gets, which are then held."""
        child = self._child(self._there, KNOCK, source, target, str(port), str(tries))
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip().isdigit():
                return int(line)
        raise AssertionError("no answer")

    def hang_up(self) -> None:
        """End all connections."""
        for child in self._children[1:]:
            child.kill()
            child.wait()
        del self._children[1:]

    def remove(self) -> None:
        for child in self._children:
            child.kill()
            child.wait()
        for name in (self._here, self._there):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def _child(self, name: str, program: str, *arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            ["ip", "netns", "exec", name, sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._children.append(child)
        return child


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if os.geteuid() or not shutil.which("nft") or not shutil.which("ip"):
        pytest.skip("needs root, nftables and iproute2")
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs network namespaces")
    made = Network(tmp_path_factory.mktemp("limits"))
    try:
        made.build()
        yield made
    finally:
        made.remove()


def test_an_address_has_a_share_and_others_have_theirs(network: Network) -> None:
    network.limit(wardgate_limits_connections=CONNECTIONS)
    assert network.knock("192.0.2.16", "192.0.2.1", 3 * CONNECTIONS) == CONNECTIONS
    assert network.knock("192.0.2.17", "192.0.2.1", 1) == 1
    assert network.knock("192.0.2.16", "192.0.2.1", 1, OTHER_PORT) == 1
    subnet = "2001:db8:0:16"
    assert network.knock(f"{subnet}::1", "2001:db8:0:1::1", CONNECTIONS - 1) == CONNECTIONS - 1
    assert network.knock(f"{subnet}::2", "2001:db8:0:1::1", CONNECTIONS) == 1
    assert network.knock("2001:db8:0:17::1", "2001:db8:0:1::1", 1) == 1
    network.hang_up()  # what has ended counts no more, once the last word was said
    assert any(network.knock("192.0.2.16", "192.0.2.1", 1) for _ in range(50))


def test_an_address_begins_only_so_often(network: Network) -> None:
    network.limit(wardgate_limits_per_s=1, wardgate_limits_burst=BURST)
    began = time.monotonic()
    got = network.knock("192.0.2.16", "192.0.2.1", 2 * BURST)
    assert BURST <= got <= BURST + 1 + (time.monotonic() - began)
    assert network.knock("192.0.2.17", "192.0.2.1", 1) == 1


def test_the_defaults_are_rules(network: Network) -> None:
    network.limit()
    assert network.knock("192.0.2.16", "192.0.2.1", 1) == 1
