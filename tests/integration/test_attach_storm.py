"""A cell starts again, and everybody attaches at once: a storm at the generated FreeRADIUS.

Each attachment is a whole EAP-TLS handshake of its own, by one SMF; the right device with the right
SIM gets in, and in the middle of the storm one with another's SIM does not. Whoever is not answered
tries again, as devices do. All are sessions of one certificate, which costs the server what as many
certificates do. By hand with more, and with what it took::

    WARDGATE_ATTACHMENTS=1000 pytest -s tests/integration/test_attach_storm.py
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from time import process_time

import pytest

from bench.eap import (
    AGAIN_S,
    CHALLENGE,
    IDENTITY,
    STATE,
    TLS,
    TRIES,
    attach,
    attribute,
    attributes,
    context_of,
    persist,
    request,
    response,
    vendor,
)
from bench.rounds import quantiles
from demo.plan import free_ports
from fleet.radius.raddb import NEWCOMER_WAIT_MS
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pki import Subject
from tests.integration.test_secondary_authentication import (
    NUMBER,
    RIGHT,
    SECRET,
    SIM,
    Site,
    end,
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


class Beside:
    """The same server beside the site's, with another main file."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site, self._folder, self._here = site, folder, folder / "current"
        self.port, accounting = free_ports(2)
        shutil.copytree(site.in_force / "current", self._here)
        self.main = (self._here / "radiusd.conf").read_text()
        for old, new in (
            (site.in_force / "current", self._here),
            (site.folder / "run", folder),
            (site.port, self.port),
            (site.accounting, accounting),
        ):
            self.main = self.main.replace(str(old), str(new))

    def said(self, words: str) -> bool:
        """Whether its log has them."""
        return words in (self._folder / "radius.log").read_text()

    @contextmanager
    def running(self) -> Iterator[socket.socket]:
        """Gives the SMF's socket, the same each time; what is in the log before goes."""
        (self._here / "radiusd.conf").write_text(self.main)
        (self._folder / "radius.log").unlink(missing_ok=True)
        server = subprocess.Popen(["freeradius", "-f", "-d", self._here], stderr=subprocess.DEVNULL)
        try:
            self._site.until(lambda: self.said("Ready to process"))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as smf:
                smf.settimeout(AGAIN_S)
                smf.connect(("127.0.0.1", self.port))
                yield smf
        finally:
            end(server)


HELLO, GOES_ON = response(0, IDENTITY, b"anonymous"), response(1, TLS, b"\0")
NEVER_GIVEN = attribute(STATE, bytes(16))


def ask(smf: socket.socket, number: int, facts: bytes, eap: bytes) -> None:
    smf.send(request(number, SECRET.encode(), facts, eap))


def begun(smf: socket.socket, number: int) -> bytes:
    """Begin an attachment; the state that the server wants to see again.

    Whom a busy machine has kept waiting for a second is left, and asks again.
    """
    answer = b""
    for _ in range(TRIES):
        ask(smf, number, said(number), HELLO)
        with contextlib.suppress(TimeoutError):
            answer = smf.recv(4096)
            break
    assert answer[:2] == bytes((CHALLENGE, number))
    return b"".join(attribute(*each) for each in attributes(answer) if each[0] == STATE)


def answered(smf: socket.socket) -> set[int]:
    """Whatever has an answer that nobody has heard yet."""
    found = set()
    smf.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            found.add(smf.recv(4096)[1])
    return found


def test_a_newcomer_is_left_while_who_has_begun_is_answered(site: Site, tmp_path: Path) -> None:
    """A server for which any newcomer waits for too long, but for the first."""
    server = Beside(site, tmp_path)
    calm = f'/ {NEWCOMER_WAIT_MS}}}" > 0'
    assert server.main.count(calm) == 1
    busy = '+ 1}" > 0 && "%{Acct-Session-Id}" != "STORM-1"'
    server.main = server.main.replace(calm, busy)
    with server.running() as smf:
        state = begun(smf, 1)
        ask(smf, 2, said(2), HELLO)
        ask(smf, 3, said(3) + NEVER_GIVEN, HELLO)
        ask(smf, 4, said(4) + state, GOES_ON)
        heard: set[int] = set()

        def heard_four() -> bool:
            heard.update(answered(smf))
            return 4 in heard

        site.until(heard_four)
        assert not heard & {2, 3}
    assert not (tmp_path / site.sessions.name).exists()  # nobody was accepted, or refused


def test_who_is_in_the_middle_when_the_server_begins_anew_is_left(
    site: Site, tmp_path: Path
) -> None:
    """A refusal would be an answer, after which a device may not try again by itself."""
    server = Beside(site, tmp_path)
    with server.running() as smf:
        state = begun(smf, 1)
    with server.running() as smf:
        ask(smf, 2, said(1) + state, GOES_ON)
        site.until(lambda: server.said("No EAP session matching state"))
        begun(smf, 3)
        assert 2 not in answered(smf)


async def test_a_certificate_of_somebody_elses_is_an_answer(site: Site, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = pki.create_issuing(pki.create_root("elsewhere.internal", now), now)
    subject = Subject(Role.DEVICE, "pump-1")
    foreign, _ = pki.make_identity(authority, subject, tmp_path, pki.Validity.days(now, 1))
    context = context_of(TlsFiles(foreign.cert, foreign.key, site.good.trust))
    found = await attach(site.port, SECRET.encode(), context, said(0))
    assert found.accepted is False


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
