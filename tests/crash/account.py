"""The account after a crash: what the devices were told against what the receivers hold."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from tests.crash.device import Device

SHOWN = 5


def read(path: Path, query: str) -> list[tuple[object, ...]]:
    """Ask a receiver's store."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        return db.execute(query).fetchall()


def at_core(core: Path, devices: Sequence[Device]) -> list[str]:
    """Every way in which the core's store contradicts the devices; empty when all is well."""
    held: dict[str, Counter[str]] = {device.device_id: Counter() for device in devices}
    for device_id, message_id, device_us in read(
        core, "SELECT device_id, message_id, device_us FROM reports"
    ):
        if device_id in held:
            held[str(device_id)][str(message_id or device_us)] += 1
    problems: list[str] = []
    for device in devices:
        has, diary, name = held[device.device_id], device.diary, device.device_id
        problems += _some(f"{name}: acknowledged and lost", diary.acknowledged - has.keys())
        problems += _some(f"{name}: never sent", has.keys() - diary.sent)
        problems += _some(f"{name}: stored twice", (key for key, n in has.items() if n > 1))
        if diary.forgotten_sessions:
            problems.append(f"{name}: session forgotten {diary.forgotten_sessions} times")
    return problems + _alarms(core, devices) + contiguous(core)


def _alarms(core: Path, devices: Sequence[Device]) -> list[str]:
    """Each episode has one START and one END, under one alarm id of its own.

    Silence is told when the devices have finished, too, and then has no end.
    """
    problems: list[str] = []
    open_alarms: set[str] = set()
    phases: Counter[tuple[str, str]] = Counter()
    begun: Counter[str] = Counter()
    ours = {device.device_id for device in devices if device.habit.episode}
    for alarm_id, phase, device_id, condition in read(
        core, "SELECT alarm_id, phase, device_id, condition FROM alarms ORDER BY seq"
    ):
        if phase != "update":
            phases[str(alarm_id), str(phase)] += 1
        if "silent" in str(condition):
            continue
        if phase == "start":
            open_alarms.add(str(alarm_id))
        elif phase == "end" and str(alarm_id) not in open_alarms:
            problems.append(f"{device_id}: alarm {alarm_id} ends before it starts")
        if phase == "end":
            open_alarms.discard(str(alarm_id))
        if device_id in ours:
            begun[str(device_id)] += phase == "start"
    twice = (f"{alarm_id} {phase}" for (alarm_id, phase), n in phases.items() if n > 1)
    problems += _some("alarm phases stored twice", twice)
    for device in devices:
        name = device.device_id
        if name in ours and begun[name] != device.diary.episodes:
            problems.append(f"{name}: {device.diary.episodes} episodes, {begun[name]} alarms")
    return problems + _some("alarms that never ended", open_alarms)


def contiguous(store: Path) -> list[str]:
    """The receiver's own account: nothing lost, missing, rejected, or sent under two numbers.

    The store keeps one report per message id whatever a gateway sends, so that a gateway that
    journaled a message twice shows in ``duplicates`` alone.
    """
    problems = [
        f"{lane}: {duplicates} messages came under two sequence numbers"
        for lane, duplicates in read(store, "SELECT lane, duplicates FROM positions")
        if duplicates
    ]
    problems += [
        f"{lane}: {state} {first}..{last} ({reason})"
        for lane, state, first, last, reason in read(
            store,
            "SELECT lane, state, first_seq, last_seq, reason FROM coverage "
            "WHERE state != 'received'",
        )
    ]
    before: dict[object, int] = {}
    for lane, first, last in read(
        store, "SELECT lane, first_seq, last_seq FROM coverage ORDER BY lane, first_seq"
    ):
        if lane in before and first != before[lane] + 1:
            problems.append(f"{lane}: after {before[lane]} comes {first}")
        before[lane] = int(str(last))
    gaps = read(store, "SELECT reason, lane, first_seq, last_seq FROM gaps")
    return problems + [f"a Gap: {gap}" for gap in gaps]


def in_ledger(ledger: Path, store: Path, destination: str) -> list[str]:
    """Everything that a receiver holds was entered in the gateway's ledger before it left."""
    problems: list[str] = []
    for lane, first, last in read(
        store, "SELECT lane, first_seq, last_seq FROM coverage WHERE state = 'received'"
    ):
        reached = int(str(first)) - 1
        for entry_first, entry_last in read(
            ledger,
            "SELECT first_seq, last_seq FROM entries "
            f"WHERE destination = '{destination}' AND lane = '{lane}' ORDER BY first_seq",
        ):
            if int(str(entry_first)) <= reached + 1:
                reached = max(reached, int(str(entry_last)))
        if reached < int(str(last)):
            problems.append(f"{destination}: {lane} {reached + 1}..{last} are in no ledger entry")
    return problems


def _some(what: str, those: Iterable[object]) -> list[str]:
    listed = sorted(map(str, those))
    if not listed:
        return []
    shown = ", ".join(listed[:SHOWN])
    return [f"{what}: {len(listed)}, such as {shown}"]
