"""What is installed into the machine: wheels, identities, configurations, the inventory."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from security import pki
from security.files import SECRET_MODE, TlsFiles, write_atomic
from security.names import Role
from security.policy import default_policy
from security.policybundle import Bundle, sign_bundle
from security.sealing import KeyRing
from tests.vm.ward import SPOKEN

ROOT = Path(__file__).resolve().parents[2]
PYTHON_INSIDE = "3.11"
TRUST_DOMAIN = "vm.wardgate.internal"
GATEWAY, CORE, DEVICE = "gw-vm", "core", "mon-1"
WARD = tuple(f"ward-{n}" for n in range(1, len(SPOKEN) + 1))
BED = "bed-9"
MQTT_PORT, COAPS_PORT, CORE_PORT = 8883, 5684, 7500
RADIUS_PORT, CALLBACK_PORT = 1812, 7448
EMULATORS_NETWORK = "10.0.2.0/24"
THIS_HOST = "10.0.2.2"
"""The host that runs the emulator, as the machine sees it: what listens on its loopback."""
ELSEWHERE = "192.0.2.1"
"""An address of the machine's own in a network that nobody allowed (see make-image)."""
DAYS = 2.0
MEC_SECRET = "of-the-application"

GATEWAY_TOML = f"""\
[gateway]
name = "{GATEWAY}"
state_dir = "/var/lib/wardgate"
seal_keys = "credential:seal.keys"
ward_networks = ["{EMULATORS_NETWORK}"]
[tls]
cert = "/var/lib/wardgate/identity/cert.pem"
key = "/var/lib/wardgate/identity/key.pem"
trust = "/var/lib/wardgate/identity/ca.pem"
[identity]
trust_domain = "{TRUST_DOMAIN}"
[policy]
file = "policy.signed"
[packet_filter]
required = true
trust = "/etc/wardgate/policy-roots.pem"
[journal]
limit_bytes = {256 << 20}
alarm_reserve_bytes = {32 << 20}
# Devices here speak when they are asked to.
[pipeline.kinds.vitals]
interval_s = 0
[pipeline.kinds.drip]
interval_s = 0
[[destinations]]
name = "core"
zone = "campus"
purpose = "care"
tenant = "vm"
address = "127.0.0.1:{CORE_PORT}"
server_name = "localhost"
[drivers.mqtt]
listen = ["0.0.0.0:{MQTT_PORT}"]
[drivers.coap]
listen = ["0.0.0.0:{COAPS_PORT}"]
"""
SERIAL_TOML = f"""\
[[drivers.intellivue.monitors]]
device_id = "{BED}"
port = "/dev/ttyS1"
"""
CORE_TOML = f"""\
listen = "127.0.0.1:{CORE_PORT}"
database = "/var/lib/wardgate-core/core.db"
[metrics]
port = 9466
[tls]
certificate = "/var/lib/wardgate-core/identity/cert.pem"
key = "/var/lib/wardgate-core/identity/key.pem"
client_ca = "/var/lib/wardgate-core/identity/ca.pem"
trust_domain = "{TRUST_DOMAIN}"
"""

RADIUS_TOML = f"""\
[radius]
directory = "radius"
certificate = "radius-identity/cert.pem"
key = "radius-identity/key.pem"
listen = "0.0.0.0:{RADIUS_PORT}"
accounting = "0.0.0.0:1813"
[radius.clients.smf]
address = "{THIS_HOST}"
secret = "credentials/radius-smf"
"""


def pip(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *map(str, arguments)],
        check=True,
    )


def build_wheel(directory: Path) -> Path:
    """The checkout's wheel."""
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", directory, ROOT)
    (wheel,) = directory.glob("wardgate-*.whl")
    return wheel


def next_version(
    wheel: Path, directory: Path, changes: Mapping[str, tuple[str, str]] | None = None
) -> Path:
    """The same distribution under the next version, as a release would be.

    Args:
        wheel: the one before.
        directory: where it is made.
        changes: file -> what is there once, and what takes its place.
    """
    old = wheel.name.split("-")[1]
    release, _, number = old.partition(".post")
    new = f"{release}.post{int(number or 0) + 1}"
    changes = changes or {}
    directory.mkdir(exist_ok=True)
    made = directory / wheel.name.replace(old, new, 1)
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(made, "w") as target:
        for each in source.infolist():
            content = source.read(each)
            if each.filename in changes:
                before, after = (words.encode() for words in changes[each.filename])
                assert content.count(before) == 1, each.filename
                content = content.replace(before, after)
            if each.filename.endswith(".dist-info/METADATA"):
                content = re.sub(
                    rb"(?m)^Version: .*$", f"Version: {new}".encode(), content, count=1
                )
            if each.filename.endswith(".dist-info/RECORD"):
                # Without hashes, which have changed.
                lines = content.decode().splitlines()
                names = [line.rsplit(",", 2)[0] for line in lines]
                content = "\n".join(f"{name},," for name in names).encode() + b"\n"
                content = content.replace(f"wardgate-{old}.dist".encode(), _folder(new))
            name = each.filename.replace(f"wardgate-{old}.dist", _folder(new).decode())
            target.writestr(name, content)
    return made


def _folder(version: str) -> bytes:
    return f"wardgate-{version}.dist".encode()


def fill_shelf(wheel: Path, shelf: Path) -> None:
    """What the machine gets to see: the wheels of :func:`_fill_wheels`, and ansible's modules.

    The machine keeps ansible's library loaded, see warm.py.
    """
    shelf.mkdir(parents=True, exist_ok=True)
    _fill_wheels(wheel, shelf / "wheels")
    shutil.rmtree(shelf / "ansible", ignore_errors=True)
    playbook = shutil.which("ansible-playbook")
    assert playbook is not None, "make test-vm puts ansible on the path"
    code = "import ansible; print(ansible.__path__[0])"
    asked = [str(Path(playbook).parent / "python"), "-c", code]
    source = Path(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip())
    for part in ("modules", "module_utils"):
        target = shelf / "ansible" / part
        shutil.copytree(source / part, target, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "release.py", shelf / "ansible")
    (shelf / "ansible" / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("warm.py"), shelf)


WARM = """\
set -e
mkdir -p /opt/warm
cp -r /mnt/ansible /mnt/warm.py /opt/warm
cat >/etc/systemd/system/warm.service <<'UNIT'
[Unit]
RequiresMountsFor=/opt
[Service]
ExecStart=/usr/bin/python3 /opt/warm/warm.py
UNIT
rm -f /run/warm
systemctl daemon-reload
systemctl restart warm
until [ -S /run/warm ]; do sleep 1; done
"""
"""Run in the machine: /opt/warm/python is an interpreter that has ansible's library loaded."""


def _fill_wheels(wheel: Path, shelf: Path) -> None:
    """Everything that the wheel needs, at the locked versions, for the machine's Python."""
    lock = (ROOT / "requirements.lock").read_text()
    stamp = shelf / "requirements.lock"
    if stamp.exists() and stamp.read_text() == lock:
        return
    shutil.rmtree(shelf, ignore_errors=True)
    shelf.mkdir()
    pip(
        *("download", "--only-binary=:all:", "--python-version", PYTHON_INSIDE),
        *("-c", ROOT / "requirements.lock", "-d", shelf, wheel),
    )
    (shelf / wheel.name).unlink()
    stamp.write_text(lock)


class Site:
    """The files of one hospital."""

    def __init__(self, directory: Path, time_port: int) -> None:
        """``time_port``: of this host's time server."""
        self.directory = directory
        self._time_port = time_port
        directory.mkdir()
        now = datetime.now(UTC)
        issuing = pki.create_issuing(pki.create_root(TRUST_DOMAIN, now), now)
        hosts = ("localhost", "127.0.0.1")
        services = ((Role.GATEWAY, GATEWAY), (Role.SERVICE, CORE))
        for role, name in (*services, *((Role.DEVICE, each) for each in (DEVICE, *WARD))):
            subject = pki.Subject(role, name, () if role is Role.DEVICE else hosts)
            pki.make_identity(issuing, subject, directory / name, pki.Validity.days(now, DAYS))
        KeyRing.generate().save(directory / "seal.keys")
        write_atomic(directory / "other.key", secrets.token_bytes(32), SECRET_MODE)
        self.serial = False
        self.gateway_config = directory / "gateway.toml"
        self._extra = ""
        self._write_gateway()
        (directory / "core.toml").write_text(CORE_TOML)
        self.radius_config = directory / "radius.toml"
        self.policy = directory / "policy.signed"
        self._issuing = issuing
        self.sign_policy(1, default_policy())

    def sign_policy(self, number: int, text: str) -> None:
        """As `wardgate policy sign` does on a fleet's host."""
        now_us = time.time_ns() // 1000
        bundle = Bundle(number, now_us, text, "", TRUST_DOMAIN)
        self.policy.write_bytes(sign_bundle(self._issuing, bundle))

    def add_serial_port(self) -> None:
        """From the next run of the roles on: a monitor at the box's second serial port."""
        self.serial = True
        self._write_gateway()

    def extend_gateway(self, tables: str) -> None:
        """From the next run of the roles on: these tables, too, and a secret for a platform."""
        self._extra = tables
        write_atomic(self.directory / "mec", MEC_SECRET.encode(), SECRET_MODE)
        self._write_gateway()

    def issue_platform(self) -> TlsFiles:
        """The identity of a MEC platform on this host."""
        now = datetime.now(UTC)
        subject = pki.Subject(Role.SERVICE, "platform", ("localhost", THIS_HOST))
        validity = pki.Validity.days(now, DAYS)
        return pki.make_identity(self._issuing, subject, self.directory / "platform", validity)[0]

    def _write_gateway(self) -> None:
        serial = SERIAL_TOML if self.serial else ""
        self.gateway_config.write_text(GATEWAY_TOML + serial + self._extra)

    def let_smf_in(self, disconnect: int, secret: str) -> None:
        """For the role radius: an SMF on this host, which takes Disconnect-Requests at a port."""
        disconnects = f'disconnect = "{THIS_HOST}:{disconnect}"\n'
        self.radius_config.write_text(RADIUS_TOML + disconnects)
        (self.directory / "smf.secret").write_text(secret)

    def inventory(self, wheel: Path, login: Mapping[str, object], groups: Sequence[str]) -> Path:
        """Everything on the one machine; ``login``: how ansible gets there."""
        here = self.directory
        variables: dict[str, Any] = {
            **login,
            "wardgate_wheel": str(wheel),
            "wardgate_lock": str(ROOT / "requirements.lock"),
            "wardgate_wheelhouse": "/mnt/wheels",
            "wardgate_trust_domain": TRUST_DOMAIN,
            "wardgate_fleet_hosts": ["localhost", "127.0.0.1"],
            "wardgate_radius_config": str(self.radius_config),
            "wardgate_radius_hosts": ["radius.vm"],
            "wardgate_radius_secrets": [{"name": "smf", "src": str(here / "smf.secret")}],
            "wardgate_core_config": str(here / "core.toml"),
            "wardgate_core_identity_dir": str(here / CORE),
            "wardgate_gateway_config": str(self.gateway_config),
            "wardgate_serial": self.serial,
            "wardgate_policy": str(self.policy),
            "wardgate_identity_dir": str(here / GATEWAY),
            "wardgate_secrets": [
                {"name": name, "src": str(here / name)}
                for name in ("seal.keys", "other.key", *(("mec",) if self._extra else ()))
            ],
            "wardgate_time_servers": [f"{THIS_HOST} port {self._time_port} iburst minpoll 2"],
            "wardgate_scrape_gateways": ["127.0.0.1:9464"],
            "wardgate_scrape_fleets": ["127.0.0.1:9465"],
            "wardgate_scrape_cores": ["127.0.0.1:9466"],
        }
        host = {"hosts": {"vm": variables}}
        children = dict.fromkeys(groups, host)
        path = here / "inventory.json"
        path.write_text(json.dumps({"all": {"children": children}}))
        return path
