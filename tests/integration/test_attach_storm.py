"""A cell starts again, and everybody attaches at once: a storm at the generated FreeRADIUS.

Each attachment is a whole EAP-TLS handshake of its own, by one SMF; the right device with the right
SIM gets in, and in the middle of the storm one with another's SIM does not. Whoever is not answered
tries again, as devices do. All are sessions of one certificate, which costs the server what as many
certificates do. By hand with more, and with what it took::

    WARDGATE_ATTACHMENTS=1000 pytest -s tests/integration/test_attach_storm.py
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import process_time

import pytest

from bench.eap import (
    IDENTITY,
    REJECT,
    STATE,
    TLS,
    attribute,
    context_of,
    persist,
    request,
    response,
    vendor,
)
from bench.rounds import quantiles
from demo.plan import free_ports
from fleet.radius.raddb import NEWCOMER_WAIT_MS
from tests.integration.test_secondary_authentication import (
    NUMBER,
    RIGHT,
    SECRET,
    SIM,
    Site,
)

ATTACHMENTS = int(os.environ.get("WARDGATE_ATTACHMENTS", "60"))
OTHER_SIM = "001010000000002"
STRANGERS = max(1, ATTACHMENTS // 20)

pytestmark = [
    pytest.mark.skipif(not shutil.which("freeradius"), reason="needs freeradius (make system)"),
    pytest.mark.timeout(180 + ATTACHMENTS),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("radius"))
    yield made
    made.close()


def said(number: int, sim: str = SIM) -> bytes:
    """What the SMF says of one attachment."""

    place = bytes.fromhex(f"8900f110{RIGHT['tac']}00f1100000000100")
    return b"".join(
        (
            attribute(1, b"anonymous"),
            attribute(4, bytes((127, 0, 0, 1))),
            attribute(30, RIGHT["dnn"].encode()),
            attribute(31, NUMBER.encode()),
            attribute(44, f"STORM-{number}".encode()),
            vendor(1, sim.encode()),
            vendor(20, RIGHT["imei"].encode()),
            vendor(125, bytes.fromhex(RIGHT["snssai"])),
            vendor(22, place),
        )
    )


async def test_everybody_gets_in_and_who_has_anothers_sim_does_not(site: Site) -> None:
    context, random = context_of(site.good), Random(7)
    sims = [SIM] * ATTACHMENTS + [OTHER_SIM] * STRANGERS
    jobs = [
        persist(site.port, SECRET.encode(), context, said(n, sim), random)
        for n, sim in enumerate(sims)
    ]
    cpu, own, began = cpu_s(site.radiusd.pid), process_time(), asyncio.get_running_loop().time()
    found = await asyncio.gather(*jobs)
    took_s = asyncio.get_running_loop().time() - began
    own_s, started_s = (b - a for a, b in zip(cpu, cpu_s(site.radiusd.pid), strict=True))
    peak = next(line for line in status(site.radiusd.pid) if line.startswith("VmHWM"))
    print(  # noqa: T201  # for who tries it by hand
        f"\n{len(found)} at once: all answered after {took_s:.1f} s ({len(found) / took_s:.0f}/s),"
        f" each {quantiles([round(each.took_s * 1e6) for each in found])};"
        f" asked again {sum(each.repeats for each in found)} times,"
        f" given up {sum(each.given_up for each in found)} times;"
        f" CPU of FreeRADIUS {own_s:.1f} s, of what it starts {started_s:.1f} s,"
        f" of the SMF and the devices {process_time() - own:.1f} s; {' '.join(peak.split())}"
    )
    assert {each.accepted for each in found[:ATTACHMENTS]} == {True}
    assert {each.accepted for each in found[ATTACHMENTS:]} == {False}
    everybody = {f"STORM-{number}" for number in range(ATTACHMENTS)}
    site.until(lambda: logged(site, "accepted") == everybody)


def test_a_newcomer_is_left_while_who_has_begun_is_answered(site: Site, tmp_path: Path) -> None:
    """The same server, for which any newcomer waits for too long."""
    here, (port, accounting) = tmp_path / "current", free_ports(2)
    shutil.copytree(site.in_force / "current", here)
    conf = (here / "radiusd.conf").read_text()
    busy = conf.replace(f"/ {NEWCOMER_WAIT_MS}}}", "+ 1}")
    assert busy != conf
    for old, new in (
        (site.in_force / "current", here),
        (site.folder / "run", tmp_path),
        (site.port, port),
        (site.accounting, accounting),
    ):
        busy = busy.replace(str(old), str(new))
    (here / "radiusd.conf").write_text(busy)
    server = subprocess.Popen(["freeradius", "-f", "-d", here], stderr=subprocess.DEVNULL)
    try:
        site.until(lambda: "Ready to process" in (tmp_path / "radius.log").read_text())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as smf:
            smf.settimeout(30)
            smf.connect(("127.0.0.1", port))
            hello, more = response(0, IDENTITY, b"anonymous"), response(1, TLS, b"\0")
            state = attribute(STATE, bytes(16))
            smf.send(request(1, SECRET.encode(), said(1), hello))
            smf.send(request(2, SECRET.encode(), said(2) + state, hello))
            smf.send(request(3, SECRET.encode(), said(3) + state, more))
            assert smf.recv(4096)[:2] == bytes((REJECT, 3))  # of what it has begun nothing is known
            smf.setblocking(False)
            with pytest.raises(BlockingIOError):
                smf.recv(4096)
        assert not (tmp_path / site.sessions.name).exists()  # nobody was accepted, or refused
    finally:
        server.terminate()
        server.wait(30)


def logged(site: Site, kind: str) -> set[str]:
    """Sessions that FreeRADIUS has written down."""
    return {each[3] for each in site.logged() if each[0] == kind}


def status(pid: int) -> list[str]:
    """What the kernel says of a process."""
    return Path(f"/proc/{pid}/status").read_text().splitlines()


def cpu_s(pid: int) -> tuple[float, float]:
    """A process' own time, and that of the processes that it has started and seen end."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own, started = (sum(map(int, fields[at : at + 2])) for at in (11, 13))
    ticks = os.sysconf("SC_CLK_TCK")
    return own / ticks, started / ticks
