"""Power cuts of the whole machine under load, and the account after each.

Gateway and core lose the power together. What is not on the medium then is lost: the guest's page
cache, and those parts of the disk's own cache that luck takes (see disk.py). In every other cut
the core is stopped beforehand, so that what was acknowledged is in the gateway's journal alone;
in the others the core has acknowledged to the gateway, which then forgets.
"""

from __future__ import annotations

import time

from tests.vm.rehearsal import UNITS, Rehearsal, say

LOAD_PER_S = 40.0
"""Messages per second and device; more than an emulated gateway takes, so its queues are full."""
TALK_S = (3.0, 8.0)
ANSWERED_MIN = 20
"""A cut before so many new acknowledgements would prove little."""
NO_SYNC = """\
set -e
mkdir -p /etc/systemd/system/wardgate-gateway.service.d /opt/unsynced
echo 'import os; os.fdatasync = lambda _: None' >/opt/unsynced/sitecustomize.py
printf '[Service]\\nEnvironment=PYTHONPATH=/opt/unsynced\\n' \
    >/etc/systemd/system/wardgate-gateway.service.d/99-unsynced.conf
systemctl daemon-reload
systemctl restart wardgate-gateway
sync
"""


def talk(at: Rehearsal) -> int:
    """Let the devices talk for some seconds; how many new messages were acknowledged."""
    before = at.ward.count().acknowledged
    at.ward.pace(LOAD_PER_S)
    at.wait_for(lambda: at.ward.count().acknowledged >= before + ANSWERED_MIN, "acknowledgements")
    time.sleep(at.random.uniform(*TALK_S))
    return at.ward.count().acknowledged - before


def boot(at: Rehearsal) -> None:
    """Switch on again; systemd starts everything by itself."""
    at.ward.pace(0.0)
    at.vm.boot()
    for unit in UNITS.values():
        at.wait_for(lambda: at.active(unit), f"{unit} after the cut")  # noqa: B023


def unexplained(at: Rehearsal) -> str:
    """What the packet filter refused since the machine was switched on."""
    return at.vm.ssh("journalctl --quiet --boot --dmesg --grep=refused:; true").stdout


def cuts(at: Rehearsal, number: int) -> None:
    for n in range(1, number + 1):
        alone = n % 2 == 1
        if alone:
            at.vm.ssh("systemctl stop wardgate-core")
        told = talk(at)
        loss = at.vm.cut(at.random)
        boot(at)
        account = at.account()
        assert not (refused := unexplained(at)), refused
        say(
            f"power cut {n} of {number}, the core {'stopped' if alone else 'running'}: "
            f"{told} new acknowledgements; {loss.lost} of {loss.lost + loss.kept} unflushed "
            f"sectors lost besides the page cache; {account}"
        )
    at.works()


def even(at: Rehearsal) -> None:
    """The account of everything that happened: kills, hang, upgrade, cuts."""
    at.ward.finish()
    at.account()
    contradictions = at.ward.contradictions(at.core_store())
    assert not contradictions, contradictions
    say("the account of all acts is even: nothing lost, nothing twice, each alarm begun and ended")


def control(at: Rehearsal) -> None:
    """The same with a gateway that does not sync its journal: the account has to find it out."""
    at.new_ward()
    at.vm.ssh(NO_SYNC)
    at.wait_for(at.active, "the gateway without fdatasync")
    at.vm.ssh("systemctl stop wardgate-core")
    told = talk(at)
    at.vm.cut(at.random)
    boot(at)
    at.ward.settle()
    at.works()
    missing = sum(at.ward.missing(at.core_store()).values())
    assert missing, "a gateway that never syncs lost nothing: these cuts prove nothing"
    say(f"control: a gateway without fdatasync lost {missing} of {told} acknowledged messages")
