"""FreeRADIUS, configured by the fleet, asked by wpa_supplicant's EAP peer as an SMF would ask.

One fleet, one agent, one radiusd for all of it; a fake SMF takes the Disconnect-Requests.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import hmac
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.plan import free_ports
from fleet import config as fleet_config
from fleet import setup
from fleet.radius.publish import newest, put
from fleet.store import CredentialRow, DeviceRow, Store
from gateway.clock import SystemClock
from gateway.domain.devices import Standing
from gateway.domain.network import Attachment, parse_binding
from gateway.network.judge import Bindings, Mismatch, judge
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pki import Subject, Validity
from tests.integration.fleet_process import TRUST_DOMAIN, Fleet
from tests.integration.test_fleet import Gateway

pytestmark = [
    pytest.mark.skipif(
        not (shutil.which("freeradius") and shutil.which("eapol_test")),
        reason="needs freeradius and eapol_test (make system)",
    ),
    pytest.mark.timeout(480),
]

WAIT_S = 90
"""Longer than until an SMF that did not answer is asked once more."""
ATTACH_S_MAX = 40
STOP_S = 5
"""As long as the unit of FreeRADIUS gives it."""
SECRET = "s3cret-of-the-smf"
SIM, NUMBER, MODEM = "001010000000001", "8613800000001", "490154203237518"
RIGHT = {
    "imsi": SIM,
    "imei": MODEM[:14] + "99",
    "dnn": "MED.mnc001.mcc001.gprs",
    "snssai": "0100000a",
    "tac": "000002",
}


class Peer(NamedTuple):
    """A device's certificate, and what the network says beside it."""

    files: TlsFiles
    session: str = "SESSION-1"


class Smf:
    """What takes Disconnect-Requests: answers each by hand, without our codec."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(WAIT_S)
        self.port = self.socket.getsockname()[1]

    def take(self, code: int, attributes: bytes = b"") -> dict[int, bytes]:
        """Receive a request, look whether it is right, and answer it with ``code``."""
        data, there = self.socket.recvfrom(4096)
        found = self._read(data)
        secret = SECRET.encode()
        head = bytes((code, data[1])) + (20 + len(attributes)).to_bytes(2, "big")
        proof = hashlib.md5(head + data[4:20] + attributes + secret).digest()
        self.socket.sendto(head + proof + attributes, there)
        return found

    def take_until(self, sessions: set[bytes], code: int, attributes: bytes = b"") -> set[bytes]:
        """Answer requests until there was one for each of these sessions; all that were asked for.

        Some may be asked for twice: whoever waits for an answer for a second asks again.
        """
        found: set[bytes] = set()
        while not found >= sessions:
            found.add(self.take(code, attributes)[44])
        return found

    def take_again(self, code: int, attributes: bytes = b"") -> None:
        """Answer what waits: whoever was held up has answered too late, and is asked once more."""
        self.socket.setblocking(False)
        try:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.take(code, attributes)
        finally:
            self.socket.settimeout(WAIT_S)

    @staticmethod
    def _read(data: bytes) -> dict[int, bytes]:
        secret = SECRET.encode()
        assert data[0] == 40
        assert int.from_bytes(data[2:4], "big") == len(data)
        blank = data[:4] + bytes(16) + data[20:]
        assert hashlib.md5(blank + secret).digest() == data[4:20]
        found, at = {}, 20
        while at < len(data):
            found[data[at]] = data[at + 2 : at + data[at + 1]]
            at += data[at + 1]
        unsigned = blank.replace(found[80], bytes(16))
        assert hmac.new(secret, unsigned, "md5").digest() == found[80]
        assert abs(int.from_bytes(found[55], "big") - time.time()) < WAIT_S
        return found


class Site:
    """A fleet, its agent, and the radiusd that both keep."""

    def __init__(self, folder: Path, eap_days: float = 365.0, restart: str = "false") -> None:
        """The EAP server's certificate is good for ``eap_days``; ``restart`` is the agent's."""
        self.folder = folder
        self.smf = Smf()
        self.port, self.accounting = free_ports(2)  # FreeRADIUS can't be told to take any
        run = folder / "run"
        run.mkdir()
        (folder / "secret").write_text(SECRET)
        (folder / "secret").chmod(0o600)
        self.in_force = folder / "force"
        self.sessions = run / "sessions.log"
        service = folder / "fleet" / "service-radius"
        lines = [
            "[radius]",
            f'directory = "{folder / "made"}"',
            f'in_force = "{self.in_force}"',
            f'certificate = "{service / "cert.pem"}"',
            f'key = "{service / "key.pem"}"',
            f'listen = "127.0.0.1:{self.port}"',
            f'accounting = "127.0.0.1:{self.accounting}"',
            f'run_dir = "{run}"',
            f'log = "{run / "radius.log"}"',
            f'sessions = "{self.sessions}"',
            f'group = "{grp.getgrgid(os.getegid()).gr_name}"',
            "[radius.clients.smf]",
            'address = "127.0.0.1"',
            f'secret = "{folder / "secret"}"',
            f'disconnect = "127.0.0.1:{self.smf.port}"',
        ]
        self.fleet = Fleet(folder, "\n".join(lines))
        setup.issue_for(
            fleet_config.load(self.fleet.config),
            Subject(Role.SERVICE, "radius", ("localhost",)),
            service,
            eap_days,
            SystemClock(),
        )
        self.expired = self._expired()
        self.fleet.start()
        self.good = self.add("pump-1", SIM, NUMBER, MODEM)
        self.lost = self.add("pump-2", "001010000000002")
        self.unbound = self.add("pump-3")
        self._processes: list[subprocess.Popen[bytes]] = []
        # FreeRADIUS begins with all of them, and not with what was written before they were added.
        devices = folder / "made" / "current" / "devices"
        self.until(lambda: "/device/pump-2" in devices.read_text())
        self.watch("--restart", "true", "--once").wait(WAIT_S)
        self.radiusd = self.serve()
        self.until(lambda: "Ready to process" in (run / "radius.log").read_text())
        self.watch("--restart", restart, "--reload", f"kill -HUP {self.radiusd.pid}")

    def _expired(self) -> TlsFiles:
        """A certificate that has ended, of which the store says that it has not."""
        now = datetime.now(UTC)
        authority = pki.load_authority(self.fleet.directory / "authority")
        validity = Validity(now - timedelta(days=2), now - timedelta(days=1))
        files, issued = pki.make_identity(
            authority, Subject(Role.DEVICE, "old"), self.folder / "old", validity
        )
        store = Store.open(self.fleet.directory / "state" / "fleet.db", lambda: 1)
        bound = parse_binding("001010000000009")
        row = DeviceRow("old", "", "", "", "mqtt", Standing.ACTIVE, "", 1, bound)
        store.add_device(row)
        serial = pki.load_certificates(files.cert)[0].serial_number
        del issued
        end = round((now + timedelta(days=9)).timestamp() * 1e6)
        store.add_credential(CredentialRow(serial, Role.DEVICE, "old", 1, end))
        store.close()
        return files

    def like_the_good_one(self, names: list[x509.GeneralName]) -> TlsFiles:
        """A certificate of our authority with the good one's serial number, and other names."""
        good = pki.load_certificates(self.good.cert)
        authority = pki.load_authority(self.fleet.directory / "authority")
        key = ec.generate_private_key(ec.SECP256R1())
        made = (
            x509.CertificateBuilder()
            .subject_name(good[0].subject)
            .issuer_name(good[0].issuer)
            .public_key(key.public_key())
            .serial_number(good[0].serial_number)
            .not_valid_before(good[0].not_valid_before_utc)
            .not_valid_after(good[0].not_valid_after_utc)
        )
        for each in good[0].extensions:
            if not isinstance(each.value, x509.SubjectAlternativeName):
                made = made.add_extension(each.value, each.critical)
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        folder = self.folder / "like"
        folder.mkdir(exist_ok=True)
        files = TlsFiles.within(folder)
        files.cert.write_bytes(pki.to_pem(made.sign(authority.key, SHA256()), *good[1:]))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def add(self, name: str, sim: str = "", number: str = "", modem: str = "") -> TlsFiles:
        bundle = self.folder / name
        words = ["--supi", sim] if sim else []
        if modem:
            words += ["--gpsi", number, "--imei", modem, "--dnn", "med", "--snssai", "1-00000A"]
            words += ["--tac", "000001", "--tac", "000002"]
        self.fleet.command("device", "add", name, "--bundle", str(bundle), *words)
        return TlsFiles.within(bundle)

    def watch(self, *options: str) -> subprocess.Popen[bytes]:
        command = ("-m", "wardgate", "fleet", "radius", "watch", "--config", self.fleet.config)
        return self.run("agent", sys.executable, *command, *options)

    def serve(self) -> subprocess.Popen[bytes]:
        """Run FreeRADIUS by what is in force."""
        return self.run("radiusd", "freeradius", "-f", "-d", self.in_force / "current")

    def run(self, name: str, *command: object) -> subprocess.Popen[bytes]:
        """A process that ends with the site; its words are in ``NAME.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            made = subprocess.Popen([str(each) for each in command], stdout=log, stderr=log)
        self._processes.append(made)
        return made

    def until(self, condition: object) -> None:
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                if condition():  # type: ignore[operator]
                    return
            except OSError:
                pass
            assert time.monotonic() < deadline, self.words()
            time.sleep(0.05)

    def words(self) -> str:
        logs = [*self.folder.glob("*.log"), *self.folder.glob("run/*.log")]
        return "\n".join(f"-- {each}\n{each.read_text()[-2000:]}" for each in logs)

    def attach(self, peer: Peer, **told: str) -> bool:
        """Whether a device gets in."""
        facts = RIGHT | told
        conf = self.folder / "eapol.conf"
        conf.write_text(
            'network={\nkey_mgmt=IEEE8021X\neap=TLS\nidentity="anonymous"\n'
            f'ca_cert="{self.fleet.directory / "service" / "ca.pem"}"\n'
            f'client_cert="{peer.files.cert}"\nprivate_key="{peer.files.key}"\n}}\n'
        )
        words = [
            vsa(1, facts["imsi"].encode()),
            vsa(20, facts["imei"].encode()),
            vsa(125, bytes.fromhex(facts["snssai"])),
            vsa(22, bytes.fromhex(f"8900f110{facts['tac']}00f1100000000100")),
            f"-N30:s:{facts['dnn']}",
            f"-N31:s:{facts.get('number', NUMBER)}",
            f"-N44:s:{peer.session}",
        ]
        done = subprocess.run(
            [
                *("eapol_test", "-c", str(conf), "-a", "127.0.0.1", "-p", str(self.port)),
                *("-s", SECRET, "-t", str(ATTACH_S_MAX), *words),
            ],
            capture_output=True,
            check=False,
            timeout=2 * ATTACH_S_MAX,
        )
        return done.returncode == 0

    def logged(self) -> list[list[str]]:
        return [line.split("\t") for line in self.sessions.read_text().splitlines()]

    def account(self, status: int, session: str, **told: str) -> None:
        """Send an Accounting-Request, and wait for its answer."""
        number = int(told.pop("identifier", "7"))
        attributes = attribute(40, status.to_bytes(4, "big")) + attribute(44, session.encode())
        attributes += attribute(26, bytes.fromhex("000028af") + b"\x01\x11" + SIM.encode())
        head = bytes((4, number)) + (20 + len(attributes)).to_bytes(2, "big")
        proof = hashlib.md5(head + bytes(16) + attributes + SECRET.encode()).digest()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.settimeout(WAIT_S)
            sender.sendto(head + proof + attributes, ("127.0.0.1", self.accounting))
            assert sender.recv(4096)[:2] == bytes((5, number))

    def close(self) -> None:
        for each in self._processes:
            if each.poll() is None:
                each.send_signal(signal.SIGTERM)
        for each in self._processes:
            end(each)
        self.fleet.close()
        self.smf.socket.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """As systemd does: told to stop, FreeRADIUS 3.2 may spin in a thread for ever."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(WAIT_S)


def attribute(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value) + 2)) + value


def vsa(number: int, value: bytes) -> str:
    return f"-N26:x:000028af{attribute(number, value).hex()}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("radius"))
    yield made
    made.close()


NAME = x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}/device/pump-1")
WRONG = {
    "wrong_sim": {"imsi": "001010000000002"},
    "wrong_number": {"number": "8613800000009"},
    "wrong_imei": {"imei": "3569380356438099"},
    "wrong_dnn": {"dnn": "internet"},
    "wrong_slice": {"snssai": "01"},
    "outside_tac": {"tac": "000003"},
}


def test_the_right_device_with_the_right_sim_in_the_right_place_gets_in(site: Site) -> None:
    assert site.attach(Peer(site.good)), site.words()
    kind, _, client, session, _, _, device, serial, supi, reason, *facts = site.logged()[-1]
    assert facts == [MODEM[:14], "med", "0x0100000a", "000002"]
    assert (kind, client, session, device, reason) == ("accepted", "smf", "SESSION-1", "pump-1", "")
    assert supi == f"imsi-{SIM}"
    assert int(serial, 16) == pki.load_certificates(site.good.cert)[0].serial_number
    for other in ({"imei": MODEM}, {"dnn": "med"}, {"tac": "000001"}, {"imsi": f"imsi-{SIM}"}):
        assert site.attach(Peer(site.good), **other), site.words()
    other = {
        "imsi": "001010000000002",
        "dnn": "any",
        "snssai": "02",
    }  # it is bound to none of these
    assert site.attach(Peer(site.lost, "SESSION-0"), **other)


@pytest.mark.parametrize("reason", WRONG)
def test_anything_that_is_wrong_keeps_it_out(site: Site, reason: str) -> None:
    assert not site.attach(Peer(site.good), **WRONG[reason])
    assert site.logged()[-1][0] == "refused"
    assert site.logged()[-1][6] == "pump-1"
    assert site.logged()[-1][9] == reason


def test_certificates_that_are_none_of_a_bound_device_stay_out(site: Site) -> None:
    now = datetime.now(UTC)
    authority = pki.create_issuing(pki.create_root(TRUST_DOMAIN, now), now)
    foreign, _ = pki.make_identity(
        authority, Subject(Role.DEVICE, "pump-1"), site.folder / "foreign", Validity.days(now, 1)
    )
    # Of our own authority, and never noted by the fleet; or of somebody who is no device.
    unnoted = site.fleet.issue(Role.DEVICE, "pump-1")
    gateway = site.fleet.issue(Role.GATEWAY, "gw-1")
    before = len(site.logged())
    for files in (foreign, unnoted, gateway, site.unbound):
        assert not site.attach(Peer(files))
    assert not site.attach(Peer(site.expired), imsi="001010000000009")
    assert all(line[0] == "refused" for line in site.logged()[before:])


NAMES: dict[str, list[x509.GeneralName]] = {
    "another device's": [x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}/device/pump-9")],
    "one beside it": [
        NAME,
        x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}/device/pump-9"),
    ],
    "one of another kind beside it": [NAME, x509.DNSName("pump-1")],
    "of another kind": [x509.DNSName(NAME.value)],
    "twice": [NAME, NAME],
    "none": [],
}


@pytest.mark.parametrize("names", NAMES)
def test_a_name_that_was_not_noted_for_the_serial_number_stays_out(site: Site, names: str) -> None:
    """Our own authority's certificate with the serial number of another, were there ever one."""
    assert not site.attach(Peer(site.like_the_good_one(NAMES[names])))
    assert site.logged()[-1][6:10:3] == ["pump-1", "wrong_name"]


def test_a_certificate_is_told_by_what_is_in_it(site: Site) -> None:
    """The way in which the ones before are made, with the right name."""
    assert site.attach(Peer(site.like_the_good_one([NAME]))), site.words()


def test_what_an_smf_says_can_not_forge_a_line_of_the_log(site: Site) -> None:
    site.attach(Peer(site.good, "A\nstart\tB"), imsi="001010000000007")
    kind, _, client, session, *_ = site.logged()[-1]
    assert (kind, client) == ("refused", "smf")
    assert session == "A=0Astart=09B"


def test_a_change_in_the_registry_is_followed_and_ends_what_may_not_be(site: Site) -> None:
    assert site.attach(Peer(site.good, "SESSION-2"))
    both = {b"SESSION-0", b"SESSION-3"}
    for session in sorted(both):
        assert site.attach(Peer(site.lost, session.decode()), imsi="001010000000002")
    assert not site.attach(Peer(site.good), **WRONG["wrong_dnn"])
    site.account(1, "SESSION-2")
    site.account(1, "SESSION-4")
    site.account(2, "SESSION-4")
    site.fleet.command("device", "update", "pump-1", "--tac", "000003")
    site.fleet.command("device", "revoke", "pump-2", "--reason", "stolen")
    assert site.smf.take_until(both, 41) == both
    site.until(lambda: not site.attach(Peer(site.lost, "SESSION-9"), imsi="001010000000002"))
    site.until(lambda: site.attach(Peer(site.good), tac="000003"))
    assert not site.attach(Peer(site.good), tac="000002")
    # Once more by the list of revocations alone, as OpenSSL reads it.
    issuer = site.folder / "issuer.pem"
    issuer.write_bytes(pki.to_pem(*pki.load_certificates(site.lost.cert)[1:]))
    trust = site.in_force / "current" / "trust"
    for files, good in ((site.good, True), (site.lost, False)):
        verified = subprocess.run(
            ["openssl", "verify", "-crl_check", "-CApath", trust, "-untrusted", issuer, files.cert],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (verified.returncode == 0) is good
        assert good or "revoked" in verified.stderr
    # Another SIM: who is in by the one before has to come again.
    site.fleet.command("device", "update", "pump-1", "--supi", "001010000000005")
    # And who came in while the configuration was on its way.
    unknown = (42, attribute(101, (503).to_bytes(4, "big")))
    site.smf.take_until({b"SESSION-1", b"SESSION-2"}, *unknown)
    audit = (site.fleet.directory / "state" / "audit" / "audit.log").read_text
    # Each is noted after its answer, and SESSION-9 may have been let in, and is one of them then.
    words = ("bound_otherwise", "not_in_service", "wrong_dnn")

    def audited() -> bool:
        site.smf.take_again(*unknown)
        return audit().count('"disconnect"') >= 4 and all(word in audit() for word in words)

    site.until(audited)
    assert SIM not in audit()


def test_the_configuration_is_written_once_to_be_looked_at(site: Site, tmp_path: Path) -> None:
    def names() -> str:
        words = ("--config", str(site.fleet.config), "--out", str(tmp_path / "out"))
        site.fleet.command("fleet", "radius", "export", *words)
        return (tmp_path / "out" / "current" / "devices").read_text()

    site.add("pump-4", "001010000000004")
    assert "/device/pump-4" in names()
    assert "/device/pump-3" not in names()
    site.fleet.command("device", "update", "pump-4", "--standing", "suspended")
    assert "/device/pump-4" not in names()
    site.fleet.command("device", "update", "pump-4", "--standing", "active", "--supi", "")
    assert "/device/pump-4" not in names()


async def test_a_gateway_hears_what_the_network_says(site: Site, tmp_path: Path) -> None:
    async with Gateway(site.fleet, "gw-radius", tmp_path / "gw") as gateway:
        heard: list[Attachment] = []

        def hear(seen: Attachment) -> None:
            heard.append(seen)
            gateway.changed.set()

        gateway.link.on_attachment = hear
        await gateway.until(lambda: gateway.identity.device("pump-1"))
        known = gateway.identity.device("pump-1")
        (tac, *_) = known.network.tacs
        assert not site.attach(Peer(site.good), imsi="001010000000077", tac=tac)
        # The fleet may only now be reading what an earlier test had said.
        other = "imsi-001010000000077"
        await gateway.until(lambda: any(each.supi == other for each in heard))
        (seen,) = [each for each in heard if each.supi == other]
        assert seen.device_id == "pump-1"
        assert judge(Bindings([known]), "pump-1", seen) == {Mismatch.SIM_MOVED}


def test_what_freeradius_refuses_is_not_put_in_force(site: Site) -> None:
    good = site.add("pump-5", "001010000000006")
    site.until(lambda: site.attach(Peer(good, "SESSION-5"), imsi="001010000000006"))
    made = site.folder / "made"
    site.fleet.stop()  # what it wrote a moment later would take the place of what is written here
    site.until(lambda: newest(site.in_force) == newest(made))
    before = newest(made)
    broken = made / "broken"
    shutil.copytree(made / "current", broken)
    (broken / "policy.conf").write_text("wardgate_facts {\n  no_such_thing\n}\n")
    put(made, "broken")
    site.until(lambda: "refuses configuration broken" in (site.folder / "agent.log").read_text())
    assert newest(site.in_force) == before
    assert site.attach(Peer(good, "SESSION-5"), imsi="001010000000006")
    put(made, before)
    site.fleet.start()


def test_every_setting_is_taken_as_it_is_written(site: Site) -> None:
    checked = subprocess.run(
        ["freeradius", "-XC", "-d", site.in_force / "current"],
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert checked.returncode == 0, checked.stdout[-2000:]
    # It says so, and goes on with another value.
    assert not re.search(r"too (low|high|small|large)|[Ii]gnoring|out of range", checked.stdout)
