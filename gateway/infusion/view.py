"""Every infusion of the gateway, kept from what devices report; who warns before a bag is empty.

Rules:

- The intake shows it every report that may be about an infusion (:func:`~.infusion.concerns`);
  other reports cost it nothing.
- ``infusion_ends_soon`` stands from ``lead_s`` before the earliest likely end on, also when the
  device has fallen silent meanwhile: the bag runs out all the same. It ends when another bag hangs,
  when the end has moved away by more than ``back_percent``, when it is empty (``drip_finished``
  says that), and when the device signs off or is retired. While nothing flows it stays as it was.
- An order (IHE PCD-03) becomes a record and stands beside the infusion of its pump; nothing is ever
  sent to one.
- Bounded: ``infusions_max``. State is written when something happened, else every ``PERSIST_S``, at
  most ``PERSISTED_MAX`` a tick: what is lost by a power cut the next report tells again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.orders import InfusionOrderTold
from gateway.domain.ports import StateView
from gateway.domain.records import (
    AlarmKind,
    AlarmSource,
    Attestation,
    InfusionOrder,
    Provenance,
    Report,
    Whose,
)
from gateway.domain.statements import Statement
from gateway.domain.terms import TIME_REMAINING, VOLUME_REMAINING
from gateway.infusion import orders
from gateway.infusion.infusion import Infusion, State, tells
from gateway.pipeline.alarms.state import Cause, Context
from gateway.pipeline.config import PRIORITIES, InfusionRule
from gateway.pipeline.interpreters import Findings

_log = logging.getLogger(__name__)

SPACE: Final = "infusion"
ORDERS: Final = "infusion.order"
ENDS_SOON: Final = "infusion_ends_soon"
CODE_ENDS_SOON: Final = 3 << 16 | 0xF013
"""Private: the standard's near completion (197334) is a volume's, not a time's."""
GATEWAY: Final = Provenance("gateway", Attestation.GATEWAY)
SWEEP_S: Final = 5.0
"""Between two looks at what no report has changed: the end comes nearer by itself."""
PERSIST_S: Final = 10.0
PERSISTED_MAX: Final = 256


class Standing(NamedTuple):
    """An infusion and its order, as they are now."""

    infusion: Infusion
    order: InfusionOrder | None


class Infusions:
    """See the module; an interpreter of orders, and the intake's observer of reports.

    Args:
        rule: as configured.
    """

    takes: tuple[type[Statement], ...] = (InfusionOrderTold,)
    conditions = frozenset((ENDS_SOON,))
    spaces = frozenset((SPACE, ORDERS))

    def __init__(self, rule: InfusionRule) -> None:
        self._rule = rule
        self._all: OrderedDict[str, Infusion] = OrderedDict()
        """The one unheard for longest first."""
        self._orders: OrderedDict[str, InfusionOrder] = OrderedDict()
        self._warned: dict[str, bool] = {}
        """What the alarm engine was told last; of who is missing nothing since the start."""
        self._told: dict[str, None] = {}
        """Reported since the last tick."""
        self._unsaved: dict[str, None] = {}
        self._urgent: dict[tuple[str, str], None] = {}
        """State that is written at the next tick, by space and key; what is gone is removed."""
        self._swept = self._saved = float("-inf")
        self.changes = 0
        """Counts what was taken: who watches looks whether there is something new."""

    def follow(self, rule: InfusionRule) -> None:
        """Go on under a changed rule; it counts from the next look on."""
        self._rule = rule
        self._swept = float("-inf")

    # What the intake tells

    def heard(self, report: Report, qualities: tuple[int, ...], whose: Whose) -> None:
        """A report came that may be about an infusion."""
        if not tells(report):
            return
        device_id = report.device_id
        infusion = self._all.get(device_id)
        if infusion is None:
            infusion = self._all[device_id] = Infusion(device_id)
        self._all.move_to_end(device_id)
        if infusion.take(report, qualities, whose) or report.kind == "event":
            self._urgent[(SPACE, device_id)] = None
        self._unsaved[device_id] = None
        self._told[device_id] = None
        self.changes += 1
        if len(self._all) > self._rule.infusions_max:
            self._forget(next(iter(self._all)))

    def signed_off(self, device_id: str) -> None:
        """A device was switched off properly: the engine has ended its alarms."""
        infusion = self._all.get(device_id)
        if infusion is not None:
            infusion.away = True
            self._warned.pop(device_id, None)
            self.changes += 1

    def retired(self, device_id: str) -> None:
        """A device is no longer the hospital's."""
        if self._orders.pop(device_id, None) is not None:
            self._urgent[(ORDERS, device_id)] = None
        if device_id in self._all:
            self._forget(device_id)

    def _forget(self, device_id: str) -> None:
        del self._all[device_id]
        for pile in (self._warned, self._told, self._unsaved):
            pile.pop(device_id, None)
        self._urgent[(SPACE, device_id)] = None
        self.changes += 1

    # An interpreter

    def interpret(self, told: InfusionOrderTold, mono: float, found: Findings) -> None:
        """An order came."""
        del mono
        infusion = self._all.get(told.pump_id)
        bed, ward = ("", "") if infusion is None else (infusion.bed, infusion.ward)
        order = orders.record_of(told, bed, ward)
        found.record(order)
        before = self._orders.get(told.pump_id)
        if before is not None and before.ordered_us > order.ordered_us > 0:
            return  # told late: what came meanwhile is newer
        self._orders[told.pump_id] = order
        self._orders.move_to_end(told.pump_id)
        found.delta(ORDERS, told.pump_id, orders.persist(order))
        self.changes += 1
        if len(self._orders) > self._rule.infusions_max:
            oldest, _ = self._orders.popitem(last=False)
            found.delta(ORDERS, oldest, None)

    def tick(self, at_us: int, mono: float, found: Findings) -> None:
        """Look at what was reported, at times at all, and write what is due."""
        look = tuple(self._told)
        self._told = {}
        if mono - self._swept >= SWEEP_S:
            self._swept = mono
            self._forget_the_silent(at_us)
            look = tuple(self._all)
        for device_id in look:
            infusion = self._all.get(device_id)
            if infusion is not None:
                self._judge(infusion, at_us, mono, found)
        self._save(mono, found)

    def value_of(self, space: str, key: str) -> bytes | None:
        """A piece of state as it is now."""
        if space == ORDERS:
            order = self._orders.get(key)
            return None if order is None else orders.persist(order)
        infusion = self._all.get(key)
        return None if infusion is None else infusion.persist()

    def restore(self, view: StateView, mono: float) -> None:
        """Take over what was committed."""
        del mono
        found: list[Infusion] = []
        for value in view.items(SPACE).values():
            try:
                found.append(Infusion.revive(value))
            except UNDECODABLE:
                _log.error("an infusion's state can't be read (%d bytes)", len(value))
        for infusion in sorted(found, key=lambda each: each.heard_us):
            self._all[infusion.device_id] = infusion
        for key, value in view.items(ORDERS).items():
            try:
                self._orders[key] = orders.revive(value)
            except UNDECODABLE:
                _log.error("an infusion order's state can't be read (%d bytes)", len(value))

    # Who looks

    def all(self) -> Iterator[Standing]:
        """Every infusion, in no order."""
        for device_id, infusion in self._all.items():
            yield Standing(infusion, self._orders.get(device_id))

    def find(self, device_id: str) -> Standing | None:
        """One device's; None: it has told of none."""
        infusion = self._all.get(device_id)
        return None if infusion is None else Standing(infusion, self._orders.get(device_id))

    # The warning

    def _judge(self, infusion: Infusion, at_us: int, mono: float, found: Findings) -> None:
        device_id = infusion.device_id
        warned = self._warned.get(device_id)
        stands = self._stands(infusion, at_us, warned=bool(warned))
        if stands is None or (not stands and warned is False):
            return
        # Repeated while it stands: the engine may have ended it with the device's other alarms.
        self._warned[device_id] = stands
        context = Context(device_id, infusion.bed, GATEWAY, at_us, mono)
        found.condition(context, self._cause(infusion, at_us), active=stands)

    def _stands(self, infusion: Infusion, at_us: int, *, warned: bool) -> bool | None:
        """Whether the warning is to stand; None: as it was."""
        rule = self._rule
        watched = rule.warn and (infusion.is_drip or rule.pumps)
        if not watched or infusion.away or infusion.state in (State.FINISHED, State.KVO):
            return False
        told = infusion.forecast(at_us)
        if told is None:
            return None if infusion.track.samples else False
        lead_s = rule.lead_s * (1 + rule.back_percent / 100) if warned else rule.lead_s
        return told.early_s <= lead_s

    def _cause(self, infusion: Infusion, at_us: int) -> Cause:
        told = infusion.forecast(at_us)
        left_min = 0.0 if told is None else told.left_s / 60
        text = "infusion ends soon"
        if told is not None:
            early, late = told.early_s / 60, told.late_s / 60
            text = f"empty in about {left_min:.0f} min ({early:.0f} to {late:.0f})"
        left_ml = infusion.values.get(VOLUME_REMAINING, 0.0)
        return Cause(
            condition=ENDS_SOON,
            code=CODE_ENDS_SOON,
            kind=AlarmKind.ADVISORY,
            source=AlarmSource.GATEWAY,
            priority=PRIORITIES[self._rule.priority],
            text=text,
            limit=self._rule.lead_s / 60,
            codes=(TIME_REMAINING, VOLUME_REMAINING),
            values=(round(left_min, 1), left_ml),
        )

    # State

    def _forget_the_silent(self, at_us: int) -> None:
        oldest_us = at_us - int(self._rule.forget_s * 1e6)
        silent = [each for each in self._all.values() if each.heard_us < oldest_us]
        for infusion in silent:
            self._forget(infusion.device_id)

    def _save(self, mono: float, found: Findings) -> None:
        if mono - self._saved >= PERSIST_S and self._unsaved:
            some = list(self._unsaved)[:PERSISTED_MAX]
            self._urgent |= dict.fromkeys((SPACE, each) for each in some)
            if len(some) == len(self._unsaved):
                self._saved = mono
        for space, key in self._urgent:
            found.delta(space, key, self.value_of(space, key))
            if space == SPACE:
                self._unsaved.pop(key, None)
        self._urgent = {}
