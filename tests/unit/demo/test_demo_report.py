"""The verdict on a run: the accounts are compared, over restarts, and counted the same way."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter

import pytest

from demo.account import Cabinets, DevicesSaw, Held, Sent, read_cabinets, read_sim_log
from demo.report import Evidence, Ledger, broken_promises, build
from demo.scrape import OverRestarts, total
from firmware_sim.log import cabinets_of

SECOND_US = 1_000_000
MESSAGES = {("m-1", f"b:{n}"): Sent(1_000 * n, 1_000 * n + 500) for n in range(5)}


def samples(accepted=5, telemetry=7, malformed=0, refused=0):
    return {
        ("wardgate_accepted_total", frozenset({("driver", "mqtt")})): accepted,
        ("wardgate_journaled_total", frozenset({("lane", "telemetry")})): telemetry,
        ("wardgate_journaled_total", frozenset({("lane", "alarms")})): 3,
        ("wardgate_malformed_total", frozenset({("driver", "mqtt")})): malformed,
        (
            "wardgate_refused_total",
            frozenset({("reason", "malformed"), ("transport", "mqtt")}),
        ): refused,
        ("wardgate_sessions", frozenset({("transport", "mqtt")})): 9,
    }


def held(rows, telemetry, repeats=0):
    numbered = {key: 2_000 * n for n, key in enumerate(list(MESSAGES)[:rows])}
    return Held(rows, numbered, 0, 0, 0, 0, [], Counter(), {}, telemetry, repeats)


def evidence(**changed):
    saw = {"mqtt": {"sent": 5, "acknowledged": 5}}
    healthy = Evidence(
        cabinets=Cabinets(12, 11, 1),
        platform=None,
        fenced=None,
        seconds=1,
        devices=DevicesSaw(saw, MESSAGES, Counter()),
        core=held(5, 7),
        vendor=held(4, 5),
        ledger=Ledger(
            {"core": {"pass": 5}, "vendor": {"pseudonymise": 4, "withhold": 1}},
            {},
            {"core": 7, "vendor": 5},
            2,
        ),
        gateway=samples(),
        committed=7,
        entered=7,
        gateway_restarts=0,
        vendor_leaks=[],
        rss_mib={},
        cpu_seconds={},
    )
    return healthy._replace(**changed)


def verdict(run):
    return broken_promises(run, build(run))


def test_accounts_that_agree_break_no_promise():
    assert verdict(evidence()) == []


def test_a_ward_that_did_not_come_to_say_anything_is_no_crash(tmp_path):
    assert read_sim_log(tmp_path / "sim.jsonl") == DevicesSaw({}, {}, Counter())


def test_what_was_journaled_is_counted_in_device_messages():
    says = build(evidence())["gateway_says"]
    assert (says["accepted"], says["journaled"]) == (5, 5)


def test_a_release_has_the_words_of_the_contract_and_others_only_where_they_happened():
    contract = {"passed", "aggregated", "pseudonymised", "masked", "withheld"}
    assert set(build(evidence())["gateway_says"]["release"]["vendor"]) == contract
    coarse = Ledger({"core": {"pass": 5}, "vendor": {"generalise": 4}}, {}, {}, 2)
    release = build(evidence(ledger=coarse))["gateway_says"]["release"]
    assert release["vendor"]["generalised"] == 4
    assert set(release["core"]) == contract


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"core": held(4, 6)}, "are not at the core"),
        ({"core": held(5, 6)}, "the ledger released 7 records to core, which holds 6"),
        ({"vendor": held(5, 6)}, "the ledger released 5 records to vendor, which holds 6"),
        ({"vendor_leaks": ["m-1"]}, "names devices that were withheld"),
        ({"gateway": samples(accepted=4)}, "the gateway accepted 4"),
        ({"committed": 8}, "journaled 8 records of telemetry, its ledger has 7"),
        ({"entered": 8}, "the ledger had 8 records of telemetry, of which the gateway journaled 7"),
    ],
)
def test_accounts_that_disagree_break_a_promise(changed, words):
    assert any(words in each for each in verdict(evidence(**changed)))


def test_a_repeat_that_only_the_core_knew_is_no_disagreement():
    more = Ledger({"core": {"pass": 5}}, {}, {"core": 8, "vendor": 5}, 3)
    run = evidence(core=held(5, 7, repeats=1), ledger=more, gateway=samples(telemetry=8))
    assert verdict(run) == []


@pytest.mark.parametrize(("waiting", "kept"), [(1, True), (0, False)])
def test_what_leaves_after_the_next_start_is_not_missing(waiting, kept):
    ledger = Ledger(
        {"core": {"pass": 5}, "vendor": {"pseudonymise": 4, "withhold": 1}},
        {"core": 1},
        {"core": 8, "vendor": 5},
        3,
        {("core", "alarms"): waiting, ("core", "telemetry"): waiting},
    )
    run = evidence(ledger=ledger, gateway=samples(telemetry=8))
    assert (verdict(run) == []) is kept
    assert build(run)["alarms"]["raised"] == (0 if kept else 1)


def test_what_a_gateway_says_between_the_last_look_and_its_end_is_no_disagreement():
    more = Ledger(
        {"core": {"pass": 5}, "vendor": {"pseudonymise": 4, "withhold": 1}},
        {},
        {"core": 9, "vendor": 5},
        4,
    )
    assert verdict(evidence(core=held(5, 9), ledger=more)) == []


def test_a_broken_frame_is_one_refusal():
    run = evidence(gateway=samples(malformed=3, refused=1))
    assert build(run)["gateway_says"]["refused"]["malformed"] == 3


def test_counters_add_up_over_restarts():
    counted = OverRestarts()
    for accepted in (3, 5, None, 1, 4):
        counted.take({} if accepted is None else samples(accepted=accepted, telemetry=accepted))
    sums = counted.sums()
    assert total(sums, "wardgate_accepted_total") == 9
    assert total(sums, "wardgate_journaled_total", lane="telemetry") == 9


def test_a_gauge_that_falls_is_no_restart():
    counted = OverRestarts()
    counted.take(samples())
    counted.take({**samples(), ("wardgate_sessions", frozenset({("transport", "mqtt")})): 2})
    assert total(counted.sums(), "wardgate_accepted_total") == 5


def test_after_a_kill_the_report_counts_at_least_what_is_in_the_ledger():
    run = evidence(gateway=samples(accepted=2, telemetry=2), gateway_restarts=1)
    says = build(run)["gateway_says"]
    assert (says["accepted"], says["journaled"]) == (5, 5)
    assert verdict(run) == []


@pytest.mark.parametrize(
    ("cabinets", "kept"),
    [(Cabinets(12, 12, 0), True), (Cabinets(12, 10, 2), True), (Cabinets(12, 11, 0), False)],
    ids=["known", "in_doubt", "elsewhere"],
)
def test_what_lies_in_cabinets_is_known_or_in_doubt(cabinets, kept):
    assert (verdict(evidence(cabinets=cabinets)) == []) is kept


def cabinet_run(place, statuses, last_us, still=range(0)):
    """A ward's log of what lies where, and a core that heard its reader, and others each second."""
    sim_log, core_db = place / "sim.jsonl", place / "core.db"
    truth = [(1, "a", "drawer-1"), (1, "b", "drawer-2"), (1, "c", "drawer-1"), (20, "c", "")]
    cabinets_of(sim_log).write_text(
        "".join(
            json.dumps({"at_us": at * SECOND_US, "epc": epc, "place": where}) + "\n"
            for at, epc, where in truth
        )
    )
    with contextlib.closing(sqlite3.connect(core_db)) as db, db:
        db.execute("CREATE TABLE stock (epc, place, doubted)")
        db.execute("CREATE TABLE statuses (driver, state, epoch, received_us)")
        db.execute("CREATE TABLE reports (epoch, received_us)")
        lies = [("a", "drawer-1", False), ("b", "drawer-2", True), ("c", "drawer-1", False)]
        db.executemany("INSERT INTO stock VALUES (?, ?, ?)", lies)
        rows = [(driver, state, epoch, at * SECOND_US) for driver, state, epoch, at in statuses]
        db.executemany("INSERT INTO statuses VALUES (?, ?, ?, ?)", rows)
        began = 0
        for epoch, at in last_us.items():
            said = [(epoch, s * SECOND_US) for s in range(began, at + 1) if s not in still]
            db.executemany("INSERT INTO reports VALUES (?, ?)", said)
            began = at + 1
    return read_cabinets(sim_log, core_db, 8.0)


def test_what_lies_in_a_cabinet_is_asked_once_its_reader_was_heard_for_long_enough(tmp_path):
    online = [("llrp", "online", 1, 2), ("mqtt", "offline", 1, 3)]
    assert cabinet_run(tmp_path, online, {1: 27}) == Cabinets(items=2, right=1, doubted=1)
    (tmp_path / "core.db").unlink()
    assert cabinet_run(tmp_path, online, {1: 28}) == Cabinets(items=3, right=1, doubted=1)


def test_nobody_is_heard_while_all_stands_still(tmp_path):
    online = [("llrp", "online", 1, 2)]
    assert cabinet_run(tmp_path, online, {1: 30}, range(23, 26)).items == 2
    (tmp_path / "core.db").unlink()
    assert cabinet_run(tmp_path, online, {1: 34}, range(23, 26)).items == 3


@pytest.mark.parametrize(
    ("statuses", "last"),
    [
        ([], {1: 30}),
        ([("llrp", "online", 1, 2), ("llrp", "offline", 1, 9)], {1: 30}),
        ([("llrp", "online", 1, 2), ("llrp", "online", 2, 10)], {1: 9, 2: 17}),
    ],
    ids=["never heard", "heard for a moment", "a kill between"],
)
def test_nothing_is_asked_of_a_cabinet_that_was_not_heard_for_long_enough(tmp_path, statuses, last):
    assert cabinet_run(tmp_path, statuses, last).items == 0
