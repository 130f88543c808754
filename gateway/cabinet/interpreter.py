"""All cabinets of a gateway, as an interpreter of what readers and people say.

A cabinet's records and alarms have its name as their device: several readers may see one cabinet,
and one reader several. The gateway attests them; who saw it is in ``attested_by``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from gateway.cabinet import conditions, telling
from gateway.cabinet.access import Session
from gateway.cabinet.cabinet import Cabinet
from gateway.cabinet.commands import ListChange, Reconcile
from gateway.cabinet.config import CabinetTable, Spot
from gateway.cabinet.counts import Count
from gateway.cabinet.doors import Input as DoorInput
from gateway.cabinet.garments import Garments, Issued
from gateway.cabinet.history import History, Line
from gateway.cabinet.kept import BADGES, ISSUED, ITEMS, RECALLS, SPACES, Kept
from gateway.cabinet.lists import Badge, Entry, Item, Lists, Recall
from gateway.cabinet.outcome import ItemTold
from gateway.cabinet.presence import State
from gateway.cabinet.storing import restore_cabinets, store
from gateway.cabinet.watching import SECOND_US, At
from gateway.domain.devices import Device
from gateway.domain.ports import Counters, StateView
from gateway.domain.records import (
    Attestation,
    Gap,
    InventoryAction,
    Provenance,
)
from gateway.domain.tags import InputChange, ReaderCondition, ReaderState, TagRead, TagReads
from gateway.pipeline.alarms.state import Context
from gateway.pipeline.interpreters import Findings

JUDGED_AFTER_US: Final = SECOND_US // 5
"""Conditions are worked out of the whole cabinet: not with every read."""
JUDGED_EVERY_US: Final = 5 * SECOND_US
"""Conditions also depend on the date, and on how long something has lasted."""
LATE_US: Final = 2 * SECOND_US
"""Ticks come every 250 ms. When one is so late, the gateway stood still, and what readers said
meanwhile waits unread: before it is heard, nothing is absent, and nobody is late."""
SHOWN_EVERY_US: Final = 5 * SECOND_US
SEEN_EVERY_US: Final = 60 * SECOND_US

_LIST_SPACES: Final = {Item: ITEMS, Recall: RECALLS, Badge: BADGES}
_COUNTED: Final = {
    State.PRESENT: "present",
    State.DOUBTED: "doubted",
    State.UNACCOUNTED: "unaccounted",
}


class Cabinets:
    """The Interpreter; also what the service for people looks at."""

    takes = (TagReads, InputChange, ReaderState, Reconcile, ListChange)
    conditions = conditions.NAMES
    spaces = SPACES

    def __init__(self, tables: Sequence[CabinetTable], counters: Counters) -> None:
        self.lists = Lists()
        self.garments = Garments()
        self.cabinets = {table.name: Cabinet(table, self.lists.what, self) for table in tables}
        self.history = History()
        self.reconciled: Sequence[Count] = ()
        """What the last Reconcile found."""
        self.kept = Kept()
        self.standing: dict[str, tuple[str, ...]] = dict.fromkeys(self.cabinets, ())
        self._counters = counters
        self._places: dict[Spot, tuple[Cabinet, str]] = {}
        self._badge_spots: dict[Spot, Cabinet] = {}
        self._doors: dict[Spot, tuple[Cabinet, str, bool]] = {}
        self._of_reader: dict[str, list[Cabinet]] = {}
        self._provenance: dict[str, Provenance] = {}
        self._found = Findings()
        self._judged_t = dict.fromkeys(self.cabinets, -JUDGED_EVERY_US)
        self._seen_t = dict.fromkeys(self.cabinets, -SEEN_EVERY_US)
        self._shown_t = -SHOWN_EVERY_US
        self._ticked_t: int | None = None
        self._now = At(0, 0)
        for table in tables:
            self._lay_out(table)

    def _lay_out(self, table: CabinetTable) -> None:
        cabinet = self.cabinets[table.name]
        for place in table.places:
            for spot in place.spots:
                self._places[spot] = cabinet, place.name
                if cabinet.is_badge_spot(spot):
                    self._badge_spots[spot] = cabinet
        for spot in cabinet.badge_spots:
            self._badge_spots[spot] = cabinet
        for door in table.doors:
            self._doors[door.spot] = cabinet, door.name, door.open_when == "high"
        for reader in table.readers:
            self._of_reader.setdefault(reader, []).append(cabinet)
        readers = ",".join(sorted(table.readers))
        self._provenance[table.name] = Provenance("cabinet", Attestation.GATEWAY, readers)

    def device(self, name: str) -> Device | None:
        """A cabinet as a device, which no registry knows; None: it is no cabinet."""
        cabinet = self.cabinets.get(name)
        return None if cabinet is None else Device(name, "cabinet", cabinet.table.ward)

    # The Interpreter

    def interpret(self, statement: Any, mono: float, found: Findings) -> None:
        """A reader or a person said something."""
        self._now = at = At(statement.received_us, int(mono * SECOND_US))
        self.kept.found, self._found = found, found
        match statement:
            case TagReads():
                self._heard(statement.device_id, at)
                for read in sorted(statement.reads, key=lambda each: each.last_us):
                    self._read(statement, read, at)
            case InputChange():
                self._input(statement, at)
            case ReaderState():
                self._reader(statement, at)
            case Reconcile():
                self._reconcile(statement, at)
            case ListChange():
                self._list(statement)
            case _:
                raise TypeError(type(statement).__name__)
        self._judge(at)

    def tick(self, at_us: int, mono: float, found: Findings) -> None:
        """Time has passed."""
        self._now = at = At(at_us, int(mono * SECOND_US))
        self.kept.found, self._found = found, found
        ticked_t, self._ticked_t = self._ticked_t, at.t
        if ticked_t is not None and at.t - ticked_t > LATE_US:
            self._ticked_t = None  # the next one judges, however late it is
            return
        for name, cabinet in self.cabinets.items():
            cabinet.tick(at)
            if cabinet.seen and at.t - self._seen_t[name] >= SEEN_EVERY_US:
                self._seen_t[name] = at.t
                self.changed(name, "self", "")
        self._judge(at)
        if at.t - self._shown_t >= SHOWN_EVERY_US:
            self._shown_t = at.t
            self._show()

    def value_of(self, space: str, key: str) -> bytes | None:
        """A piece of state as it is now."""
        return self.kept.value_of(space, key)

    def restore(self, view: StateView, mono: float) -> None:
        """Take over what was committed: everything is in doubt until it is read again."""
        restore_cabinets(self, view, int(mono * SECOND_US))

    # What readers say

    def _heard(self, reader: str, until: At) -> None:
        """What a reader saw until then it has told."""
        for cabinet in self._of_reader.get(reader, ()):
            cabinet.heard(reader, until)

    def _read(self, statement: TagReads, read: TagRead, now: At) -> None:
        spot = Spot(statement.device_id, read.antenna)
        at = now.placed(statement.placed_us(read.last_us))
        here = self._places.get(spot)
        shown_at = self._badge_spots.get(spot)
        cabinet = here[0] if here is not None else shown_at
        if cabinet is None:
            self._counters.add("tag_reads", "unplaced")
            return
        badge = self.lists.badge(read.epc, cabinet.table.badge_prefixes)
        if badge is not None:
            self._counters.add("tag_reads", "badge")
            if shown_at is not None:
                shown_at.badge(badge.staff, badge.roles, at)
        elif here is not None:
            self._counters.add("tag_reads", "placed")
            cabinet.read(here[1], read.epc, at, max(1, read.count), read.rssi_dbm)
        else:
            self._counters.add("tag_reads", "no_badge")

    def _input(self, statement: InputChange, now: At) -> None:
        found = self._doors.get(Spot(statement.device_id, statement.port))
        if found is None:
            return
        cabinet, door, open_when_high = found
        is_open = statement.high == open_when_high
        if statement.asked:
            given, at = (DoorInput.FOUND_OPEN if is_open else DoorInput.FOUND_SHUT), now
        else:
            given = DoorInput.OPENED if is_open else DoorInput.CLOSED
            at = now.placed(statement.placed_us(statement.at_us))
        cabinet.door(door, given, at)

    def _reader(self, state: ReaderState, now: At) -> None:
        reader = state.device_id
        spot = Spot(reader, state.antenna)
        heard = now.placed(state.from_us) if state.from_us else now
        for cabinet in self._of_reader.get(reader, ()):
            match state.condition:
                case ReaderCondition.HEARD:
                    cabinet.heard(reader, heard)
                case ReaderCondition.CONNECTED:
                    # It may have been away unnoticed: what was believed of before is in doubt.
                    cabinet.reader(reader, now, up=False)
                    cabinet.reader(reader, now, up=True)
                case ReaderCondition.RESUMED:
                    cabinet.reader(reader, heard, up=False)
                    cabinet.reader(reader, now, up=True, told_all=state.held)
                case ReaderCondition.LOST | ReaderCondition.STOPPED:
                    cabinet.reader(reader, heard, up=False)
                case ReaderCondition.ANTENNA_UP | ReaderCondition.ANTENNA_DOWN:
                    up = state.condition is ReaderCondition.ANTENNA_UP
                    cabinet.antenna(spot, now, up=up)
                case ReaderCondition.OVERFLOW:
                    cabinet.overlooked(reader, now.placed(state.to_us) if state.to_us else now)
                case ReaderCondition.BUFFER_WARNING | ReaderCondition.EXCEPTION:
                    pass

    # What people say

    def _reconcile(self, command: Reconcile, at: At) -> None:
        cabinet = self.cabinets[command.device_id]
        self.reconciled = counts = cabinet.reconcile(command.counted, at)
        said = (at.us, command.persons, counts)
        source = self._provenance[cabinet.name]
        self._found.record(
            telling.reconciliation_record(cabinet.name, source, *said, command.reason)
        )
        self._line(cabinet.name, telling.reconciliation_line(*said))

    def _list(self, change: ListChange) -> None:
        held, space = self.lists.held(change.of), _LIST_SPACES[change.of]
        for key in change.removed:
            if held.pop(key, None) is not None:
                self.kept.put(space, key, None)
        for entry in change.put:
            held[entry.key] = entry
            self.kept.put(space, entry.key, entry)
        for cabinet in self.cabinets.values():
            cabinet.news = True

    def changes(self, of: type[Entry], entries: Sequence[Entry]) -> tuple[list[Entry], list[str]]:
        """What differs from the list in force: what to put, and the keys to remove."""
        held = self.lists.held(of)
        new = {entry.key: entry for entry in entries}
        return (
            [entry for key, entry in new.items() if held.get(key) != entry],
            [key for key in held if key not in new],
        )

    # What cabinets tell (Out)

    def item(self, cabinet: str, told: ItemTold) -> None:
        """Something became of an item."""
        action, badges = told.action, told.who.badges
        table = self.cabinets[cabinet].table
        if table.kind == "garment":
            action, badges = self._garment(cabinet, told)
        source = self._provenance[cabinet]
        self._found.record(telling.item_record(cabinet, source, self._now.us, action, badges, told))
        self._line(cabinet, telling.item_line(action, badges, told))
        self._counters.add("cabinet_events", action.name.lower())

    def _garment(self, cabinet: str, told: ItemTold) -> tuple[InventoryAction, tuple[str, ...]]:
        badges = told.who.badges
        if told.action in {InventoryAction.ARRIVED, InventoryAction.CONFIRMED}:
            issued = self.garments.give_back(told.epc)
            if issued is None:
                return told.action, badges
            self.kept.put(ISSUED, told.epc, None)
            return InventoryAction.RETURNED, badges or ((issued.staff,) if issued.staff else ())
        if told.action is not InventoryAction.DEPARTED or told.reason:
            return told.action, badges
        overdue_h = self.cabinets[cabinet].table.overdue_h
        staff = badges[0] if badges else ""
        issued = Issued(told.epc, cabinet, told.at.us, staff, overdue_h)
        forgotten = self.garments.issue(issued)
        if forgotten is not None:
            self.kept.put(ISSUED, forgotten.epc, None)
        self.kept.put(ISSUED, told.epc, issued)
        return (InventoryAction.ISSUED if staff else told.action), badges

    def access(self, cabinet: str, session: Session, counts: Sequence[Count], at: At) -> None:
        """A door session is over."""
        source = self._provenance[cabinet]
        self._found.record(telling.access_record(cabinet, source, at.us, session, counts))
        self._line(cabinet, telling.access_line(session))
        self._counters.add("cabinet_accesses", session.verdict.name.lower())

    def unseen(self, cabinet: str, since: At, at: At) -> None:
        """The cabinet was not seen for a while."""
        gap = Gap(reason="cabinet_unseen", device_id=cabinet, from_us=since.us, to_us=at.us)
        self._found.record(gap)
        self._line(cabinet, telling.unseen_line(since, at))

    def changed(self, cabinet: str, what: str, name: str) -> None:
        """A piece of a cabinet's state is to be stored."""
        store(self, cabinet, what, name, self._now)

    def elsewhere(self, cabinet: str, epc: str, first_t: int) -> str | None:
        """Whether another cabinet has a tag that is about to arrive."""
        for name, other in self.cabinets.items():
            tag = other.tags.get(epc)
            if name == cabinet or tag is None or tag.state is State.TENTATIVE:
                continue
            if tag.state is State.PRESENT and tag.last.t >= first_t:
                return None
            return other.released(epc) or ""
        return ""

    def _line(self, cabinet: str, line: Line) -> None:
        self.history.add(self.kept, cabinet, line)
        self.changed(cabinet, "self", "")

    # Alarms

    def _judge(self, at: At) -> None:
        """Tell which conditions began and ended."""
        overdue: dict[str, int] | None = None
        for name, cabinet in self.cabinets.items():
            if not cabinet.news and at.t - self._judged_t[name] < JUDGED_EVERY_US:
                continue
            if at.t - self._judged_t[name] < JUDGED_AFTER_US:
                continue  # at the next tick
            if overdue is None:
                overdue = self.garments.overdue(at.us)
            cabinet.news = False
            self._judged_t[name] = at.t
            before = self.standing[name]
            now = conditions.standing(cabinet, self.lists, overdue.get(name, 0), before, at)
            context = Context(name, "", self._provenance[name], at.us, at.t / SECOND_US)
            for condition in before:
                if condition not in now:
                    cause = conditions.cause_of(condition, None)
                    self._found.condition(context, cause, active=False)
            for condition, shown in now.items():
                if condition not in before:
                    cause = conditions.cause_of(condition, shown)
                    self._found.condition(context, cause, active=True)
            if now.keys() != set(before):
                self.standing[name] = tuple(now)
                self.changed(name, "self", "")

    def _show(self) -> None:
        states = Counter(
            tag.state for cabinet in self.cabinets.values() for tag in cabinet.tags.values()
        )
        for state, word in _COUNTED.items():
            self._counters.set("cabinet_items", states[state], word)
        unseen = sum(not cabinet.seen for cabinet in self.cabinets.values())
        self._counters.set("cabinets_unseen", unseen)
