"""Pumps and the driver talk without a line: what is asked when, and what comes of it."""

import math

import pytest

from drivers.base.dialogue import Malformed, Missed, Offline, Online
from drivers.fresenius.codec import FRAMES, Query
from drivers.fresenius.config import FreseniusConfig, PumpPort
from drivers.fresenius.session import _ASKS, NEXT, SELDOM_PERIODS, Heard, Phase
from firmware_sim.fresenius.encode import encode
from gateway.domain import terms
from gateway.domain.records import AlarmPriority, AlarmSnapshot, Enumeration, Quality, Report, Text
from tests.unit.fresenius.beds import Bed

ALONE = None


def numbers(report):
    qualities = report.qualities or (Quality.VALID,) * len(report.codes)
    return dict(zip(report.codes, zip(report.values, qualities, strict=True), strict=True))


def test_a_pump_by_itself():
    bed = Bed(ALONE)
    bed.pumps[ALONE].drug = "Noradrenaline"
    bed.begin()
    assert bed.heads(ALONE) == ["DC", "LP", "LE"]
    assert bed.of(ALONE, Online) == [Online()]
    (report,) = bed.records(ALONE, Report)
    assert (report.kind, report.device_id) == ("infusion", "pNone")
    assert numbers(report) == {
        terms.FLOW_RATE: (3.5, Quality.VALID),
        terms.VOLUME_INFUSED: (1.234, Quality.VALID),
    }
    assert report.texts == (Text(terms.DRUG_NAME, "Noradrenaline"),)
    mode = terms.code("MDC_DEV_PUMP_PROGRAM_DELIVERY_MODE")
    assert report.enumerations == (Enumeration(mode, 0, "mode_1"),)
    (snapshot,) = bed.records(ALONE, AlarmSnapshot)
    assert snapshot.alarms == ()


def test_a_drug_that_is_there_no_more_is_said_to_be_gone():
    bed = Bed(ALONE, poll_s=1.0)
    bed.pumps[ALONE].drug = "Noradrenaline"
    bed.begin()
    bed.pumps[ALONE].drug = ""
    bed.run(SELDOM_PERIODS + 1)
    assert bed.records(ALONE, Report)[-1].texts == (Text(terms.DRUG_NAME, ""),)
    bed.pumps[ALONE].drug = None
    bed.run(SELDOM_PERIODS + 1)
    assert bed.records(ALONE, Report)[-1].texts == (Text(terms.DRUG_NAME, ""),)


def test_the_scales_of_the_protocol():
    bed = Bed(ALONE)
    bed.begin()
    bed.clock.advance(5.0)
    bed.pumps[ALONE].silent = True
    bed.tick()
    bed.hear(encode(ALONE, "C", "a0;d000A;e0;m2;r000003E8"))
    assert numbers(bed.records(ALONE, Report)[-1]) == {
        terms.FLOW_RATE: (1.0, Quality.VALID),  # tenths of mL/h
        terms.VOLUME_INFUSED: (1.0, Quality.VALID),  # thousandths of mL
    }


def test_values_come_in_their_period_and_the_drug_seldom():
    bed = Bed(ALONE, poll_s=1.0)
    bed.begin()
    bed.run(2 * SELDOM_PERIODS + 0.5)
    assert bed.heads(ALONE).count("LE") == 2 * SELDOM_PERIODS + 1
    assert bed.heads(ALONE).count("LP") == 3
    assert bed.line.alive > 5  # it asked whether we are there, and we said so


def test_several_modules_of_a_base_take_turns():
    bed = Bed(1, 2, 5)
    bed.pumps[2].rate_ml_h = 20.0
    bed.begin()
    assert bed.line.heard[0][:2] == (0, "DC")
    bed.run(20)
    for station, rate in ((1, 3.5), (2, 20.0), (5, 3.5)):
        reports = bed.records(station, Report)
        assert len(reports) >= 4
        assert {numbers(report)[terms.FLOW_RATE][0] for report in reports} == {rate}
        assert {report.device_id for report in reports} == {f"p{station}"}
    assert not any(bed.of(station, Malformed) for station in (1, 2, 5))
    assert bed.heads(0) == ["DC"]


def test_one_that_does_not_answer_keeps_nobody_waiting():
    bed = Bed(1, 2)
    bed.pumps[1].silent = True
    bed.begin()
    bed.run(40)
    assert len(bed.records(2, Report)) >= 7
    assert not bed.records(1, Report)
    bed.pumps[1].silent = False
    bed.run(10)
    assert bed.of(1, Online) == [Online()]


def test_a_module_that_is_not_in_the_base_and_comes():
    bed = Bed(1)
    bed.pumps[1].present = False
    bed.begin()
    bed.run(20)
    assert not bed.of(1, Online)
    bed.pumps[1].present = True
    bed.run(10)
    assert bed.of(1, Online) == [Online()]


def test_a_pump_that_was_switched_off_and_on_is_opened_again():
    bed = Bed(1)
    bed.begin()
    count = len(bed.records(1, Report))
    bed.line.switch_on()
    bed.run(20)
    assert bed.heads(1).count("DC") >= 2
    assert bed.heads(0).count("DC") >= 2
    assert len(bed.records(1, Report)) > count + 1


def test_an_older_pump_is_asked_for_rate_and_volume_alone():
    bed = Bed(ALONE, poll_s=1.0)
    bed.pumps[ALONE].knows = "dr"
    bed.pumps[ALONE].drug = None
    bed.begin()
    bed.run(5)
    asked = [frame.arguments for frame in bed.line.heard if frame.head == "LE"]
    assert asked == ["ademr", *["dr"] * 5]
    assert numbers(bed.records(ALONE, Report)[-1])[terms.FLOW_RATE] == (3.5, Quality.VALID)
    assert not bed.records(ALONE, AlarmSnapshot)  # nothing is known of them
    assert bed.of(ALONE, Missed) == [Missed("error")]


def test_alarms_whose_meaning_is_not_public_are_alarms():
    bed = Bed(ALONE, poll_s=1.0)
    bed.pumps[ALONE].alarm, bed.pumps[ALONE].error = 0x10, 3
    bed.begin()
    (snapshot,) = bed.records(ALONE, AlarmSnapshot)
    assert [(a.condition, a.code, a.text) for a in snapshot.alarms] == [
        ("pump_alarm", 197348, "pump alarm 0010"),
        ("pump_error", 196678, "pump error 0003"),
    ]
    assert {alarm.priority for alarm in snapshot.alarms} == {AlarmPriority.HIGH}
    bed.pumps[ALONE].alarm = bed.pumps[ALONE].error = 0
    bed.run(2)
    assert bed.records(ALONE, AlarmSnapshot)[-1].alarms == ()


def test_what_is_no_number_is_marked():
    bed = Bed(ALONE)
    bed.pumps[ALONE].rate_ml_h = None
    bed.begin()
    (report,) = bed.records(ALONE, Report)
    value, quality = numbers(report)[terms.FLOW_RATE]
    assert math.isnan(value)
    assert quality is Quality.INVALID
    assert bed.of(ALONE, Missed) == [Missed("unknown_value")]


def test_a_drug_is_never_taken_for_values_nor_values_for_a_drug():
    bed = Bed(ALONE)
    bed.pumps[ALONE].silent = True
    bed.begin()
    bed.hear(encode(ALONE, "C"))  # open
    bed.hear(encode(ALONE, "C", "a0;d0;e0;m0;r0"))  # to a question for the drug
    assert bed.of(ALONE, Malformed)[-1].reason == "drug"
    bed.hear(encode(ALONE, "C", "dFADED"))  # the drug, at last
    bed.hear(encode(ALONE, "C", "dFADED"))  # and again: to a question for values
    assert bed.of(ALONE, Malformed)[-1].reason == "variables"
    bed.hear(encode(ALONE, "C", "d1;r1"))  # of another question
    assert bed.of(ALONE, Malformed)[-1].reason == "variables"
    assert not bed.records(ALONE, Report)
    bed.hear(encode(ALONE, "C", "a0;d0;e0;m0;r0"))
    assert len(bed.records(ALONE, Report)) == 1


def test_a_pump_that_says_nothing_is_offline():
    bed = Bed(ALONE, silence_s=20.0)
    bed.begin()
    bed.pumps[ALONE].silent = True
    bed.run(10)
    bed.dialogues[ALONE].excuse(bed.now())  # we did not listen
    bed.run(15)
    assert not bed.of(ALONE, Offline)
    bed.run(10)
    assert bed.of(ALONE, Offline) == [Offline("silent")]


def test_goodbye_is_answered():
    bed = Bed(1, 2)
    bed.begin()
    dialogue = bed.dialogues[1]
    bed.pumps[1].silent = True
    bed.take(1, dialogue.leave(bed.now()))
    left = [dialogue.left]
    bed.pumps[1].silent = False
    bed.run(4)
    assert [*left, dialogue.left] == [False, True]
    assert bed.heads(1)[-1] == "FC"
    bed.bus.forget(1, bed.clock.monotonic())
    bed.say()
    assert "FC" not in bed.heads(0)  # the other one needs the base
    bed.bus.forget(2, bed.clock.monotonic())
    bed.say()
    assert bed.heads(0)[-1] == "FC"


def test_goodbye_without_a_session_is_none():
    bed = Bed(ALONE)
    bed.pumps[ALONE].silent = True
    bed.begin()
    bed.take(ALONE, bed.dialogues[ALONE].leave(bed.now()))
    assert bed.dialogues[ALONE].left
    assert bed.heads(ALONE) == ["DC"]


def test_what_a_pump_says_unasked_counts_too():
    """Another system may have switched it on before us."""
    bed = Bed(1)
    bed.begin()
    count = len(bed.sent)
    bed.hear(encode(1, "E", "r00000FA0"))
    assert bed.sent[count:] == [b"\x06"]
    assert numbers(bed.records(1, Report)[-1]) == {terms.VOLUME_INFUSED: (4.0, Quality.VALID)}
    reports = len(bed.records(1, Report))
    bed.hear(encode(1, "E", "e0005"))
    bed.hear(encode(1, "E", "a0001;k0003"))
    assert len(bed.records(1, Report)) == reports
    alarms = bed.records(1, AlarmSnapshot)[-1].alarms
    assert [alarm.condition for alarm in alarms] == ["pump_alarm", "pump_error"]
    bed.hear(encode(1, "E", "a0000"))
    alarms = bed.records(1, AlarmSnapshot)[-1].alarms
    assert [alarm.condition for alarm in alarms] == ["pump_error"]
    bed.hear(encode(1, "E", "what?"))
    assert bed.of(1, Malformed)[-1].reason == "variables"
    bed.hear(encode(1, "M", "x1"))
    assert bed.of(1, Missed)[-1] == Missed("unasked")


# The bus


def test_what_is_damaged_is_refused_and_kept():
    bed = Bed(1, 2)
    bed.begin()
    bed.pumps[2].silent = True
    bed.run(5.0)
    bed.sent.clear()
    bed.hear(b"\x022C;d00\x03")
    assert bed.sent == [b"\x15\x32"]
    assert bed.of(2, Malformed) == [Malformed("checksum", b"\x022C;d00\x03")]


def test_to_a_line_of_which_nobody_is_admitted_nothing_is_said():
    bed = Bed(1)
    bed.bus.opened()
    for said in (b"\x05", encode(1, "C"), encode(0, "C"), b"\x022C;d00\x03", b"\x15\x31", b"noise"):
        assert list(bed.bus.receive(said, 0.0)) == []
    bed.bus.tick(1e9)
    assert bed.bus.output == []
    assert bed.bus.deadline() is None


def test_a_pump_that_is_not_configured_is_not_acknowledged():
    bed = Bed(1)
    bed.begin()
    count = len(bed.sent)
    bed.hear(encode(7, "C", "d1;r1"))
    assert bed.sent[count:] == []
    assert bed.of(1, Missed)[-1] == Missed("unasked")


def test_a_newer_question_takes_the_place_of_one_that_waits():
    bed = Bed(ALONE)
    bed.bus.opened()
    for query in (Query.OPEN, Query.DRUG, Query.VARIABLES):
        bed.bus.send(ALONE, FRAMES[query, ALONE], 0.0)
    bed.bus.tick(0.5)
    assert bed.bus.output == [FRAMES[Query.OPEN, ALONE]]
    bed.bus.tick(5.0)
    bed.bus.tick(10.0)
    assert bed.bus.output == [FRAMES[Query.OPEN, ALONE], FRAMES[Query.VARIABLES, ALONE]]


# The table, the configuration


def test_every_state_that_asks_takes_every_answer():
    asking = {*_ASKS, Phase.VALUES}
    assert NEXT.keys() == {(phase, heard) for phase in asking for heard in Heard}


@pytest.mark.parametrize(
    "options",
    [{"module": 0}, {"module": 9}, {"poll_s": 0.1}, {"silence_s": 1.0}, {"port": "COM1"}],
)
def test_configurations_that_cannot_be(options):
    with pytest.raises(ValueError):
        PumpPort(**{"device_id": "p1", "port": "/dev/x", **options})


def test_pumps_that_share_a_port():
    def pump(name, **options):
        return PumpPort(**{"device_id": name, "port": "/dev/x", **options})

    config = FreseniusConfig(pumps=(pump("a", module=1), pump("b", module=2)))
    assert [each.place for each in config.bound] == ["/dev/x#1", "/dev/x#2"]
    assert config.bound[0].settings() == config.bound[1].settings()
    assert pump("a").place == "/dev/x"
    for pumps, complaint in (
        ((pump("a", module=1), pump("b", module=1)), "twice"),
        ((pump("a", module=1), pump("a", module=2)), "twice"),
        ((pump("a"), pump("b", module=2)), "two ways"),
        ((pump("a", module=1), pump("b", module=2, baud_rate=9600)), "two ways"),
    ):
        with pytest.raises(ValueError, match=complaint):
            FreseniusConfig(pumps=pumps)
