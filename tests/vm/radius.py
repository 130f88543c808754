"""Secondary authentication on a real host: FreeRADIUS, its agent and the fleet, in their units."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing

from tests.vm import acts, site
from tests.vm.network import ACCEPTED, REFUSED, UNANSWERED, Device, Network, Try
from tests.vm.rehearsal import Rehearsal, say

GROUPS = ("fleet", "radius")
FLEET, AGENT, SERVER = "wardgate-fleet", "wardgate-radius-watch", "wardgate-radius"
PUMP = Device("pump-1", "001010000000001")
NEIGHBOUR = Device("pump-2", "001010000000002")
STOLEN = Device("pump-3", "001010000000003")
"""Revoked before the upgrades."""
CROWD = (
    Try(PUMP, PUMP.sim, ACCEPTED),
    Try(NEIGHBOUR, NEIGHBOUR.sim, ACCEPTED),
    Try(PUMP, NEIGHBOUR.sim, REFUSED),
    Try(STOLEN, STOLEN.sim, REFUSED),
)
IN_FORCE = "/etc/freeradius/wardgate"
HANDSHAKES = "max_sessions = "
KEPT = """\
import json, sqlite3
db = sqlite3.connect("file:/var/lib/wardgate-fleet/service/state/fleet.db?mode=ro", uri=True)
print(json.dumps(dict(db.execute("SELECT session_id, device_id FROM radius_sessions"))))
"""
ACCEPTED_BY_LOG = "grep ^accepted /var/log/freeradius/wardgate-sessions.log | cut -f 7,9"


def whole(at: Rehearsal) -> None:
    """Install it beside the fleet, use it, break it and upgrade it."""
    with closing(Network(at)) as network:
        _foretell(at)
        _install(at)
        acts.units(at, (AGENT, SERVER))
        _attach(at, network)
        _again(at)
        _refuse_a_typing_error(at, network)
        _break(at, network)
        _upgrade(at, network)
        _upgrade_to_another_configuration(at, network)
        _revoke(at, network)


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
    for device in (PUMP, NEIGHBOUR, STOLEN):
        network.take_device(device)
        at.wait_for(lambda: network.attach(device) == ACCEPTED, "a device's attachment")  # noqa: B023
    _put_out(at, network, STOLEN)
    assert network.attach(PUMP, NEIGHBOUR.sim) == REFUSED
    audit = "cat /var/lib/wardgate-fleet/service/state/audit/*"
    at.wait_for(lambda: "wrong_sim" in at.vm.ssh(audit).stdout, "the fleet's word on the refusal")
    say("devices attached by their certificates; with another SIM one was refused, and audited")


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
    assert network.attach(PUMP) == ACCEPTED
    say("a typing error in [radius] was refused by the role; what runs went on")


def _break(at: Rehearsal, network: Network) -> None:
    for unit in (SERVER, AGENT):
        wanted = str(int(at.property("NRestarts", unit)) + 1)
        at.vm.ssh(f"kill -KILL {at.property('MainPID', unit)}")
        at.wait_for(lambda: at.property("NRestarts", unit) == wanted and at.active(unit), unit)  # noqa: B023
    assert network.attach(PUMP) == ACCEPTED
    at.vm.ssh("sync")
    at.vm.cut(at.random)
    at.vm.boot()
    at.vm.ssh(site.WARM)
    for unit in (FLEET, AGENT, SERVER):
        at.wait_for(lambda: at.active(unit), f"{unit} after the cut")  # noqa: B023
    assert network.attach(PUMP) == ACCEPTED
    say("FreeRADIUS and its agent were killed, and the power was cut: back, and a device attaches")


def _upgrade(at: Rehearsal, network: Network) -> None:
    """To a version that makes the same of the registry: FreeRADIUS is not touched."""
    pids = {unit: at.property("MainPID", unit) for unit in (FLEET, AGENT, SERVER)}
    before = _files(at)
    at.wheel = site.next_version(at.wheel, at.vm.work / "next-radius")
    assert at.play("--check", groups=GROUPS).changed > 0
    assert at.property("MainPID", AGENT) == pids[AGENT]
    with network.crowd(*CROWD) as heard:
        at.play(groups=GROUPS)
    assert not heard[UNANSWERED], (heard, at.journal())
    for unit in (FLEET, AGENT):
        assert at.property("MainPID", unit) != pids[unit], f"{unit} still runs the old version"
    assert at.property("MainPID", SERVER) == pids[SERVER], "FreeRADIUS has no version of ours"
    changed = before ^ _files(at)
    assert not changed, changed
    _look_at_who_is_in(at, network)
    recap = at.play(groups=GROUPS)
    assert recap.changed == 0, at.changed_tasks()
    say(f"radius, upgraded: fleet and agent are new, FreeRADIUS went on ({_words(heard)})")


def _upgrade_to_another_configuration(at: Rehearsal, network: Network) -> None:
    """To a version that makes something else of the registry: FreeRADIUS begins anew with it."""
    server, before = at.property("MainPID", SERVER), _files(at)
    at.wheel = site.next_version(
        at.wheel,
        at.vm.work / "next-radius",
        {"fleet/radius/raddb.py": ("HANDSHAKES_MAX: Final = 4096", "HANDSHAKES_MAX: Final = 4000")},
    )

    def in_force() -> bool:
        there = at.vm.ssh(f"grep '{HANDSHAKES}' {IN_FORCE}/current/radiusd.conf").stdout
        pid = at.property("MainPID", SERVER)
        return "4000" in there and pid not in {"0", server} and at.active(SERVER)

    with network.crowd(*CROWD) as heard:
        at.play(groups=GROUPS)
        at.wait_for(in_force, "the new version's configuration")
        _settle(at)
    changed = {each.split()[1] for each in before ^ _files(at)}
    assert changed == {f"{IN_FORCE}/current/radiusd.conf"}, changed
    _look_at_who_is_in(at, network)
    recap = at.play(groups=GROUPS)
    assert recap.changed == 0, at.changed_tasks()
    say(f"radius, upgraded to one that configures FreeRADIUS otherwise ({_words(heard)})")


def _revoke(at: Rehearsal, network: Network) -> None:
    """Whose device it is is put out, and stays out; nobody else hears of it."""
    assert network.ended() == network.of(STOLEN), "upgrades end no session"
    _put_out(at, network, PUMP)
    assert not network.ended() & network.of(NEIGHBOUR)
    assert network.attach(NEIGHBOUR) == ACCEPTED
    at.wait_for(lambda: _kept(at).keys() >= network.of(NEIGHBOUR), "the neighbour's sessions")
    assert set(_kept(at).values()) == {NEIGHBOUR.name}
    assert not network.ended() & network.of(NEIGHBOUR)
    say(
        f"revoked: the SMF was asked to end all {len(network.of(PUMP))} sessions of the device,"
        f" which can't attach any more; its neighbour's {len(network.of(NEIGHBOUR))} stay"
    )


def _put_out(at: Rehearsal, network: Network, device: Device) -> None:
    network.revoke(device)
    at.wait_for(lambda: network.attach(device) == REFUSED, "the refusal of who is revoked")
    # Who came in before that took effect has to go, too.
    at.wait_for(lambda: network.ended() >= network.of(device), "the ends of its sessions")
    _settle(at)
    assert network.attach(device) == REFUSED


def _settle(at: Rehearsal) -> None:
    """Wait until FreeRADIUS has what the fleet has made."""
    made = "/var/lib/wardgate-fleet/service/radius/current"
    done = (
        f'[ "$(readlink {made})" = "$(readlink {IN_FORCE}/current)" ] && [ ! -e {IN_FORCE}/.due ]'
    )
    at.wait_for(lambda: at.vm.ssh(done, check=False).returncode == 0, "a configuration in force")


def _files(at: Rehearsal) -> set[str]:
    """The configuration: the fleet's own, its secrets, and what is made of both for FreeRADIUS.

    Not the lists of revocations, which each start of the fleet makes anew.
    """
    service = "/var/lib/wardgate-fleet/service"
    own = f"{service}/fleet.toml {service}/credentials {service}/radius-identity"
    made = f"-path {IN_FORCE}/current/trust -prune -o -type f -exec sha256sum {{}} +"
    return set(at.vm.ssh(f"find -H {own} {IN_FORCE}/current {made}").stdout.splitlines())


def _kept(at: Rehearsal) -> dict[str, str]:
    """The sessions that the fleet knows, and whose they are."""
    found: dict[str, str] = json.loads(at.python(KEPT))
    return found


def _look_at_who_is_in(at: Rehearsal, network: Network) -> None:
    """The fleet knows every session, and FreeRADIUS let nobody else in, ever."""
    stand = network.sessions.keys() - network.ended()
    at.wait_for(lambda: _kept(at).keys() >= stand, "the fleet's word on sessions")
    log = Counter(at.vm.ssh(ACCEPTED_BY_LOG).stdout.splitlines())
    by_log = {each: log.pop(f"{each.name}\timsi-{each.sim}") for each in (PUMP, NEIGHBOUR, STOLEN)}
    assert not log, log
    assert by_log[STOLEN] == len(network.of(STOLEN)), by_log


def _words(heard: dict[str, int]) -> str:
    return "meanwhile " + ", ".join(f"{n} {what}" for what, n in sorted(heard.items()))
