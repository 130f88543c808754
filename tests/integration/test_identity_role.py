"""The roles' way to hand an identity over, played by ansible against a directory of this host."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pki import Subject, Validity
from security.slots import Slots

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "ansible" / "roles"
DEPLOY = ROOT / ".venv-deploy" / "bin"
ANSIBLE = shutil.which("ansible-playbook", path=f"{DEPLOY}{os.pathsep}{os.environ['PATH']}")
USER = pwd.getpwuid(os.getuid()).pw_name
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: As a service's role does
      ansible.builtin.include_role:
        name: package
        tasks_from: identity
      vars:
        wardgate_venv: "{{ venv }}"
        wardgate_identity_source: "{{ source }}"
        wardgate_identity_home: "{{ home }}"
        wardgate_identity_owner: "{{ user }}"
        wardgate_identity_changed: Restart
        wardgate_identity_here: "{{ (home ~ '/identity') is exists }}"
  handlers:
    - name: Restart
      ansible.builtin.debug:
        msg: restarted
"""

pytestmark = [
    pytest.mark.skipif(ANSIBLE is None, reason="needs ansible: make check-deploy"),
    pytest.mark.skipif(os.getuid() != 0, reason="runuser is root's"),
    pytest.mark.timeout(900),
]


class Place:
    """A control host's directory with an identity, and a box's state directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = datetime.now(UTC)
        self.authority = pki.create_issuing(pki.create_root("ward.example", self.now), self.now)
        self.minutes = 0
        self.source, self.home = directory / "files", directory / "state"
        self.slots = Slots(self.home / "identity")
        (directory / "play.yml").write_text(PLAY)

    def issue(self, name: str = "gw-1") -> None:
        """To the control host, as `wardgate ca issue` does: in slots."""
        shutil.rmtree(self.source, ignore_errors=True)
        key = pki.new_key()
        issued = self._certify(key, name)
        Slots(self.source).create(key, issued.chain_pem, issued.trust_pem)

    def renew(self) -> None:
        """On the box, as the service does."""
        issued = self._certify(self.slots.request_key(), "gw-1")
        self.slots.fill(issued.chain_pem, issued.trust_pem)
        self.slots.swap()

    def _certify(self, key: pki.SigningKey, name: str) -> pki.Issued:
        self.minutes += 1
        validity = Validity.days(self.now + timedelta(minutes=self.minutes), 1)
        subject = Subject(Role.GATEWAY, name, ("localhost",))
        return pki.issue(self.authority, subject, key.public_key(), validity)

    def serial(self) -> int:
        return pki.load_certificates(self.slots.files.cert)[0].serial_number

    def play(self, *arguments: str) -> tuple[int, int, str]:
        """Changes, failures and all that ansible said."""
        assert ANSIBLE is not None
        given = {
            "venv": sys.prefix,
            "source": str(self.source),
            "home": str(self.home),
            "user": USER,
        }
        done = subprocess.run(
            [
                *(ANSIBLE, "-i", "localhost,", "-c", "local", "-e", json.dumps(given)),
                *("-e", f"ansible_python_interpreter={sys.executable}", "-vvv", *arguments),
                self.directory / "play.yml",
            ],
            env={**os.environ, "ANSIBLE_ROLES_PATH": str(ROLES), "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        found = re.search(r"changed=(\d+) .*failed=(\d+)", said)
        assert found, said
        assert "PRIVATE KEY" not in said
        return int(found[1]), int(found[2]), said


def test_a_run_installs_once_and_keeps_what_the_service_renewed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.issue()
    changed, failed, said = place.play("--check")
    assert (changed, failed, place.home.exists()) == (1, 0, False), said

    changed, failed, said = place.play()
    assert (changed, failed) == (2, 0), said  # and the directory
    assert "restarted" in said
    assert Slots.of(TlsFiles.within(place.slots.directory)) is not None
    assert place.slots.files.key.stat().st_mode & 0o777 == 0o600
    first = place.serial()
    assert place.play()[:2] == (0, 0)

    place.renew()
    renewed = place.serial()
    assert renewed != first
    for mode in ((), ("--check",)):
        assert place.play(*mode)[:2] == (0, 0)
    assert place.serial() == renewed

    place.issue()  # somebody issued a new one
    assert place.play("--check")[:2] == (1, 0)
    assert place.serial() == renewed
    changed, failed, said = place.play()
    assert (changed, failed) == (1, 0), said
    assert "restarted" in said
    assert place.serial() not in {first, renewed}

    place.issue("gw-2")  # a wrong directory in the inventory
    changed, failed, said = place.play()
    assert (changed, failed) == (0, 1), said
    assert "holds the identity spiffe://ward.example/gateway/gw-1" in said
