"""Devices in zones: who is outside and what is done, classes, silence, places."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.domain.devices import Device, PortCredential
from gateway.domain.errors import ConfigError, RefusedError
from gateway.domain.network import ZoneEvent, parse_binding
from gateway.domain.ports import Outcome
from gateway.domain.records import Alarm
from gateway.fence.config import AreaTable, ClassTable, FenceConfig, Roaming, Scheme, ZoneTable
from gateway.fence.fence import Fence
from gateway.fence.following import Following
from gateway.fence.machine import State
from gateway.fence.ports import Around, Place
from gateway.network import watch
from gateway.network.config import Answer, SimConfig
from gateway.network.holds import Holds
from gateway.network.judge import Mismatch
from gateway.notices import Notices
from security.identity import IdentityConfig, IdentityService
from tests.fakes import FakeClock, FakeCounters, FakeSink, FakeState

PUMP = Device(
    "pump-1", "infusion", ward="icu", bed="3", network=parse_binding(gpsi="msisdn-8613800000001")
)
HOME = Device("home-1", "home-monitor", network=parse_binding(gpsi="msisdn-8613800000002"))
CAR = Device("car-1", "monitor", network=parse_binding(gpsi="msisdn-8613800000003"))
PUMP_AT, HOME_AT, CAR_AT = (f"tel:+861380000000{n}" for n in (1, 2, 3))
ZONES = (
    ZoneTable("z-icu", "icu"),
    ZoneTable("z-er", "er"),
    ZoneTable("z-yard"),
    ZoneTable("z-town", campus=False),
)
CLASSES = {
    "home": ClassTable(kinds=("home-monitor",), zones=("*",)),
    "ambulance": ClassTable(
        devices=("car-1",), zones=("z-yard", "z-town"), outside=Answer.REFUSE, grace_s=0
    ),
}
CONFIG = FenceConfig(ZONES, classes=CLASSES, roaming=Roaming.FOLLOW)


class Book:
    def __init__(self):
        self.entries = []

    def record(self, event, **fields):
        self.entries.append((event, fields))

    def refused(self, *words):
        pass

    def admitted(self, *words):
        pass

    def left(self, *words):
        pass


class Somewhere:
    """Where devices stand."""

    def __init__(self):
        self.now = {"pump-1": Place("icu", "3")}
        self.moves = []

    def stands(self, device_id):
        return self.now.get(device_id, Place())

    def is_kept(self, _device_id):
        return True

    def move(self, move, done):
        home = (PUMP.ward, PUMP.bed)
        self.now[move.device_id] = Place(*home) if move.ward == PUMP.ward else Place(move.ward)
        self.moves.append((move.device_id, move.ward, move.at_us))
        done(Outcome.COMMITTED)


class Session:
    def kill(self, reason):
        del reason


class Bench:
    def __init__(self, config=CONFIG, state=None, answer=Answer.QUARANTINE, registry=True):
        self._before = state or FakeState()
        self.clock, self.counters = FakeClock(), FakeCounters()
        self.sink, self.book, self.holds = FakeSink(Outcome.COMMITTED), Book(), Holds()
        self.identity = IdentityService(
            IdentityConfig("ward.example"), self.clock, self.counters, self.book
        )
        self.notices = Notices("gw-1", self.sink, self.clock)
        self.watch = watch.SimWatch(
            SimConfig(outside_fence=answer),
            watch.Around(
                self.identity,
                self.holds,
                self.sink,
                self.notices,
                self.book,
                self.clock,
                self.counters,
            ),
        )
        self.zones: dict[str, frozenset[str]] = {}
        self.places = Somewhere()
        self.following = Following(self.places, self.sink, self.book, self.clock)
        self.fence = Fence(
            config,
            Around(
                self.watch,
                self.following,
                self.notices,
                self.book,
                self.clock,
                self.counters,
                lambda device_id, zones: self.zones.update({device_id: frozenset(zones)}),
            ),
        )
        if state is not None:
            self.notices.restore(state)
            self.watch.restore(state)
            self.following.restore(state)
        self.fence.restore(registry=registry)

        def directory(devices):
            known = list(devices)
            self.fence.directory(known)
            self.watch.directory(known)

        self.identity.on_directory = directory

    def told(self, zone, here, address=PUMP_AT, ago_s=0.0):
        at_us = self.clock.now_us() - round(ago_s * 1e6)
        self.fence.told(ZoneEvent(zone, (address,), here, at_us))

    def looked(self, **zones):
        found: dict[str, dict[str, int]] = {zone.zone: {} for zone in ZONES}
        for zone, addresses in zones.items():
            found[f"z-{zone}"] = dict.fromkeys(addresses, self.clock.now_us())
        self.fence.looked(found, self.clock.now_us())

    def wait(self, seconds):
        self.clock.advance(seconds)
        self.fence.tick()
        self.watch.tick()

    def state(self, device_id="pump-1"):
        return next(each.state for each in self.fence.list() if each.device_id == device_id)

    def admitted(self, device_id="pump-1"):
        session = Session()
        try:
            self.identity.admit(PortCredential(device_id, "/dev/ttyS0"), session)
        except RefusedError:
            return False
        self.identity.leave(session)
        return True

    @property
    def alarms(self):
        return [
            f"{record.condition} {record.phase.name}"
            for record in self.sink.records
            if isinstance(record, Alarm)
        ]

    @property
    def committed(self):
        state = FakeState(self._before.spaces)
        for submission in self.sink.submissions:
            for space, key, value in submission.deltas:
                held = state.spaces.setdefault(space, {})
                if value is None:
                    held.pop(key, None)
                else:
                    held[key] = value
        return state


def bench(*devices, **given):
    made = Bench(**given)
    made.identity.apply_directory(devices or (PUMP, HOME, CAR))
    return made


def test_whoever_wants_to_know_is_told_of_zones():
    one = bench()
    one.told("z-icu", here=True)
    assert one.zones["pump-1"] == {"z-icu"}
    one.told("z-er", here=True)
    assert one.zones["pump-1"] == {"z-icu", "z-er"}
    one.told("z-icu", here=False)
    assert one.zones["pump-1"] == {"z-er"}
    one.fence.silent()
    assert one.zones["pump-1"] == frozenset()
    one.told("z-icu", here=True)
    one.identity.apply_directory((HOME,))
    assert one.zones["pump-1"] == frozenset()


def test_who_leaves_and_does_not_come_back_is_held_and_freed_on_return():
    one = bench()
    one.told("z-icu", here=True)
    one.told("z-icu", here=False)
    one.wait(29)
    assert one.state() is State.LEFT
    assert not one.holds.devices
    one.wait(2)
    assert one.state() is State.OUTSIDE
    assert list(one.holds.devices) == ["pump-1"]
    assert one.alarms == ["outside_fence START"]
    assert one.counters.gauges["fence_devices", "outside"] == 1
    one.told("z-yard", here=True)
    assert one.state() is State.INSIDE
    assert not one.holds.devices
    assert one.alarms == ["outside_fence START", "outside_fence END"]
    events = [event for event, _ in one.book.entries if event.startswith("sim_")]
    assert events == ["sim_mismatch", "sim_agrees"]
    assert not one.committed.spaces[watch.SPACE]
    assert "1380000" not in repr(one.book.entries) + repr(one.sink.records)


def test_a_change_of_zones_and_a_short_absence_are_none():
    one = bench()
    one.told("z-icu", here=True)
    one.told("z-icu", here=False)
    one.wait(10)
    one.told("z-er", here=True)
    one.wait(100)
    assert one.state() is State.INSIDE
    one.told("z-er", here=False, ago_s=200)  # older than what is known
    assert one.state() is State.INSIDE
    assert not one.alarms


def test_zones_that_overlap_are_left_when_the_last_one_is():
    one = bench()
    one.told("z-icu", here=True)
    one.told("z-yard", here=True)
    one.told("z-icu", here=False)
    assert one.state() is State.INSIDE
    one.told("z-town", here=True)
    assert one.state() is State.INSIDE
    one.told("z-yard", here=False)
    assert one.state() is State.LEFT


def test_who_is_switched_off_has_not_left():
    one = bench()
    one.looked(icu=[PUMP_AT])
    one.told("z-icu", here=False)
    one.told("z-er", here=True)
    assert one.state() is State.INSIDE
    one.wait(5)
    one.looked()
    assert one.state() is State.UNKNOWN
    one.wait(1000)
    one.looked()
    assert one.state() is State.UNKNOWN
    assert not one.alarms


def test_who_is_outside_stays_so_until_it_is_seen_inside():
    one = bench(answer=Answer.REFUSE)
    one.looked(town=[PUMP_AT])
    one.wait(31)
    assert not one.admitted()
    one.looked()
    one.fence.silent()
    one.wait(1000)
    assert one.state() is State.OUTSIDE
    again = Bench(state=one.committed, answer=Answer.REFUSE)
    assert not again.admitted()  # before anything is heard
    again.identity.apply_directory([PUMP, HOME, CAR])
    assert again.state() is State.OUTSIDE
    assert not again.admitted()
    again.looked(icu=[PUMP_AT])
    assert again.admitted()
    assert again.alarms[-1] == "outside_fence END"


def test_without_a_fence_nobody_stays_outside():
    one = bench(answer=Answer.REFUSE)
    one.looked(town=[PUMP_AT])
    one.wait(31)
    again = Bench(FenceConfig(), state=one.committed, answer=Answer.REFUSE)
    assert again.admitted()
    assert not again.holds.devices


NAMED = FenceConfig(ZONES, addresses={"acr:1": "pump-1"})


def outside(*, registry):
    """What was committed of a device that was outside when the process ended."""
    one = Bench(config=NAMED, registry=registry)
    if registry:
        one.identity.apply_directory((PUMP, HOME, CAR))
    one.told("z-icu", here=True, address="acr:1")
    one.told("z-icu", here=False, address="acr:1")
    one.wait(31)
    assert "pump-1" in one.holds.devices
    return one.committed


def test_who_lost_its_address_is_held_no_longer_where_there_is_no_registry():
    state = outside(registry=False)
    again = Bench(config=NAMED, state=state, registry=False)
    assert "pump-1" in again.holds.devices
    again = Bench(config=FenceConfig(ZONES), state=state, registry=False)
    assert "pump-1" not in again.holds.devices
    # With a registry, it may still be bound to a number.
    again = Bench(config=FenceConfig(ZONES), state=state)
    assert "pump-1" in again.holds.devices
    again.identity.apply_directory((Device("pump-1"),))
    assert "pump-1" not in again.holds.devices


@pytest.mark.parametrize("registry", [True, False])
def test_a_class_that_was_changed_over_a_restart_applies_to_who_is_outside(registry):
    state = outside(registry=registry)

    def again(table):
        config = FenceConfig(
            ZONES, addresses=NAMED.addresses, classes={"one": table} if table else {}
        )
        made = Bench(config=config, state=state, registry=registry, answer=Answer.ALARM)
        if registry:
            made.identity.apply_directory((PUMP, HOME, CAR))
        return made

    everywhere = again(ClassTable(devices=("pump-1",), zones=("*",)))
    assert everywhere.state() is State.INSIDE
    assert not everywhere.holds.devices
    refused = again(ClassTable(devices=("pump-1",), outside=Answer.REFUSE))
    assert refused.state() is State.OUTSIDE
    assert not refused.admitted()
    assert "pump-1" in refused.holds.devices
    mild = again(None)  # what its class wanted is wanted no more
    assert mild.state() is State.OUTSIDE
    assert not mild.holds.devices


def test_a_network_whose_clock_is_behind_is_believed_that_a_device_left():
    one = bench()
    one.fence.looked(
        {each.zone: ({PUMP_AT: 0} if each.zone == "z-icu" else {}) for each in ZONES},
        one.clock.now_us(),
    )
    assert one.state() is State.INSIDE
    one.told("z-icu", here=False, ago_s=3600)
    assert one.state() is State.LEFT
    assert one.counters.counts["fence_told", "old"] == 0


def test_silence_is_one_alarm_and_holds_nobody():
    one = bench()
    one.looked(icu=[PUMP_AT], town=[CAR_AT])
    one.fence.silent()
    one.fence.silent()
    assert one.alarms == ["fence_unknown START"]
    assert one.counters.gauges["fence_silent",] == 1
    assert {each.state for each in one.fence.list()} == {State.UNKNOWN}
    one.wait(1000)
    assert not one.holds.devices
    one.looked(icu=[PUMP_AT])
    assert one.alarms == ["fence_unknown START", "fence_unknown END"]
    assert one.counters.gauges["fence_silent",] == 0
    assert one.state() is State.INSIDE


def test_each_class_has_its_own_rules():
    one = bench()
    one.looked(icu=[PUMP_AT, CAR_AT], town=[HOME_AT])
    one.wait(0)
    assert one.state("home-1") is State.INSIDE
    assert one.state("car-1") is State.OUTSIDE  # no grace, and the wards are not its place
    assert not one.admitted("car-1")
    assert one.admitted("pump-1")
    one.told("z-town", here=True, address=CAR_AT)
    assert one.admitted("car-1")
    one.told("z-town", here=False, address=HOME_AT)
    one.wait(1000)
    assert one.state("home-1") is not State.OUTSIDE
    found = {each.device_id: each.class_name for each in one.fence.list()}
    assert found == {"pump-1": "", "home-1": "home", "car-1": "ambulance"}


def test_classes_and_the_registry_are_followed():
    one = bench(answer=Answer.REFUSE)
    one.told("z-icu", here=True)
    one.told("z-icu", here=False)
    one.wait(31)
    assert not one.admitted()
    lenient = CLASSES | {"lent": ClassTable(devices=("pump-1",), outside=Answer.ALARM)}
    one.fence.follow(FenceConfig(ZONES, classes=lenient))
    assert one.admitted()
    assert one.watch.standing("pump-1") == {Mismatch.OUTSIDE_FENCE}
    one.identity.apply_directory([HOME])
    assert not one.watch.outside()
    assert one.alarms == ["outside_fence START", "outside_fence END"]
    one.identity.apply_directory([PUMP])
    assert one.state() is State.UNKNOWN


@pytest.mark.parametrize(
    "address",
    ["tel:+8613800000001", "acr:8613800000001", "sip:+8613800000001@ims.example", "8613800000001"],
)
def test_an_address_is_a_number_in_whatever_form(address):
    one = bench()
    one.told("z-icu", here=True, address=address)
    assert one.state() is State.INSIDE


def test_an_address_may_be_configured_and_others_are_nobodys():
    config = FenceConfig(ZONES, addresses={"acr:10.0.0.7": "wired-1"}, scheme=Scheme.ACR)
    one = bench(PUMP, Device("wired-1"), config=config)
    assert one.fence.addresses() == ("acr:10.0.0.7", "acr:8613800000001")
    one.told("z-icu", here=True, address="acr:10.0.0.7")
    assert one.state("wired-1") is State.INSIDE
    one.told("z-icu", here=True, address="acr:10.0.0.8")
    one.told("elsewhere", here=True)
    assert one.counters.counts["fence_told", "unknown_device"] == 1
    assert one.counters.counts["fence_told", "unknown_zone"] == 1


def test_without_a_registry_those_of_the_configuration_have_a_fence():
    config = FenceConfig(ZONES, addresses={"acr:10.0.0.7": "wired-1"})
    one = Bench(config)
    one.told("z-town", here=True, address="acr:10.0.0.7")
    one.wait(31)
    assert list(one.holds.devices) == ["wired-1"]
    one.identity.apply_directory([PUMP])
    assert not one.holds.devices


def test_a_place_follows_who_stays_in_another_ward():
    one = bench()
    one.told("z-icu", here=True)
    one.told("z-er", here=True)
    one.wait(59)
    assert not one.places.moves  # the wards' radio overlaps
    one.told("z-er", here=False)
    one.told("z-icu", here=True)
    one.wait(61)
    assert not one.places.moves
    one.told("z-icu", here=False)
    one.told("z-er", here=True)
    since_us = one.clock.now_us()
    one.wait(61)
    assert one.places.moves == [("pump-1", "er", since_us)]
    moved = [fields for event, fields in one.book.entries if event == "fence_moved"]
    assert moved == [{"device": "pump-1", "ward": "er", "before": "icu"}]
    one.places.now["pump-1"] = Place("er", "7")  # a person says at which bed
    one.looked(er=[PUMP_AT])
    one.wait(100)
    assert len(one.places.moves) == 1
    one.told("z-er", here=False)
    one.told("z-icu", here=True)
    one.wait(61)
    assert one.places.now["pump-1"] == Place("icu", "3")


def test_a_persons_word_of_a_place_stands_through_silence_absence_and_a_restart():
    one = bench()
    one.looked(er=[PUMP_AT])
    one.wait(61)
    one.places.now["pump-1"] = Place("icu", "3")  # a person says so, whatever the network sees
    one.fence.silent()
    one.looked(er=[PUMP_AT])
    one.wait(61)
    one.looked()
    one.looked(er=[PUMP_AT])
    one.wait(61)
    assert [ward for _, ward, _ in one.places.moves] == ["er"]
    again = Bench(state=one.committed)
    again.places.now["pump-1"] = Place("icu", "3")
    again.identity.apply_directory([PUMP])
    again.looked(er=[PUMP_AT])
    again.wait(61)
    assert not again.places.moves
    again.looked(icu=[PUMP_AT])
    again.wait(61)
    assert not again.places.moves  # it stands there
    again.looked(er=[PUMP_AT])
    again.wait(61)
    assert [ward for _, ward, _ in again.places.moves] == ["er"]


def test_who_returns_from_outside_follows_anew_also_after_a_restart():
    one = bench()
    one.looked(er=[PUMP_AT])
    one.wait(61)
    one.looked(town=[PUMP_AT])
    one.wait(31)
    assert one.places.now["pump-1"] == Place()
    again = Bench(state=one.committed)
    again.places.now["pump-1"] = Place()
    again.identity.apply_directory([PUMP])
    again.looked(er=[PUMP_AT])
    assert again.places.now["pump-1"] == Place("icu", "3")
    again.wait(61)
    assert again.places.now["pump-1"] == Place("er")


def test_nothing_is_kept_of_who_has_no_fence_any_more():
    one = bench()
    one.looked(er=[PUMP_AT])
    one.wait(61)
    assert set(one.committed.spaces["fence"]) == {"pump-1"}
    assert not Bench(FenceConfig(), state=one.committed).committed.spaces["fence"]
    one.identity.apply_directory([HOME])
    assert not one.committed.spaces["fence"]


def test_who_is_outside_stands_at_no_bed_until_it_returns():
    one = bench()
    one.looked(icu=[PUMP_AT])
    one.told("z-icu", here=False)
    one.wait(31)
    assert one.places.now["pump-1"] == Place()
    one.told("z-yard", here=True)
    assert one.places.now["pump-1"] == Place("icu", "3")


def test_who_is_outside_in_another_ward_stands_nowhere_and_from_its_return_on_where_it_is():
    strict = CLASSES | {"icu-only": ClassTable(devices=("pump-1",), zones=("z-icu",))}
    one = bench(config=FenceConfig(ZONES, classes=strict, roaming=Roaming.FOLLOW))
    one.looked(er=[PUMP_AT])
    one.wait(31)
    assert one.state() is State.OUTSIDE
    one.wait(100)
    assert one.places.now["pump-1"] == Place()
    one.fence.follow(CONFIG)
    assert one.places.now["pump-1"] == Place("icu", "3")
    one.wait(59)
    assert one.places.now["pump-1"] == Place("icu", "3")
    one.wait(2)
    assert one.places.now["pump-1"] == Place("er")


def test_places_follow_from_when_the_hospital_wants_them_to():
    one = bench(config=FenceConfig(ZONES, classes=CLASSES))
    one.looked(er=[PUMP_AT])
    one.wait(61)
    assert not one.places.moves
    one.fence.follow(CONFIG)
    one.wait(1)
    assert [ward for _, ward, _ in one.places.moves] == ["er"]


def test_places_stay_where_the_hospital_does_not_want_them_to_follow():
    one = bench(config=FenceConfig(ZONES))
    one.looked(er=[PUMP_AT])
    one.wait(61)
    one.told("z-er", here=False)
    one.wait(61)
    assert one.state() is State.OUTSIDE
    assert not one.places.moves


@pytest.mark.parametrize(
    "wrong",
    [
        {"zones": (*ZONES, ZoneTable("z-icu"))},
        {"zones": ZONES, "areas": (AreaTable("z-icu", 0, 0, 1),)},
        {"zones": (ZoneTable("z", campus=False),)},
        {"zones": ZONES, "classes": {"a": ClassTable(zones=("nowhere",))}},
        {"zones": ZONES, "classes": {n: ClassTable(kinds=("monitor",)) for n in "ab"}},
        {"zones": tuple(ZoneTable(f"z-{n}") for n in range(300))},
    ],
)
def test_what_can_not_be_meant_is_refused(wrong):
    with pytest.raises(ConfigError, match=r"^fence\."):
        FenceConfig(**wrong)


class Everything(RuleBasedStateMachine):
    """Words, looks, silence, time and restarts in any order."""

    def __init__(self):
        super().__init__()
        self.bench = bench(PUMP)

    @rule(zone=st.sampled_from([each.zone for each in ZONES]), here=st.booleans())
    def word(self, zone, here):
        self.bench.clock.advance(1)
        self.bench.told(zone, here=here)

    @rule(zones=st.sets(st.sampled_from(["icu", "er", "town"])))
    def look(self, zones):
        self.bench.clock.advance(1)
        self.bench.looked(**{zone: [PUMP_AT] for zone in zones})

    @rule()
    def silent(self):
        self.bench.fence.silent()

    @rule(seconds=st.sampled_from([1, 20, 40]))
    def wait(self, seconds):
        self.bench.wait(seconds)

    @rule(devices=st.sampled_from([(PUMP,), (HOME,)]))
    def registry(self, devices):
        self.bench.identity.apply_directory(devices)

    @rule()
    def restart(self):
        before = self.bench
        devices = tuple((before.fence._directory or {}).values())
        self.bench = Bench(state=before.committed)
        self.bench.clock.advance(before.clock.monotonic())
        assert self.bench.watch.outside() == before.watch.outside()
        self.bench.identity.apply_directory(devices)

    @invariant()
    def who_is_outside_is_held_and_nobody_else(self):
        one = self.bench
        outside = {each.device_id for each in one.fence.list() if each.state is State.OUTSIDE}
        assert outside == set(one.watch.outside()) == set(one.holds.devices)

    @invariant()
    def nobody_in_a_good_zone_is_outside(self):
        campus = set(CONFIG.campus)
        for each in self.bench.fence.list():
            if each.device_id == "pump-1" and set(each.zones) & campus:
                assert each.state is State.INSIDE


Everything.TestCase.settings = settings(max_examples=40, stateful_step_count=15)
TestEverything = Everything.TestCase
