"""The whole table: which attacks there are, in which order, and what is looked at afterwards."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from attack import coap, handshakes, misuse, mqtt, services
from attack.floods import Floods
from attack.forge import Forger
from attack.neighbour import Neighbour, served
from attack.outcome import Attack, Row, Seen, Word, perform
from attack.probe import Probes
from attack.target import Reports, Target

SLOW_AT_ONCE = 32
ARRIVAL_S_MAX = 60.0
POLL_S = 0.1


class Options(NamedTuple):
    """What to run."""

    only: str = ""
    """Part of the names of those that run."""
    storm: bool = False
    bound_s: float = 2.0
    """How long a neighbour may wait for an answer, and who is revoked go on."""


def run(target: Target, options: Options, scratch: Path, told: Callable[[Row], None]) -> list[Row]:
    """Attack, and tell each row as soon as it is known.

    Args:
        target: what is attacked.
        options: what to run.
        scratch: an empty directory for forged certificates.
        told: called in this thread.
    """
    evil, honest, beside = Reports("evil"), Reports("good"), Reports("near")
    neighbour = Neighbour(target, beside)
    probes = Probes.of(target, scratch)
    floods = Floods(target, neighbour, options.bound_s)
    attacks = [
        *handshakes.all_attacks(target, Forger(scratch, target)),
        *mqtt.Attacks(target, evil, honest).all(),
        *coap.Attacks(target, evil, honest).all(),
        *services.Attacks(target, evil, probes).all(),
        *(misuse.Attacks(target, probes, options.bound_s).all() if probes is not None else ()),
        *floods.slow(),
    ]
    last = [
        *floods.all(storm=options.storm),
        served("all/the neighbour meanwhile", neighbour, options.bound_s),
    ]
    if target.core_db is not None:
        database = target.core_db
        last.append(
            Attack(
                "all/what reached the core",
                frozenset({Word.CLEAN}),
                lambda: arrived(database, evil, beside),
            )
        )
    rows: list[Row] = []

    def note(row: Row) -> None:
        rows.append(row)
        told(row)

    def chosen(some: list[Attack]) -> Iterator[Attack]:
        return (each for each in some if options.only in each.name)

    neighbour.start()
    try:
        with ThreadPoolExecutor(SLOW_AT_ONCE, "slow") as threads:
            # These wait for limits of the other side, each with a connection of its own.
            waiting = threads.map(perform, chosen([each for each in attacks if each.slow]))
            for attack in chosen([each for each in attacks if not each.slow]):
                note(perform(attack))
            for row in waiting:
                note(row)
        for attack in chosen(last):
            if attack.name.startswith("all/what"):
                neighbour.stop()
            note(perform(attack))
    finally:
        neighbour.stop()
    return rows


def arrived(database: Path, evil: Reports, beside: Reports) -> Seen:
    """What of the attacks is stored, once the neighbour's last report is.

    Records of one gateway arrive in order, so whatever was taken before it is there as well.
    """
    end = time.monotonic() + ARRIVAL_S_MAX
    while time.monotonic() < end:
        with contextlib.suppress(sqlite3.OperationalError):
            if _stored(database, beside.last_id):
                found = _stored(database, f"{evil.boot}:%")
                if found:
                    return Seen(Word.ARRIVED, f"{found} reports")
                return Seen(Word.CLEAN, f"of {evil.sent} reports")
        time.sleep(POLL_S)
    return Seen(Word.NOT_TRIED, "the neighbour's last report did not arrive either")


def _stored(database: Path, message_id: str) -> int:
    query = "SELECT count(*) FROM reports WHERE message_id LIKE ?"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        return int(db.execute(query, (message_id,)).fetchone()[0])
