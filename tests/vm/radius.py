"""Secondary authentication on a real host: FreeRADIUS, its agent and the fleet, each in its unit.

The SMF is outside the machine, as it will be: ``eapol_test`` asks the machine's port, and what is
to end a session is sent to this host, which the machine knows as the emulator's gateway.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
from io import BytesIO

from tests.integration.test_secondary_authentication import SECRET, Smf, vsa
from tests.vm import acts, site
from tests.vm.rehearsal import WAIT_S, Rehearsal, say

GROUPS = ("fleet", "radius")
AGENT, SERVER = "wardgate-radius-watch", "wardgate-radius"
OPERATOR = (
    "/opt/wardgate/bin/wardgate {} --fleet localhost:7443"
    " --identity /var/lib/wardgate-fleet/service/operator-admin"
)
DEVICE, SIM, OTHER_SIM = "pump-1", "001010000000001", "001010000000002"
ACCEPTED, REFUSED = "accepted", "refused"
ANSWER_S, ATTACH_S_MAX = 60, 120.0
"""An emulated machine's handshake; and with every message repeated."""
DISCONNECT_ACK, ACCT_SESSION_ID = 41, 44


class Network:
    """A 5G network's side: one SMF, and the device that attaches through it."""

    def __init__(self, at: Rehearsal) -> None:
        self._at = at
        self.smf = Smf()
        self.smf.socket.settimeout(WAIT_S)
        self._folder = at.vm.work / "network"
        self._folder.mkdir(exist_ok=True)
        at.files.let_smf_in(self.smf.port, SECRET)

    def take_device(self) -> None:
        """Register the device as an operator does, and take its certificate out of the machine."""
        add = OPERATOR.format(f"device add {DEVICE} --supi {SIM} --bundle /run/{DEVICE}")
        self._at.vm.ssh(add)
        done = self._at.vm.ssh_bytes(f"tar -C /run/{DEVICE} -c . && rm -r /run/{DEVICE}")
        assert done.returncode == 0, done.stderr
        with tarfile.open(fileobj=BytesIO(done.stdout)) as bundle:
            bundle.extractall(self._folder, filter="data")

    def attach(self, session: str, sim: str = SIM) -> str:
        """What becomes of an attachment."""
        conf = self._folder / "eapol.conf"
        conf.write_text(
            'network={\nkey_mgmt=IEEE8021X\neap=TLS\nidentity="anonymous"\n'
            f'ca_cert="{self._folder}/ca.pem"\nclient_cert="{self._folder}/cert.pem"\n'
            f'private_key="{self._folder}/key.pem"\n}}\n'
        )
        done = subprocess.run(
            [
                *("eapol_test", "-c", conf, "-a", "127.0.0.1"),
                *("-p", str(self._at.vm.ports["radius"]), "-s", SECRET, "-t", str(ANSWER_S)),
                *(vsa(1, sim.encode()), f"-N44:s:{session}"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=ATTACH_S_MAX,
        )
        if done.returncode == 0:
            return ACCEPTED
        # A server that does not answer refuses nobody.
        assert "code=3 (Access-Reject)" in done.stdout, done.stdout[-2000:] + self._at.journal()
        return REFUSED

    def ended(self) -> str:
        """The next session that the SMF is asked to end; it says that it did."""
        return self.smf.take(DISCONNECT_ACK)[ACCT_SESSION_ID].decode()


def whole(at: Rehearsal) -> None:
    """Install it beside the fleet, use it, break it and upgrade it."""
    network = Network(at)
    try:
        _foretell(at)
        _install(at)
        acts.units(at, (AGENT, SERVER))
        _attach(at, network)
        _again(at)
        _refuse_a_typing_error(at, network)
        _break(at, network)
        _upgrade(at, network)
        _revoke(at, network)
    finally:
        network.smf.socket.close()


def _foretell(at: Rehearsal) -> None:
    recap = at.play("--check", "--diff", groups=GROUPS)
    assert recap.changed > 0
    left = at.vm.ssh("ls -d /etc/freeradius /etc/systemd/system/wardgate-radius*", check=False)
    assert left.stdout == "", left.stdout
    say(f"radius, check mode where it is not: {recap.changed} changes foretold, none made")


def _install(at: Rehearsal) -> None:
    recap = at.play(groups=GROUPS)
    for unit in (AGENT, SERVER):
        assert at.active(unit), at.journal()
    own = at.vm.ssh("systemctl is-active freeradius; true").stdout.strip()
    assert own == "inactive", own
    say(f"radius, installed: {recap.changed} changes; FreeRADIUS said READY=1")


def _attach(at: Rehearsal, network: Network) -> None:
    network.take_device()
    at.wait_for(lambda: network.attach("SESSION-1") == ACCEPTED, "the device's attachment")
    assert network.attach("SESSION-2", OTHER_SIM) == REFUSED
    audit = "cat /var/lib/wardgate-fleet/service/state/audit/*"
    at.wait_for(lambda: "wrong_sim" in at.vm.ssh(audit).stdout, "the fleet's word on the refusal")
    say("a device attached by its certificate; with another SIM it was refused, and audited")


def _again(at: Rehearsal) -> None:
    for mode in ((), ("--check",)):
        recap = at.play(*mode, groups=GROUPS)
        assert recap.changed == 0, at.changed_tasks()
        say(f"radius again, {' '.join(mode) or 'for real'}: {recap.ok} tasks, changed=0")


def _refuse_a_typing_error(at: Rehearsal, network: Network) -> None:
    right = at.files.radius_config.read_text()
    at.files.radius_config.write_text(right.replace("accounting =", "acounting ="))
    said = at.play_in_vain(groups=GROUPS)
    assert "acounting" in said, said
    at.files.radius_config.write_text(right)
    assert network.attach("SESSION-1") == ACCEPTED
    say("a typing error in [radius] was refused by the role; what runs went on")


def _break(at: Rehearsal, network: Network) -> None:
    for unit in (SERVER, AGENT):
        wanted = str(int(at.property("NRestarts", unit)) + 1)
        at.vm.ssh(f"kill -KILL {at.property('MainPID', unit)}")
        at.wait_for(lambda: at.property("NRestarts", unit) == wanted and at.active(unit), unit)  # noqa: B023
    assert network.attach("SESSION-1") == ACCEPTED
    at.vm.ssh("sync")
    at.vm.cut(at.random)
    at.vm.boot()
    at.vm.ssh(site.WARM)
    for unit in ("wardgate-fleet", AGENT, SERVER):
        at.wait_for(lambda: at.active(unit), f"{unit} after the cut")  # noqa: B023
    assert network.attach("SESSION-1") == ACCEPTED
    say("FreeRADIUS and its agent were killed, and the power was cut: back, and a device attaches")


def _upgrade(at: Rehearsal, network: Network) -> None:
    agent, server = (at.property("MainPID", unit) for unit in (AGENT, SERVER))
    at.wheel = site.next_version(at.wheel, at.vm.work / "next-radius")
    at.play(groups=GROUPS)
    assert at.property("MainPID", AGENT) != agent, "the agent still runs the old version"
    assert at.property("MainPID", SERVER) == server, "FreeRADIUS has no version of ours"
    assert network.attach("SESSION-1") == ACCEPTED
    recap = at.play(groups=GROUPS)
    assert recap.changed == 0, at.changed_tasks()
    say("radius, upgraded: the agent is the new one, FreeRADIUS went on; then changed=0")


def _revoke(at: Rehearsal, network: Network) -> None:
    at.vm.ssh(OPERATOR.format(f"device revoke {DEVICE} --reason stolen"))
    ended = network.ended()
    assert re.fullmatch(r"SESSION-\d", ended), ended
    at.wait_for(lambda: network.attach("SESSION-3") == REFUSED, "the refusal of who is revoked")
    say(f"revoked: the SMF was asked to end {ended}, and the device can't attach any more")
