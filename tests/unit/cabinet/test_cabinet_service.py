"""What people on site are told of the cabinets, and what they may say, over a real pipeline."""

import msgspec
import pytest

from gateway.cabinet.interpreter import Cabinets
from gateway.cabinet.service import Around, Desk
from gateway.domain.devices import Device
from gateway.domain.ports import Submission
from gateway.domain.tags import (
    InputChange,
    ReaderClock,
    ReaderCondition,
    ReaderState,
    TagRead,
    TagReads,
)
from gateway.local.access import Caller, LocalRole
from gateway.local.calls import CallError, InvalidError, Unary, UnknownError, UnsavedError
from gateway.pipeline.config import PipelineConfig
from gateway.pipeline.intake import Intake
from tests.fakes import FakeClock, FakeCounters
from tests.unit.cabinet.world import PLACES, QUICK, READER, SOURCE, epc
from tests.unit.pipeline.support import FAILED, FakeCommitter

A, B = epc(1), epc(2)
OLGA = Caller("local/olga", frozenset(LocalRole))
CONTROLLED = msgspec.structs.replace(
    QUICK, name="drugs-1", kind="controlled", roles=("nurse", "pharmacist")
)
BADGES = b"epc,staff,roles\nBAD6E1,s-17,nurse\nBAD6E2,s-18,pharmacist\nBAD6E3,s-19,cleaner\n"


class Audited:
    def __init__(self):
        self.entries = []

    def record(self, event, **fields):
        self.entries.append((event, fields))

    def refused(self, *_):
        raise AssertionError


class Site:
    """A cabinet behind a pipeline, and the desk that answers for it."""

    def __init__(self, table=CONTROLLED):
        self.clock = FakeClock()
        self.commits = FakeCommitter()
        self.cabinets = Cabinets((table,), FakeCounters())
        self.intake = Intake(
            PipelineConfig(),
            self.commits,
            self.clock,
            FakeCounters(),
            lambda n: b"r" * n,
            interpreters=[self.cabinets],
        )
        self.intake.restore(self.commits.state)
        self.audited = Audited()
        desk = Desk(self.cabinets, Around(self.intake, self.clock, self.audited))
        self.methods: dict[str, Unary] = {
            each.name: each for each in desk.service().methods if isinstance(each, Unary)
        }
        self.state(ReaderCondition.CONNECTED)
        self.say(
            InputChange,
            clock=ReaderClock.NONE,
            port=1,
            high=False,
            at_us=0,
            asked=True,
        )

    def say(self, kind, **more):
        now_us = self.clock.now_us()
        said = kind(device_id=READER, provenance=SOURCE, received_us=now_us, **more)
        self.intake.submit(Submission([said]))

    def state(self, condition, **more):
        self.say(ReaderState, condition=condition, **more)

    def wait(self, seconds, *tags):
        for _ in range(seconds):
            self.clock.advance(1.0)
            if tags:
                reads = tuple(TagRead(tag, PLACES["drawer-1"]) for tag in tags)
                self.say(TagReads, clock=ReaderClock.NONE, reads=reads)
            self.intake.tick()

    async def ask(self, method, **request):
        found = self.methods[method]
        return await found.answer(OLGA, found.request(**request))


@pytest.fixture
def site():
    made = Site()
    made.wait(3, A, B)
    return made


async def test_what_is_shown(site):
    items = f"epc,name,lot,expiry\n{A},morphine,L1,2020-01-01\n{B},morphine,L2,\n".encode()
    done = await site.ask("ImportList", kind="items", document=items)
    assert (done.entries, done.changed, done.removed) == (2, 2, 0)
    site.wait(1, A, B)
    shown = await site.ask("ShowCabinets", cabinet="drugs-1")
    (cabinet,) = shown.cabinets
    assert (cabinet.name, cabinet.kind, cabinet.seen, cabinet.counted) == (
        "drugs-1",
        "controlled",
        True,
        False,
    )
    assert [(door.name, door.state) for door in cabinet.doors] == [("front", "shut")]
    assert list(cabinet.conditions) == ["cabinet_expired/morphine"]
    assert [(each.item_class, each.found) for each in cabinet.classes] == [("morphine", 2)]
    assert [(each.epc, each.lot, list(each.marks)) for each in cabinet.items] == [
        (A, "L1", ["expired"]),
        (B, "L2", []),
    ]
    everything = await site.ask("ShowCabinets")
    assert [len(each.items) for each in everything.cabinets] == [0]
    with pytest.raises(UnknownError, match="no cabinet 'drugs-2' here; there are: drugs-1"):
        await site.ask("ShowCabinets", cabinet="drugs-2")


async def test_two_persons_count_and_it_is_stored_and_audited(site):
    await site.ask("ImportList", kind="badges", document=BADGES)
    site.wait(12, A, B)
    done = await site.ask(
        "ReconcileCabinet",
        cabinet="drugs-1",
        persons=["s-17", "s-18"],
        counted={"unlisted": 3},
        reason="one broke",
    )
    (each,) = done.classes
    assert (each.item_class, each.expected, each.found, each.counted, each.differs) == (
        "unlisted",
        2,
        2,
        3,
        True,
    )
    assert site.audited.entries == [
        (
            "cabinet_reconciled",
            {"cabinet": "drugs-1", "persons": "s-17,s-18", "differing": 1, "written_off": 0},
        )
    ]
    assert site.commits.state.items("cabinet.book").keys() == {"drugs-1"}
    lines = (await site.ask("GetCabinetHistory", cabinet="drugs-1", lines_max=1)).lines
    assert [(line.event, list(line.badges), line.text) for line in lines] == [
        ("reconciled", ["s-17", "s-18"], "1 of 1 classes differ")
    ]


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"persons": ["s-17"]}, "two different persons"),
        ({"persons": ["s-17", "s-17 "]}, "two different persons"),
        ({"persons": ["s-17", ""]}, "two different persons"),
        ({"persons": ["s-17", "s-20"]}, "s-20 is not in the list of badges"),
        ({"persons": ["s-17", "s-19"]}, "s-19 may not count drugs-1: that takes nurse or pharm"),
        ({"persons": ["s-17", "s-18"], "counted": {"80614141123457": 1}}, "wrong check digit"),
        ({"persons": ["s-17", "s-18"], "counted": {" ": 1}}, "a class is a GTIN or a name"),
        ({"persons": ["s-17", "s-18"], "counted": {"x": 100_001}}, "more than 100000"),
        ({"persons": ["s-17", "s-18"], "reason": "a\nb"}, "printable"),
    ],
)
async def test_a_count_that_may_not_be_is_refused(site, request_, said):
    await site.ask("ImportList", kind="badges", document=BADGES)
    site.wait(12, A, B)
    with pytest.raises(InvalidError, match=said):
        await site.ask("ReconcileCabinet", cabinet="drugs-1", **request_)
    assert site.audited.entries == []


async def test_nobody_counts_what_is_not_settled(site):
    site.state(ReaderCondition.LOST)
    with pytest.raises(CallError, match="drugs-1 is not settled"):
        await site.ask("ReconcileCabinet", cabinet="drugs-1", persons=["a", "b"])


async def test_what_the_journal_does_not_take_is_said(site):
    site.wait(12, A, B)
    site.commits.automatic = FAILED
    with pytest.raises(UnsavedError, match="the journal takes nothing now"):
        await site.ask("ReconcileCabinet", cabinet="drugs-1", persons=["a", "b"])
    site.commits.automatic = FakeCommitter().automatic
    site.wait(1, A, B)
    assert site.commits.state.items("cabinet.book").keys() == {"drugs-1"}


async def test_a_list_is_replaced_by_what_differs(site, monkeypatch):
    monkeypatch.setattr("gateway.cabinet.service.CHUNK", 2)
    first = b"epc,name\n" + b"".join(b"E2%02d,x\n" % n for n in range(7))
    second = b"epc,name\n" + b"".join(b"E2%02d,x\n" % n for n in range(1, 4)) + b"E300,y\nE204,z\n"
    await site.ask("ImportList", kind="items", document=first)
    for dry_run in (True, False):
        assert len(site.commits.state.items("cabinet.items")) == 7
        done = await site.ask("ImportList", kind="items", document=second, dry_run=dry_run)
        assert (done.entries, done.changed, done.removed) == (5, 2, 3)
    assert site.commits.state.items("cabinet.items").keys() == {
        "E201",
        "E202",
        "E203",
        "E204",
        "E300",
    }


async def test_a_list_that_is_wrong_changes_nothing(site):
    await site.ask("ImportList", kind="badges", document=BADGES)
    with pytest.raises(InvalidError, match="line 2: epc and staff are needed"):
        await site.ask("ImportList", kind="badges", document=b"epc,staff\nE1,\n")
    with pytest.raises(InvalidError, match="items, recalls or badges"):
        await site.ask("ImportList", kind="staff", document=b"")
    assert len(site.commits.state.items("cabinet.badges")) == 3


def test_a_cabinet_is_a_device_of_its_ward():
    cabinets = Site(msgspec.structs.replace(CONTROLLED, ward="icu")).cabinets
    assert cabinets.device("drugs-1") == Device("drugs-1", "cabinet", "icu")
    assert cabinets.device("drugs-2") is None


def test_who_may_call_what():
    methods = Site().methods
    may = {name: {role.value for role in each.allowed} for name, each in methods.items()}
    looks = {"viewer", "nurse", "pharmacist", "engineer"}
    assert may["ShowCabinets"] == may["GetCabinetHistory"] == may["ListIssued"] == looks
    assert may["ReconcileCabinet"] == {"nurse", "pharmacist"}
    assert may["ImportList"] == {"pharmacist"}
    assert {name for name, each in methods.items() if each.changes} == {
        "ReconcileCabinet",
        "ImportList",
    }
