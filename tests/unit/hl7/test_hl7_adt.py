"""ADT messages: what is read of them, who may send them, and when they are acknowledged."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.hl7.adt import Feed, Movement, Place
from drivers.hl7.codec import read_header
from drivers.hl7.config import Sender
from drivers.hl7.senders import Voice
from gateway.domain.errors import MalformedError
from gateway.domain.movements import MovementKind, PatientMovement
from gateway.domain.ports import Outcome
from tests.unit.hl7.bed import Bed

PID = "PID|1||4711^^^HOSP&1.2.3&ISO^MR~99^^^INS^HP||Doe^Jane||19600101|F"
PV1 = "PV1|1|I|icu^3^A^HOSP||| ^^|||||||||||||V77"
EVN = "EVN||20260901095900+0200|||op|20260901095500+0200"


def at(hour, minute, second=0):
    """On 1 September 2026, UTC."""
    return int(datetime(2026, 9, 1, hour, minute, second, tzinfo=UTC).timestamp()) * 1_000_000


def adt(*segments, event="A01", control_id="a-1", processing="P", acks="AL|NE", application="adt"):
    msh = (
        f"MSH|^~\\&|{application}|HOSP|GW|Ward|20260901100000+0200||ADT^{event}^ADT_{event}"
        f"|{control_id}|{processing}|2.5|||{acks}"
    )
    return "\r".join((msh, *segments)).encode() + b"\r"


def read(content, **sender) -> list[Movement]:
    header, wrong = read_header(content)
    assert not wrong
    return Feed(Sender(device_id="adt", adt=True, **sender)).read(content, header)


def one(content, **sender) -> Movement:
    (found,) = read(content, **sender)
    return found


def test_an_admission():
    assert one(adt(EVN, PID, PV1)) == Movement(
        MovementKind.ADMIT,
        "4711^^^HOSP",
        at(7, 55),
        at(7, 59),
        Place("icu", "3-A"),
        visit="V77",
    )


def test_a_transfer_says_where_from():
    found = one(adt(EVN, PID, "PV1|1|I|icu^3^B|||ward^1^C|||||||||||||V77", event="A02"))
    assert (found.kind, found.place, found.prior) == (
        MovementKind.TRANSFER,
        Place("icu", "3-B"),
        Place("ward", "1-C"),
    )


@pytest.mark.parametrize(
    ("event", "kind", "occurred"),
    [
        ("A01", MovementKind.ADMIT, at(6, 0)),
        ("A03", MovementKind.DISCHARGE, at(6, 30)),
        ("A02", MovementKind.TRANSFER, at(7, 59)),
        ("A11", MovementKind.CANCEL_ADMIT, 0),
        ("A12", MovementKind.CANCEL_TRANSFER, 0),
        ("A13", MovementKind.CANCEL_DISCHARGE, 0),
    ],
)
def test_when_it_happened_if_evn_6_does_not_say(event, kind, occurred):
    visit = f"PV1|1|I|icu^3^A{'|' * 16}V77{'|' * 25}20260901080000+0200|20260901083000+0200"
    found = one(adt("EVN||20260901095900+0200", PID, visit, event=event))
    assert (found.kind, found.occurred_us, found.recorded_us) == (kind, occurred, at(7, 59))


def test_without_evn_the_message_s_time_counts():
    found = one(adt(PID, PV1))
    assert (found.occurred_us, found.recorded_us) == (at(8, 0), at(8, 0))


def test_times_without_an_offset_are_in_the_message_s_zone():
    assert one(adt("EVN||20260901095900", PID, PV1)).recorded_us == at(7, 59)


def test_an_update_of_who_has_left_says_nothing_of_a_bed():
    left = f"PV1|1|I|icu^3^A{'|' * 42}20260901083000+0200"
    assert one(adt(EVN, PID, left, event="A08")).place == Place()
    assert one(adt(EVN, PID, PV1, event="A08")).place == Place("icu", "3-A")


def test_a_merge_may_tell_of_several_people():
    found = read(
        adt(EVN, PID, "MRG|12^^^HOSP^MR", "PID|2||5^^^HOSP^MR", "MRG|6^^^HOSP^MR", event="A40")
    )
    assert [(each.patient, each.other) for each in found] == [
        ("4711^^^HOSP", "12^^^HOSP"),
        ("5^^^HOSP", "6^^^HOSP"),
    ]


@pytest.mark.parametrize(
    ("identifiers", "sender", "found"),
    [
        ("1^^^A^PI~2^^^A^MR", {}, "2^^^A"),
        ("1~2^^^A^PI", {}, "1"),
        ("1^^^A^PI", {}, None),
        ("1^^^A^PI", {"patient_identifier_type": "PI"}, "1^^^A"),
        ("1^^^A^MR~2^^^B^MR", {"patient_authority": "b"}, "2^^^B"),
        ("1^^^A^MR", {"patient_authority": "B"}, None),
        ("1^^^&1.2.3&ISO^MR", {"patient_authority": "1.2.3"}, "1^^^1.2.3"),
        ("", {}, None),
        ("x" * 65, {}, None),
    ],
)
def test_which_identifier_counts(identifiers, sender, found):
    content = adt(EVN, f"PID|1||{identifiers}", PV1)
    if found is None:
        with pytest.raises(MalformedError, match="identifier"):
            one(content, **sender)
    else:
        assert one(content, **sender).patient == found


def test_which_bed_of_ours_a_place_is():
    places = {"ICU^3^A": "intensive/bed-7"}
    assert one(adt(EVN, PID, PV1), places=places).place == Place("intensive", "bed-7")
    assert one(adt(EVN, PID, "PV1|1|O|clinic"), places=places).place == Place()


def test_a_training_message_moves_nobody():
    with pytest.raises(MalformedError, match="training"):
        read(adt(EVN, PID, PV1, processing="T"))


@given(st.lists(st.binary(max_size=40), max_size=6), st.sampled_from(("A01", "A02", "A40", "A13")))
def test_whatever_comes_is_read_or_refused(parts, event):
    content = adt(EVN, PID, event=event) + b"\r".join(parts)
    try:
        found = read(content)
    except MalformedError:
        return
    assert all(isinstance(each, Movement) for each in found)


# The session


def feeding(automatic=Outcome.COMMITTED, **sender):
    entry = Sender(device_id="mon-1", application="adt", **{"adt": True, **sender})
    bed = Bed(automatic, senders=(entry,))
    return bed, bed.plug()


def test_a_movement_is_accepted_after_the_commit_and_not_before():
    bed, sender = feeding(automatic=None)
    sender.says(adt(EVN, PID, PV1))
    assert sender.answers() == []
    bed.sink.settle()
    assert sender.codes() == [("CA", "a-1")]
    (told,) = [each for each in bed.sink.records if isinstance(each, PatientMovement)]
    assert (told.device_id, told.message_id, told.patient) == ("mon-1", "a-1", "4711^^^HOSP")
    assert (told.ward, told.bed, told.visit) == ("icu", "3-A", "V77")


def test_what_the_journal_does_not_take_is_to_be_sent_again():
    _, sender = feeding(automatic=Outcome.FULL)
    sender.says(adt(EVN, PID, PV1))
    assert sender.codes() == [("CE", "a-1")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (adt(EVN, PID, PV1, event="A05"), "201"),
        (adt(EVN, PV1), "101"),
        (adt(EVN, PID, PV1, processing="T"), "202"),
        (adt(EVN, PID, PV1, application="another"), "204"),
    ],
)
def test_what_is_refused_and_why(content, code):
    bed, sender = feeding()
    sender.says(content)
    (answer,) = sender.answers()
    assert answer["MSA"].text(1) == "CR"
    assert answer["ERR"].components(3)[0] == code
    assert not [each for each in bed.sink.records if isinstance(each, PatientMovement)]


def test_who_is_not_configured_to_may_move_nobody():
    bed, sender = feeding(adt=False)
    sender.says(adt(EVN, PID, PV1))
    (answer,) = sender.answers()
    assert answer["ERR"].components(3)[0] == "200"
    assert not [each for each in bed.sink.records if isinstance(each, PatientMovement)]
    assert not Voice(Sender(device_id="mon-1")).feed.allowed
