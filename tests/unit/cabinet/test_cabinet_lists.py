"""The pharmacy's lists: what is taken, what is refused, and what a tag is then."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cabinet import csvlists
from gateway.cabinet.csvlists import gtin, parse
from gateway.cabinet.lists import (
    Badge,
    Item,
    Lists,
    Recall,
    What,
    expired,
    expires_soon,
    gtin_of,
)
from gateway.domain.errors import MalformedError

SGTIN = "3074257BF7194E4000001A85"
"""GS1's own example: urn:epc:tag:sgtin-96:3.0614141.812345.6789."""
GTIN = "80614141123458"
S = 1_000_000


def at(text: str) -> int:
    return int(dt.datetime.fromisoformat(f"{text}+00:00").timestamp() * S)


def test_an_items_list_with_what_pharmacies_export():
    document = (
        "\ufeffEPC;GTIN;Name;Lot;Expiry;Controlled\r\n"
        f"{SGTIN.lower()};;Propofol 1 %;A12;2027-03-31;no\r\n"
        "\r\n"
        ";0614141123452;Propofol;;;yes\r\n"
    )
    assert parse(Item, document.encode()) == (
        Item(SGTIN, "", "Propofol 1 %", "A12", "2027-03-31", False),
        Item("", "00614141123452", "Propofol", "", "", True),
    )


def test_recalls_and_badges():
    assert parse(Recall, f"gtin,lot,reason\n{GTIN},L9,particles\n".encode()) == (
        Recall("", GTIN, "L9", "particles"),
    )
    assert parse(Badge, b"epc,staff,roles\nBAD6E1,s-17,nurse pharmacist\n") == (
        Badge("BAD6E1", "s-17", ("nurse", "pharmacist")),
    )


@pytest.mark.parametrize(
    ("of", "document", "said"),
    [
        (Item, b"", "no columns; it has epc, gtin"),
        (Item, b"epc,colour\n", "line 1: no column 'colour'; there are epc, gtin"),
        (Item, b"epc,epc\n", "line 1: a column is named twice"),
        (Item, b"epc,name\nE2\n", "line 2: 1 columns, not 2"),
        (Item, b"epc,name\nE2,x,y\n", "line 2: 3 columns, not 2"),
        (Item, b"epc,name\n,x\n", "line 2: neither epc nor gtin"),
        (Item, b"epc,name\nXY,x\n", "line 2: epc: not hexadecimal"),
        (Item, b"gtin\n614141123453\n", "line 2: gtin: wrong check digit"),
        (Item, b"gtin\n123\n", "line 2: gtin: not 8, 12, 13 or 14 digits"),
        (Item, b"epc,expiry\nE2,31.03.2027\n", "line 2: expiry: not YYYY-MM-DD"),
        (Item, b"epc,expiry\nE2,20270331\n", "line 2: expiry: not YYYY-MM-DD"),
        (Item, b"epc,controlled\nE2,perhaps\n", "line 2: controlled: neither yes nor no"),
        (Item, b"epc\nE2\nE3\ne2\n", "line 4: named twice"),
        (Item, b"epc,name\nE2,a\x07b\n", "line 2: a value has control characters"),
        (Item, b"epc,name\nE2,\xff\n", "not UTF-8"),
        (Item, b'epc,name\nE2,"x\n', "line 2: unexpected end of data"),
        (Item, b"epc,name\nE2," + b"x" * 200 + b"\n", "line 2: a value is too long"),
        (Recall, b"gtin,reason\n,x\n", "line 2: either epc or gtin"),
        (Recall, b"epc,lot\nE2,L\n", "line 2: an epc has no lot beside it"),
        (Badge, b"epc,staff\nE2,\n", "line 2: epc and staff are needed"),
        (Badge, b"epc,staff,roles\nE2,s,a b c d e f g h i\n", "line 2: more than 8 roles"),
    ],
)
def test_a_list_is_taken_whole_or_not_at_all(of, document, said):
    with pytest.raises(MalformedError) as refused:
        parse(of, document)
    assert said in str(refused.value)


def test_a_list_has_its_limits(monkeypatch):
    with pytest.raises(MalformedError, match="more than"):
        parse(Item, b"x" * (csvlists.LIST_BYTES_MAX + 1))
    lines = "".join(f"E2{n:04X}\n" for n in range(2001))
    with pytest.raises(MalformedError, match="line 2002: more than 2000 lines"):
        parse(Recall, f"epc\n{lines}".encode())


@given(st.binary(max_size=200), st.sampled_from([Item, Recall, Badge]))
def test_whatever_comes_is_a_list_or_an_error_of_ours(document, of):
    try:
        entries = parse(of, document)
    except MalformedError:
        return
    assert all(isinstance(entry, of) for entry in entries)


def test_a_tag_names_its_article():
    assert gtin_of(SGTIN) == GTIN
    assert gtin_of("E2801160600002054C1B2A3F") == ""
    assert gtin_of("E28") == ""
    # A company prefix of 6 digits leaves 7 for the item: 2**24 does not fit, and is no GTIN.
    assert gtin_of("301BFFFFFFFFFFFFFFFFFFFF") == ""


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("614141123452", "00614141123452"),
        ("0614141123452", "00614141123452"),
        ("80614141123458", "80614141123458"),
        ("40170725", "00000040170725"),
    ],
)
def test_gtins_of_every_length(written, meant):
    assert gtin(written) == meant


def test_the_list_wins_over_the_tag_and_the_item_over_the_article():
    lists = Lists()
    assert lists.what(SGTIN) == What(GTIN)
    lists.items[GTIN] = Item(gtin=GTIN, name="propofol", controlled=True)
    assert lists.what(SGTIN) == What(GTIN, "propofol", controlled=True)
    lists.items[SGTIN] = Item(epc=SGTIN, name="propofol 20 ml", lot="A12", expiry="2027-03-31")
    assert lists.what(SGTIN) == What(GTIN, "propofol 20 ml", "A12", "2027-03-31", True)
    assert lists.what("E2") == What("unlisted")


@pytest.mark.parametrize(
    ("recall", "is_meant"),
    [
        (Recall(epc=SGTIN), True),
        (Recall(epc="E2"), False),
        (Recall(gtin=GTIN), True),
        (Recall(gtin=GTIN, lot="A12"), True),
        (Recall(gtin=GTIN, lot="A13"), False),
        (Recall(gtin="00614141123452"), False),
    ],
)
def test_what_a_recall_means(recall, is_meant):
    lists = Lists()
    lists.items[SGTIN] = Item(epc=SGTIN, lot="A12")
    lists.recalls[recall.key] = recall
    assert (lists.recall_of(SGTIN, lists.what(SGTIN)) is recall) == is_meant


def test_an_item_is_good_until_the_end_of_its_last_day():
    what = What("x", expiry="2027-02-28")
    assert not expired(what, at("2027-02-28T23:59:59"))
    assert expired(what, at("2027-03-01T00:00:00"))
    assert expires_soon(what, at("2027-02-28T23:59:59"), 0)
    assert expires_soon(what, at("2027-01-29T12:00:00"), 30)
    assert not expires_soon(what, at("2027-01-28T12:00:00"), 30)
    assert not expires_soon(what, at("2027-03-01T00:00:00"), 30)
    assert not expired(What("x"), at("2027-02-28T00:00:00"))


def test_a_badge_is_listed_or_looks_like_one():
    lists = Lists()
    lists.badges["E1"] = Badge("E1", "s-17", ("nurse",))
    lists.badges["E3"] = Badge("E3", "s-17", ("pharmacist",))
    assert lists.badge("E1", ()) == Badge("E1", "s-17", ("nurse",))
    assert lists.badge("BAD61", ("BAD6",)) == Badge("BAD61", "BAD61")
    assert lists.badge("E2", ("BAD6",)) is None
    assert lists.roles_of("s-17") == {"nurse", "pharmacist"}
    assert lists.roles_of("s-18") == set()
