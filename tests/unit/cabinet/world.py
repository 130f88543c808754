"""A cabinet as it really is, and what a reader and a gateway make of it.

The world knows where each item truly lies. Its reader reads what lies before an antenna and is not
hidden, tells of the door, and may be cut off; its gateway may be killed, and forgets then whatever
the journal had not taken.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.cabinet.config import CabinetTable, DoorTable, PlaceTable, ReadsTable
from gateway.cabinet.interpreter import Cabinets
from gateway.cabinet.presence import State
from gateway.domain.records import (
    Attestation,
    CabinetEvent,
    InventoryAction,
    InventoryEvent,
    Provenance,
    Record,
)
from gateway.domain.tags import (
    InputChange,
    ReaderClock,
    ReaderCondition,
    ReaderState,
    TagRead,
    TagReads,
)
from gateway.pipeline.interpreters import Findings
from tests.fakes import FakeCounters, FakeState

READER = "reader-1"
SOURCE = Provenance("llrp", Attestation.CERTIFICATE)
S = 1_000_000
NOON_US = 1_790_000_000 * S
PLACES = {"drawer-1": 1, "drawer-2": 2}
BADGE_ANTENNA = 4
DOOR_PORT = 1
READS = ReadsTable(
    reads=2, within_s=3, absent_s=5, absent_open_s=20, missed_s=60, reconcile_s=8, reference_s=5
)
QUICK = CabinetTable(
    name="stock-1",
    places=tuple(PlaceTable(name=name, antennas=(f"{READER}:{n}",)) for name, n in PLACES.items()),
    doors=(DoorTable(name="front", input=f"{READER}:{DOOR_PORT}", left_open_s=30),),
    badge_antennas=(f"{READER}:{BADGE_ANTENNA}",),
    badge_prefixes=("BAD6E",),
    badge_before_s=5,
    badge_grace_s=5,
    two_person_window_s=10,
    reads=READS,
)
NURSE, OTHER = "BAD6E0000000000000000001", "BAD6E0000000000000000002"


def epc(n: int) -> str:
    """An item's tag."""
    return f"E2{n:022X}"


class World:
    """One cabinet, one reader, one gateway."""

    def __init__(self, *tables: CabinetTable) -> None:
        self.tables = tables or (QUICK,)
        self.t = 1000 * S
        self.truth: dict[str, str] = {}
        self.hidden: set[str] = set()
        self.door_open = False
        self.connected = False
        self.silent_since_us = 0
        """Its cable is pulled since then, and nobody has noticed; 0: it is not."""
        self.disk = FakeState()
        self.disk_behind = False
        self.records: list[Record] = []
        self.alarms: dict[tuple[str, str], bool] = {}
        self._waiting: list[Findings] = []
        self._last: Any = None
        self.was_hidden: set[str] = set()
        self.wronged: list[str] = []
        """What was said to be gone, lay there, and could be read all the time."""
        self.cabinets = self._start()

    # The gateway

    def _start(self) -> Cabinets:
        cabinets = Cabinets(self.tables, FakeCounters())
        cabinets.restore(self.disk, self.t / S)
        return cabinets

    def crash(self) -> None:
        """What the journal has not taken is lost, and the reader finds nobody."""
        self._waiting = []
        self.disk_behind = False
        self.connected = False
        self.silent_since_us = 0
        self.cabinets = self._start()

    def say(self, statement: Any) -> None:
        found = Findings()
        self._last = statement
        self.cabinets.interpret(statement, self.t / S, found)
        self._commit(found)

    def again(self) -> None:
        """A driver that was not acknowledged says the last thing again."""
        if self._last is not None and self.heard:
            self.say(msgspec.structs.replace(self._last, received_us=self.now_us))

    def _tick(self) -> None:
        found = Findings()
        self.cabinets.tick(self.now_us, self.t / S, found)
        self._commit(found)

    def _commit(self, found: Findings) -> None:
        self.wronged += [
            each.epc
            for each in found.records
            if isinstance(each, InventoryEvent)
            and each.action is InventoryAction.DEPARTED
            and each.epc in self.truth
            and each.epc not in self.was_hidden
        ]
        self._waiting.append(found)
        if not self.disk_behind:
            self.catch_up()

    def catch_up(self) -> None:
        """The journal takes what waits."""
        self.disk_behind = False
        for found in self._waiting:
            self.records += found.records
            for told in found.conditions:
                self.alarms[told.context.device_id, told.cause.condition] = told.active
            for delta in found.deltas:
                space = self.disk.spaces.setdefault(delta.space, {})
                if delta.value is None:
                    space.pop(delta.key, None)
                else:
                    space[delta.key] = delta.value
        self._waiting = []

    # The reader

    @property
    def now_us(self) -> int:
        return NOON_US + self.t

    def state(self, condition: ReaderCondition, reader: str = READER, **more: Any) -> None:
        self.say(
            ReaderState(
                device_id=reader,
                provenance=SOURCE,
                received_us=self.now_us,
                condition=condition,
                **more,
            )
        )

    def connect(self) -> None:
        """The reader is heard; the gateway asks for the door."""
        if self.silent_since_us:
            self.cut()
        if self.connected:
            return
        self.connected = True
        self.state(ReaderCondition.CONNECTED)
        self.tell_door(asked=True)

    def silence(self) -> None:
        """Its cable is pulled: it is missed only after some time, by ``cut`` or ``connect``."""
        if self.connected:
            self.silent_since_us = self.silent_since_us or self.now_us

    def cut(self) -> None:
        if self.connected:
            self.connected = False
            self.state(ReaderCondition.LOST, from_us=self.silent_since_us or self.now_us)
            self.silent_since_us = 0

    def keep_alive(self) -> None:
        if self.heard:
            self.state(ReaderCondition.HEARD, from_us=self.now_us)

    @property
    def heard(self) -> bool:
        """Whether the gateway hears the reader."""
        return self.connected and not self.silent_since_us

    def tell_door(self, *, asked: bool = False) -> None:
        if self.heard:
            self.say(
                InputChange(
                    device_id=READER,
                    provenance=SOURCE,
                    received_us=self.now_us,
                    clock=ReaderClock.UTC,
                    port=DOOR_PORT,
                    high=self.door_open,
                    at_us=self.now_us,
                    asked=asked,
                )
            )

    def read(
        self, *tags: tuple[str, int], rssi: float | None = None, seen_us: int | None = None
    ) -> None:
        """(EPC, antenna) each; seen just now, unless it is told late."""
        if self.heard and tags:
            at_us = self.now_us if seen_us is None else seen_us
            self.say(
                TagReads(
                    device_id=READER,
                    provenance=SOURCE,
                    received_us=self.now_us,
                    clock=ReaderClock.UTC,
                    reads=tuple(TagRead(tag, antenna, rssi, at_us, at_us) for tag, antenna in tags),
                )
            )

    # What people do

    def wait(self, seconds: int) -> None:
        """Time passes; the reader reads once a second, and says that it lives."""
        for _ in range(seconds):
            self.t += S
            self.keep_alive()
            self.read(
                *(
                    (tag, PLACES[place])
                    for tag, place in sorted(self.truth.items())
                    if tag not in self.hidden
                )
            )
            self._tick()

    def stall(self, seconds: int) -> None:
        """The gateway stands still; then it knows the time, and not yet what the reader said."""
        self.t += seconds * S
        self._tick()

    def badge(self, badge: str = NURSE) -> None:
        self.read((badge, BADGE_ANTENNA))

    def open(self) -> None:
        if not self.door_open:
            self.door_open = True
            self.tell_door()

    def close(self) -> None:
        if self.door_open:
            self.door_open = False
            self.tell_door()

    def put(self, tag: str, place: str) -> None:
        if self.door_open:
            self.truth[tag] = place

    def take(self, tag: str) -> None:
        if self.door_open:
            self.truth.pop(tag, None)

    # What is believed

    def believed(self, cabinet: str = "stock-1") -> dict[str, tuple[State, str]]:
        return {
            tag.epc: (tag.state, tag.place)
            for tag in self.cabinets.cabinets[cabinet].tags.values()
            if tag.state is not State.TENTATIVE
        }

    def items(self) -> list[InventoryEvent]:
        """What was committed of items."""
        return [record for record in self.records if isinstance(record, InventoryEvent)]

    def events(self) -> list[tuple[str, str]]:
        """(action, EPC) of it."""
        return [(record.action.name.lower(), record.epc) for record in self.items()]

    def accesses(self) -> list[CabinetEvent]:
        return [record for record in self.records if isinstance(record, CabinetEvent)]

    def standing(self) -> set[str]:
        return {condition for (_, condition), active in self.alarms.items() if active}

    def told(self) -> dict[str, tuple[str, str]]:
        """What the core makes of the records: the last action and place of what is there."""
        last: dict[str, tuple[str, str]] = {}
        for record in self.items():
            if record.action in {InventoryAction.DEPARTED, InventoryAction.ISSUED}:
                last.pop(record.epc, None)
            else:
                last[record.epc] = (record.action.name, record.place)
        return last
