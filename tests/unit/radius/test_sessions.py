"""The sessions' log: lines to a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.radius import sessions
from fleet.radius.raddb import LOGGED
from fleet.radius.sessions import Key, Kind, Line, Session, Sessions, attachment, parse
from gateway.domain.network import Attachment

SIM = "imsi-001010000000001"


FACTS = ("49015420323751", "med", "0x0100000a", "000002")


def line(kind, session="S1", client="smf", device="", serial="", supi=SIM, facts=FACTS):
    """One line of the log, of its words."""
    words = (kind, "1800000000", client, session, "u", "", device, serial, supi, "", *facts)
    return "\t".join(words).encode() + b"\n"


def known(table):
    return sorted(table)


def test_the_log_has_the_words_that_are_read():
    assert ("kind", *LOGGED) == Line._fields


def test_a_session_begins_goes_on_and_ends():
    table = Sessions()
    table.feed(line("accepted", device="pump-1", serial="0a"))
    assert known(table) == [Session("smf", "S1", "pump-1", "0a", SIM, "u", "")]
    table.feed(line("start") + line("interim"))
    assert known(table)[0].device_id == "pump-1"
    table.feed(line("stop"))
    assert not len(table)


def test_accounting_without_a_certificate_is_of_whom_was_accepted_with_the_sim():
    table = Sessions()
    table.feed(line("accepted", device="pump-1", serial="0a") + line("start", "ACCT-9"))
    assert {(each.session_id, each.serial) for each in table} == {("S1", "0a"), ("ACCT-9", "0a")}
    table.feed(line("start", "X", client="other"))
    assert next(each for each in table if each.client == "other").serial == ""


def test_an_smf_that_begins_anew_has_no_sessions():
    table = Sessions()
    table.feed(line("accepted") + line("accepted", client="other") + line("restart", ""))
    assert [each.client for each in table] == ["other"]


def test_refused_ones_and_those_without_an_id_are_not_kept():
    table = Sessions()
    told = table.feed(line("refused") + line("accepted", ""))
    assert [each.kind for each in told] == [Kind.REFUSED, Kind.ACCEPTED]
    assert not len(table)


def test_it_is_bounded(monkeypatch):
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 3)
    table = Sessions()
    for n in range(5):
        table.feed(line("accepted", f"S{n}", supi=f"imsi-{n:05}"))
    assert [each.session_id for each in table] == ["S2", "S3", "S4"]


def test_what_can_not_be_read_is_counted():
    table = Sessions()
    table.feed(b"accepted\t1\n" + line("unheard") + b"\xff\t" * 9 + b"\n" + line("accepted"))
    assert (table.unread, len(table)) == (3, 1)
    table.feed(b"x" * 100_000)
    table.feed(b"y" * 100_000 + b"\n" + line("accepted", "S2"))
    assert (table.unread, len(table)) == (4, 2)


@pytest.mark.parametrize(
    "at", ["-1", "20260901100000", "9" * 30, "1_0", "\N{ARABIC-INDIC DIGIT ONE}", ""]
)
def test_a_time_that_is_none_is_no_line(at):
    table = Sessions()
    assert not table.feed(line("accepted").replace(b"1800000000", at.encode()))
    assert (table.unread, len(table)) == (1, 0)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
def test_pieces_make_the_same_lines(pieces):
    whole, piecewise = Sessions(), Sessions()
    data = line("accepted", "A=0A=09B") + b"".join(pieces) + b"\n" + line("start")
    lines = whole.feed(data)
    cuts = [data[at : at + 7] for at in range(0, len(data), 7)]
    assert [each for cut in cuts for each in piecewise.feed(cut)] == lines
    assert lines[0].session_id == "A\n\tB"
    assert known(whole) == known(piecewise)


@given(st.binary(max_size=200))
def test_any_line_is_read_or_not(data):
    found = parse(data)
    assert found is None or isinstance(found.kind, Kind)


def test_changes_are_told_once_and_make_the_same_table():
    table = Sessions()
    copy: dict[Key, Session] = {}

    def follow(data):
        table.feed(data)
        put, gone = table.changes()
        for key in gone:
            copy.pop(key, None)
        for each in put:
            copy.pop(each.key, None)
            copy[each.key] = each
        assert list(copy.values()) == list(table)
        assert not any(table.changes())
        return len(put), len(gone)

    assert follow(line("accepted", "S1") + line("accepted", "S2", supi="imsi-00102")) == (2, 0)
    assert follow(line("interim", "S1") + line("refused", "S3")) == (1, 0)
    assert follow(line("accepted", "S4") + line("stop", "S4") + line("stop", "S2")) == (0, 2)
    assert follow(line("restart", "")) == (0, 1)
    assert Sessions(copy.values()).changes() == ((), ())


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("0x01", "1"),
        ("0x10", "16"),
        ("10", "10"),
        ("0x0100000a", "1-00000a"),
        ("1-00000a", "1-00000a"),
    ],
)
def test_what_a_line_says_of_the_network_is_in_the_registrys_spelling(said, read):
    facts = ("49015420323751", "med.mnc001.mcc001.gprs", said, "0a0002")
    (found,) = Sessions().feed(line("refused", device="pump-1", facts=facts))
    seen = Attachment(1_800_000_000_000_000, "pump-1", SIM, "49015420323751", "med", read, "0a0002")
    assert attachment(found) == seen


def test_what_is_none_says_nothing():
    for facts in (
        ("", "", "0xzz", ""),
        ("", "", "300", ""),
        ("", "a_b", "", ""),
        ("", "", "0x", ""),
    ):
        (found,) = Sessions().feed(line("interim", facts=facts))
        assert attachment(found) is None
    (found,) = Sessions().feed(line("stop"))
    assert attachment(found) is None
