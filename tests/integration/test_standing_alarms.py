"""An alarm of the gateway itself that stands when the gateway is killed starts and ends once."""

from __future__ import annotations

from pathlib import Path

from gateway.config import load
from gateway.domain.labels import Lane
from gateway.domain.records import Alarm, AlarmPhase
from gateway.journal.looking import Looker
from gateway.keykeeper import KEYS_FILE
from security.scopes import OpenedKeys
from security.sealing import KeyRing
from tests.integration.supervised import WAIT_S, Supervised, Ward, session


def alarms(ward: Ward) -> list[tuple[AlarmPhase, str]]:
    """Those for want of a policy that lie in the journal, in order."""
    config = load(ward.plan.gateway_config)
    state = config.gateway.state_dir
    keys = OpenedKeys.load(state / KEYS_FILE, KeyRing.load(config.gateway.seal_keys))
    looker = Looker(state / "journal", keys)
    found, seq = [], 1
    while (seen := looker.at(Lane.ALARMS, seq)) is not None:
        assert isinstance(seen.record, Alarm)
        if seen.record.condition == "policy_missing":
            found.append((seen.record.phase, seen.record.alarm_id))
        seq += 1
    return found


def begin(ward: Ward, directory: Path) -> Supervised:
    directory.mkdir()
    gateway = Supervised(ward.plan.gateway_config, directory, ward.plan.ports.mqtt)
    gateway.wait_for("READY=1")
    return gateway


def test_without_a_policy_killed_twice_and_with_one_again(tmp_path: Path) -> None:
    ward = Ward(tmp_path / "ward")
    signed = ward.plan.policy.read_bytes()
    ward.plan.policy.write_bytes(b"not signed by anybody")
    for life in ("first", "second"):
        gateway = begin(ward, tmp_path / life)
        with session(ward) as device:
            device.report()  # it is on disk, and so is what was said before it
        gateway.process.kill()
        gateway.process.wait(WAIT_S)
        gateway.end()
        ((phase, alarm_id),) = alarms(ward)
        assert phase is AlarmPhase.START, life
    ward.plan.policy.write_bytes(signed)
    gateway = begin(ward, tmp_path / "third")
    assert gateway.end() == 0
    assert alarms(ward)[1:] == [(AlarmPhase.END, alarm_id)]
