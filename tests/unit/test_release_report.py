"""What a report says of sums: which rule decided, and what the question is answered with."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.domain.labels import DataClass, DestinationInfo, Label, Treatment, Zone
from gateway.releasereport import page
from gateway.releasereport.report import Report, answer, load, rows
from gateway.uplink.accounts import Sum
from gateway.uplink.kept import KeptPolicy, explain, pack
from security.audit import AuditBrokenError, TreeHead

VITALS, NOTES = Label(DataClass.HEALTH_STATUS, 3), Label(DataClass.MEDICAL_APPLICATION, 4)
DAY_US = 86_400_000_000
WHO = [
    DestinationInfo("core", Zone.CAMPUS, "care", "h"),
    DestinationInfo("vendor", Zone.PARTNER, "maintenance", "h"),
]


def policy(version, vitals, notes, *ids):
    row = {VITALS: vitals, NOTES: notes}
    rules = {(who.name, label): ids for who in WHO for label in row}
    return KeptPolicy(version, pack({who.name: row for who in WHO}), explain(WHO, rules))


LAX = policy("lax", Treatment.PASS, Treatment.MASK, "all-goes")
STRICT = policy("strict", Treatment.PSEUDONYMISE, Treatment.WITHHOLD, "keep-it", "<b>&")


def summed(destination, label, treatment, now="lax", then="lax", day=10, records=4):
    key = (
        day,
        destination,
        "telemetry",
        5,
        label.data_class.name.lower(),
        label.level,
        treatment,
        now,
        then,
    )
    return {key: Sum(1, records, 10 * records, 1, records, day * DAY_US, day * DAY_US + 5)}


def report(sums, policies=(LAX, STRICT)):
    made = rows(sums, {each.version: each for each in policies})
    head = TreeHead("gateway/g", "l", 9, "00", 1, "k", "s")
    days = ("1970-01-11", "1970-01-12")
    whole = Report(1, "gateway/g", *days, (), 1, 12 * DAY_US, 3, made, policies, head, "")
    return whole.signed(Ed25519PrivateKey.generate())


@pytest.mark.parametrize(
    ("treatment", "now", "then", "decided", "rules"),
    [
        ("pass", "lax", "lax", "policy", ("all-goes",)),
        ("pseudonymise", "strict", "lax", "policy", ("keep-it", "<b>&")),
        ("pseudonymise", "lax", "strict", "collection", ("keep-it", "<b>&")),
        ("pass", "lax", "", "policy", ("all-goes",)),
        ("withhold", "lax", "strict", "both", ()),
    ],
)
def test_a_row_names_the_table_and_the_rules_that_decided(treatment, now, then, decided, rules):
    (row,) = report(summed("vendor", VITALS, treatment, now, then)).rows
    assert (row.decided, row.rules) == (decided, rules)


def test_days_lanes_and_epochs_are_added_up():
    first = summed("core", VITALS, "pass", day=10)
    second = summed("core", VITALS, "pass", day=11, records=6)
    (row,) = report(first | second).rows
    assert (row.entries, row.records, row.bytes) == (2, 10, 100)
    assert (row.first_us, row.last_us) == (10 * DAY_US, 11 * DAY_US + 5)


def test_the_answer_counts_what_went_outside():
    sums = (
        summed("core", NOTES, "pass")
        | summed("vendor", NOTES, "mask")
        | summed("vendor", VITALS, "pass", records=7)
        | summed("vendor", NOTES, "withhold", "strict", records=3)
        | summed("vendor", VITALS, "pseudonymise", "strict", records=2)
    )
    made = report(sums)
    found = answer(made)
    assert found.outside == ("vendor",)
    assert (found.identifying, found.unchanged, found.withheld) == (0, 7, 3)
    assert (found.changed, found.lower) == ({"mask": 4}, {"pseudonymise": 2})
    assert "no records left the campus unchanged" in page.sentences(made, found)[0]
    worst = report(sums | summed("vendor", NOTES, "pass", records=1))
    assert "1 record left the campus unchanged" in page.sentences(worst, answer(worst))[0]


def test_a_destination_that_nobody_knows_any_more_counts_as_outside():
    made = report(summed("gone", NOTES, "pass", records=1))
    assert answer(made).outside == ("gone",)
    assert "not known any more" in "\n".join(page.table(made))


def test_the_page_escapes_what_it_shows_and_holds_its_report():
    made = report(summed("vendor", VITALS, "pseudonymise", "strict"))
    content = page.html(made)
    assert b"<b>&" not in content
    assert b"&lt;b&gt;&amp;" in content
    assert b"http" not in content
    assert page.read(content, "page") == made
    assert page.read(made.encoded(), "json") == made


@pytest.mark.parametrize("content", [b"", b"{}", b"<!DOCTYPE html>", b"\xff", b"[1]\n"])
def test_what_is_no_report_is_said_so(content):
    with pytest.raises(AuditBrokenError):
        page.read(content, "x")


def test_the_form_is_the_only_one():
    made = report(summed("core", VITALS, "pass"))
    with pytest.raises(AuditBrokenError, match="form"):
        load(made.encoded() + b" ", "x")
    with pytest.raises(AuditBrokenError, match="form"):
        load(made.encoded().replace(b'":', b'": ', 1), "x")
