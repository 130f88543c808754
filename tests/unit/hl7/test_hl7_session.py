"""Sessions: acknowledgements, order, whose word it is, what is broken, floods, ends."""

import msgspec
import pytest

from drivers.hl7.config import Hl7Config, Sender
from drivers.hl7.session import FAULTS_MAX, FOREIGN_MAX
from gateway.domain.errors import RefusedError
from gateway.domain.ports import Outcome
from gateway.domain.records import Attestation
from tests.unit.hl7.bed import Bed
from tests.unit.hl7.messages import MDS, message, msh, obx

GATEWAY = "PUMPS^0012211839000001^EUI-64|BBRAUN"


def good(control_id="m-1", **more):
    return message(MDS, obx(), control_id=control_id, **more)


def pump(entity, control_id="m-1", application="PUMPS^0012211839000001^EUI-64", facility="BBRAUN"):
    head = msh(control_id, application=application).replace("|Maker|", f"|{facility}|", 1)
    return message(f"{MDS.removesuffix('mon-1')}{entity}^^0012^EUI-64", obx(), head=head)


# Acknowledgement


def test_nothing_is_acknowledged_before_it_is_durable():
    bed = Bed(automatic=None)
    sender = bed.plug()
    sender.says(good())
    assert sender.answers() == []
    bed.sink.settle()
    assert sender.codes() == [("CA", "m-1")]
    assert bed.count("acknowledged", "hl7") == 1


@pytest.mark.parametrize("outcome", [Outcome.FULL, Outcome.FAILED])
def test_what_was_not_stored_is_to_be_sent_again(outcome):
    bed = Bed(outcome)
    sender = bed.plug()
    sender.says(good(), good("m-2", acks="|"))
    first, second = sender.answers()
    assert (first["MSA"].text(1), second["MSA"].text(1)) == ("CE", "AE")
    assert first["ERR"].components(3) == ("207", "Application internal error", "HL70357")
    assert bed.count("acknowledged", "hl7") == 0


@pytest.mark.parametrize(
    ("acks", "stored", "refused"),
    [
        ("AL|NE", ["CA"], ["CR"]),
        ("|", ["AA"], ["AR"]),
        ("NE|NE", [], []),
        ("ER|NE", [], ["CR"]),
        ("SU|NE", ["CA"], []),
        ("AL|AL", ["CA", "AA"], ["CR", "AR"]),
        ("|AL", ["AA"], ["AR"]),
        ("NE|ER", [], ["AR"]),
        ("al|ne", ["CA"], ["CR"]),
    ],
)
def test_the_sender_says_what_it_wants_to_hear(acks, stored, refused):
    sender = Bed().plug()
    sender.says(good(acks=acks))
    assert [code for code, _ in sender.codes()] == stored
    sender.says(good(acks=acks, event="ADT^A01"))
    assert [code for code, _ in sender.codes()] == refused


def test_an_answer_goes_back_where_the_message_came_from():
    sender = Bed().plug()
    sender.says(good())
    (answer,) = sender.answers()
    head = answer["MSH"]
    assert [head.text(n) for n in (3, 4, 5, 6)] == ["GW", "Ward", "mon-1", "Maker"]
    assert head.components(9) == ("ACK", "R01", "ACK")
    assert (head.text(11), head.text(12), head.text(18)) == ("P", "2.6", "UNICODE UTF-8")
    assert head.text(15) == head.text(16) == ""


def test_answers_keep_the_order_of_the_messages():
    bed = Bed(automatic=None)
    sender = bed.plug()
    sender.says(good("a"), good("b", event="ADT^A01"), good("c"))
    assert sender.answers() == []  # the refusal of b must not be taken for an answer to a
    bed.sink.settle(count=2)
    assert sender.codes() == [("CA", "a"), ("CR", "b")]
    bed.sink.settle()
    assert sender.codes() == [("CA", "c")]


def test_an_acknowledgement_is_never_answered():
    bed = Bed()
    sender = bed.plug()
    sender.says(msh(event="ACK^R01^ACK", acks="|").encode() + b"\rMSA|AA|1")
    assert sender.answers() == []
    assert bed.count("malformed", "hl7", "unexpected_answer") == 1


def test_a_message_without_observations_is_acknowledged():
    sender = Bed().plug()
    sender.says(message(MDS))
    assert sender.codes() == [("CA", "m-1")]


# Who


def test_a_device_speaks_for_itself():
    bed = Bed()
    bed.plug().says(good())
    (report,) = bed.reports()
    assert (report.device_id, report.bed) == ("mon-1", "7")
    assert report.provenance.attestation is Attestation.CERTIFICATE


@pytest.mark.parametrize(
    "content",
    [
        good(application="mon-2"),
        message(MDS.replace("mon-1", "mon-2"), obx()),
        pump("P6013"),
    ],
)
def test_in_another_s_name_nothing_is_taken(content):
    bed = Bed()
    sender = bed.plug()
    for _ in range(FOREIGN_MAX):
        assert not sender.closed
        sender.says(content)
        (answer,) = sender.answers()
        assert answer["MSA"].text(1) == "CR"
        assert answer["ERR"].components(3)[0] == "204"
    assert sender.closed
    assert bed.reports() == []
    assert bed.admission.refusals == [("identity_mismatch", "hl7", "mon-1")] * FOREIGN_MAX


def test_a_gateway_speaks_for_its_devices_and_the_reports_say_so():
    bed = Bed()
    sender = bed.plug("gw-1")
    sender.says(pump("P6013", "1"), pump("p6014", "2"))
    assert sender.codes() == [("CA", "1"), ("CA", "2")]
    assert [r.device_id for r in bed.reports()] == ["pump-1", "pump-2"]
    assert {(r.provenance.attestation, r.provenance.attested_by) for r in bed.reports()} == {
        (Attestation.BROKER, "gw-1")
    }


@pytest.mark.parametrize(
    "content", [pump("P9999"), pump(""), pump("P6013", facility="OTHER"), pump("P6013", "1", "X")]
)
def test_a_gateway_speaks_for_no_others(content):
    bed = Bed()
    sender = bed.plug("gw-1")
    sender.says(content)
    assert [code for code, _ in sender.codes()] == ["CR"]
    assert bed.reports() == []


def test_a_device_that_the_registry_does_not_admit_is_refused_and_the_others_go_on():
    bed = Bed()
    sender = bed.plug("gw-1")
    sender.says(pump("P6015", "1"), pump("P6013", "2"))
    assert sender.codes() == [("CR", "1"), ("CA", "2")]
    assert ("unknown_device", "test", "") in bed.admission.refusals
    assert not sender.closed


def test_revoking_a_device_behind_a_gateway_keeps_it_out_at_once():
    bed = Bed()
    sender = bed.plug("gw-1")
    sender.says(pump("P6013"))
    (vouched,) = (s for s, d in bed.admission.live.items() if d.device_id == "pump-1")
    del bed.admission.devices["pump-1"]
    vouched.kill("revoked")
    sender.says(pump("P6013", "2"), pump("P6014", "3"))
    assert sender.codes() == [("CA", "m-1"), ("CR", "2"), ("CA", "3")]


def test_a_changed_configuration_counts_for_open_connections():
    bed = Bed()
    sender = bed.plug("gw-1")
    sender.says(pump("P6013"))
    changed = Sender(device_id="gw-1", application="PUMPS", devices={"P6014": "pump-2"})
    bed.hub.config = msgspec.structs.replace(bed.hub.config, senders=(changed,))
    sender.says(pump("P6013", "2"), pump("P6014", "3"))
    assert sender.codes() == [("CA", "m-1"), ("CR", "2"), ("CA", "3")]
    assert not sender.closed


def test_who_speaks_for_whom_is_stated_once():
    one = Sender(device_id="a", devices={"x": "pump-1"})
    other = Sender(device_id="b", devices={"y": "pump-1"})
    for senders in ((one, other), (one, one)):
        with pytest.raises(ValueError, match="senders: "):
            Hl7Config(listen=("127.0.0.1:0",), senders=senders)


def test_a_certificate_has_so_many_connections_and_no_more():
    bed = Bed(connections_per_device=2)
    senders = [bed.plug(), bed.plug()]
    with pytest.raises(RefusedError, match="overloaded"):
        bed.plug()
    senders[0].lose()
    bed.plug()
    assert len(bed.admission.live) == 2


def test_two_places_that_speak_in_turns_are_a_clone():
    bed = Bed()
    senders = [bed.plug(peer="10.0.0.1:1"), bed.plug(peer="10.0.0.2:1")]
    for n in range(8):
        senders[n % 2].says(good(f"m-{n}"))
    assert ("clone", "hl7", "mon-1") in bed.admission.refusals


# What is broken


@pytest.mark.parametrize(
    ("content", "code", "number"),
    [
        (good(event="ADT^A01"), "CR", "200"),
        (good(event="ORU^R43^ORU_R01"), "CR", "201"),
        (good(version="3.0"), "CR", "203"),
        (good(charset="ISO IR87"), "CR", "103"),
        (good(control_id=""), "CR", "101"),
        (good() + b"\rO!X|1", "CR", "100"),
        (good() + b"OBX|1|NM|" + b"1^" * 400, "CR", "100"),
        (b"PID|||x", "AR", "100"),
        (b"", "AR", "100"),
    ],
)
def test_what_can_not_be_taken_is_answered_and_survived(content, code, number):
    bed = Bed()
    sender = bed.plug()
    sender.says(content, good("next"))
    broken, after = sender.answers()
    assert (broken["MSA"].text(1), broken["ERR"].components(3)[0]) == (code, number)
    assert (after["MSA"].text(1), after["MSA"].text(2)) == ("CA", "next")
    assert len(bed.aside.kept) == 1


@pytest.mark.parametrize(
    "place",
    ["mapping.Interpreter.__init__", "mapping.Interpreter.step", "mapping.Interpreter.finish"],
)
def test_a_fault_of_ours_costs_one_message(place, monkeypatch):
    bed = Bed()
    sender = bed.plug()
    with monkeypatch.context() as faulty:
        faulty.setattr(f"drivers.hl7.{place}", lambda *_: 1 / 0)
        sender.says(good("a"))
    sender.says(good("b"))
    assert sender.codes() == [("CR", "a"), ("CA", "b")]
    assert [reason for _, _, reason, _ in bed.aside.kept] == ["fault"]


def test_a_fault_of_ours_in_reading_movements_costs_one_message(monkeypatch):
    sender = Bed(senders=(Sender(device_id="mon-1", adt=True),)).plug()
    with monkeypatch.context() as faulty:
        faulty.setattr("drivers.hl7.adt.Feed.read", lambda *_: 1 / 0)
        sender.says(good("a", event="ADT^A01"))
    sender.says(good("b"))
    assert sender.codes() == [("CR", "a"), ("CA", "b")]


def test_a_broken_frame_is_answered_to_the_message_it_began_with():
    sender = Bed(message_size_bytes_max=4096).plug()
    head = msh("long").encode()
    sender.raw(b"\x0b" + head + b"\r" + b"x" * 5000)  # it is answered before it ends
    assert sender.codes() == [("CR", "long")]
    sender.raw(b"x" * 9000 + b"\x1c\r\x0b" + msh("half").encode() + b"\r")
    sender.raw(b"\x0b" + good("whole") + b"\x1c\r")
    assert sender.codes() == [("CR", "half"), ("CA", "whole")]


def test_a_connection_that_only_brings_rubbish_is_ended():
    bed = Bed()
    sender = bed.plug()
    for _ in range(FAULTS_MAX):
        assert not sender.closed
        sender.says(b"rubbish")
    assert sender.closed


def test_a_good_message_between_keeps_it():
    sender = Bed().plug()
    for n in range(FAULTS_MAX + 2):
        sender.says(b"rubbish", good(f"m-{n}"))
    assert not sender.closed


def test_a_message_that_does_not_end_is_given_up():
    bed = Bed(frame_timeout_s=5.0)
    sender, other = bed.plug(), bed.plug("mon-2")
    sender.raw(b"\x0b" + msh().encode())
    other.raw(b"\r\n")
    for _ in range(7):
        bed.tick()
    assert sender.aborted
    assert not other.closed
    assert ("mon-1", "OFFLINE", "timeout") in bed.statuses()
    assert (
        bed.count("malformed", "hl7", "timeout") == bed.count("malformed", "hl7", "truncated") == 1
    )


# Floods, and a journal that is behind


def test_one_step_a_turn():
    bed = Bed()
    flooding, other = bed.plug(), bed.plug("mon-2")
    flooding.says(*(message(MDS, *[obx()] * 200, control_id=str(n)) for n in range(50)), run=False)
    assert not flooding.reading
    other.says(good("x", application="mon-2").replace(b"|||||||mon-1", b"|||||||mon-2"), run=False)
    assert other.codes() == [("CA", "x")]  # though the flood has hardly begun
    assert flooding.codes() == []
    bed.run()
    assert len(flooding.codes()) == 50
    assert flooding.reading


def test_messages_that_wait_for_the_journal_are_bounded():
    bed = Bed(automatic=None, pending_max=3)
    sender = bed.plug()
    sender.says(*(good(str(n)) for n in range(10)))
    assert len(bed.reports()) <= 4
    assert not sender.reading
    for _ in range(10):
        bed.sink.settle()
        bed.run()
    assert [number for _, number in sender.codes()] == [str(n) for n in range(10)]
    assert sender.reading


def test_it_is_not_read_while_the_journal_is_behind():
    bed = Bed()
    sender = bed.plug()
    bed.sink.is_writable = False
    sender.says(good())
    assert (sender.answers(), sender.reading) == ([], False)
    bed.sink.become_writable()
    bed.run()
    assert (sender.codes(), sender.reading) == ([("CA", "m-1")], True)


def test_it_is_not_read_while_it_does_not_take_its_answers():
    bed = Bed()
    sender = bed.plug()
    sender.session.peer_reads(reads=False)
    sender.says(good())
    assert sender.answers() == []
    sender.session.peer_reads(reads=True)
    bed.run()
    assert sender.codes() == [("CA", "m-1")]


def test_a_flood_of_repeats_is_braked_and_answered_in_the_end():
    bed = Bed(repeats=5, repeats_per_s=2.0)
    sender, again = bed.plug(), bed.plug()
    sender.says(*[good()] * 20)
    assert len(sender.codes()) == 6
    assert not sender.reading
    again.says(good())  # another connection of the same sender
    assert again.answers() == []
    fresh = bed.plug("mon-2")
    fresh.says(good("m-1", application="mon-2").replace(b"|||||||mon-1", b"|||||||mon-2"))
    assert fresh.codes() == [("CA", "m-1")]
    for _ in range(30):
        bed.tick()
    assert len(sender.codes()) == 14
    assert len(again.codes()) == 1
    assert sender.reading


# Ends


def test_a_sender_s_first_connection_and_its_last_are_told():
    bed = Bed()
    one, other = bed.plug(), bed.plug()
    one.lose()
    assert bed.statuses() == [("mon-1", "ONLINE", "connected")]
    other.lose()
    assert bed.statuses()[1:] == [("mon-1", "OFFLINE", "link_lost")]
    assert bed.admission.live == {}


def test_a_killed_session_is_cut_and_says_nothing_more():
    bed = Bed(automatic=None)
    sender = bed.plug()
    sender.says(good())
    sender.session.kill("revoked")
    assert sender.aborted
    bed.sink.settle()
    assert sender.answers() == []
    sender.session.receive(b"\x0bMSH")
    sender.session.lost()
    assert [reason for _, _, reason in bed.statuses()] == ["connected", "revoked"]


def test_a_stopping_gateway_answers_what_waits_and_takes_nothing_more():
    bed = Bed(automatic=None)
    sender = bed.plug()
    sender.says(good("a"))
    sender.says(message(MDS, *[obx()] * 100, control_id="b"), run=False)
    sender.session.stop()
    bed.run()
    assert not sender.closed
    bed.sink.settle()
    assert sender.codes() == [("CA", "a")]
    assert sender.closed


def test_a_gateway_s_devices_leave_with_its_last_connection():
    bed = Bed()
    sender = bed.plug("gw-1")
    sender.says(pump("P6013"))
    assert {d.device_id for d in bed.admission.live.values()} == {"gw-1", "pump-1"}
    sender.lose()
    assert bed.admission.live == {}
