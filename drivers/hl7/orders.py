"""RGV^O15 -> what was ordered for a pump (IHE PCD TF-2, PCD-03; HL7 v2.6, 4.14.6).

- Context alone: an order becomes a statement to the gateway, and nothing is sent to anybody but its
  acknowledgement.
- An order is an ORC segment and what follows it: RXG (drug, amount, rate), RXR (route), and an OBX
  whose OBX-18 names the pump. A later order of the same message without a pump is for the same one.
- RXG-5 in a unit of volume is the volume; RXG-15 in a unit of flow is the rate, in one of dose the
  dose rate. What is in no unit that converts is left out.
- Who the patient is (PID) is not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import Final

from drivers.hl7 import codec, values
from drivers.hl7.codec import Header, Segment
from drivers.hl7.units import unit
from gateway.domain import units
from gateway.domain.errors import MalformedError
from gateway.domain.orders import InfusionOrderTold
from gateway.domain.records import InfusionOrderAction, Provenance

ORDERS_MAX: Final = 64
STEP_SEGMENTS: Final = 24
TEXT_CHARACTERS_MAX: Final = 120
NO_PUMP: Final = "no_pump"
NO_ORDER: Final = "no_order"
TOO_MANY_ORDERS: Final = "too_many_orders"
UNKNOWN_UNIT: Final = "unknown_unit"

ACTIONS: Final = {
    "CA": InfusionOrderAction.CANCELLED,
    "DC": InfusionOrderAction.CANCELLED,
    "HD": InfusionOrderAction.CANCELLED,
    "OC": InfusionOrderAction.CANCELLED,
    "OD": InfusionOrderAction.CANCELLED,
    "CH": InfusionOrderAction.CHANGED,
    "XO": InfusionOrderAction.CHANGED,
    "XX": InfusionOrderAction.CHANGED,
}
"""ORC-1 (HL7 table 0119); every other word orders."""

VOLUME: Final = "mL"
FLOW: Final = "mL/h"
DOSE_RATES: Final = ("ug/kg/min", "mg/h", "[iU]/h", "[iU]/kg/h", "mmol/h")


class _Order:
    """One ORC, as far as it is read."""

    def __init__(self, orc: Segment, zone: tzinfo) -> None:
        self.action = ACTIONS.get(orc.text(1).upper(), InfusionOrderAction.ORDERED)
        self.order_id = orc.components(2)[0].strip() or orc.components(3)[0].strip()
        self.ordered_us = values.time_us(orc.raw(9), zone)
        self.drug = self.drug_code = self.route = self.dose_unit = ""
        self.volume_ml: float | None = None
        self.rate_ml_h: float | None = None
        self.dose: float | None = None
        self.pump: tuple[str, ...] = ()


class OrderInterpreter:
    """Reads one message in steps, as :class:`drivers.hl7.mapping.Interpreter` does.

    Args:
        content: of the frame.
        header: as read, without a fault.
        zone: of the sender's times, where neither they nor MSH-7 name one.

    Raises:
        MalformedError: too many segments.
    """

    def __init__(self, content: bytes, header: Header, zone: tzinfo = UTC) -> None:
        self._header = header
        self._texts = codec.segments(content, header)
        self._at = 1
        self._zone = values.offset_of(header.time) or zone
        self._orders: list[_Order] = []
        self._ward = self._bed = ""
        self.left_out: list[str] = []

    def step(self, segments: int = STEP_SEGMENTS) -> bool:
        """Read some segments more; True when all are read.

        Raises:
            MalformedError: a segment breaks the standard.
        """
        for text in self._texts[self._at : self._at + segments]:
            self._at += 1
            self._read(codec.segment(text, self._header))
        return self._at >= len(self._texts)

    def _read(self, segment: Segment) -> None:
        order = self._orders[-1] if self._orders else None
        match segment.name:
            case "ORC":
                if len(self._orders) >= ORDERS_MAX:
                    raise MalformedError(TOO_MANY_ORDERS)
                self._orders.append(_Order(segment, self._zone))
            case "RXG" if order is not None and not order.drug:
                self._give(segment, order)  # further ones are its components
            case "RXR" if order is not None:
                order.route = order.route or _name(segment.components(1))
            case "OBX" if order is not None and segment.raw(18) and not order.pump:
                order.pump = segment.components(18)
            case "PV1":
                place = [each.strip()[:64] for each in segment.components(3)[:3]]
                self._ward, self._bed = place[0], "-".join(filter(None, place[1:]))
            case _:
                pass

    def _give(self, rxg: Segment, order: _Order) -> None:
        drug = rxg.components(4)
        order.drug_code = drug[0].strip()[:TEXT_CHARACTERS_MAX]
        order.drug = _name(drug)
        order.volume_ml = self._in(rxg, 5, 7, VOLUME)
        rate, ordered_in = values.number(rxg.text(15)), unit(rxg.components(16))
        if math.isnan(rate):
            return
        if (way := units.conversion(ordered_in, FLOW)) is not None:
            order.rate_ml_h = way.shown(rate)
        elif any(units.conversion(ordered_in, each) is not None for each in DOSE_RATES):
            order.dose, order.dose_unit = rate, ordered_in
        else:
            self.left_out.append(UNKNOWN_UNIT)

    def _in(self, segment: Segment, number: int, in_: int, wanted: str) -> float | None:
        amount = values.number(segment.text(number))
        if math.isnan(amount):
            return None
        way = units.conversion(unit(segment.components(in_)), wanted)
        return None if way is None else way.shown(amount)

    def finish(
        self,
        pump_of: Callable[[tuple[str, ...]], str],
        told_by: str,
        provenance: Provenance,
        received_us: int,
    ) -> list[InfusionOrderTold]:
        """What was ordered.

        Args:
            pump_of: equipment (components of an EI) -> device id.
            told_by: the order system's device id.
            provenance: of its word.
            received_us: when it came.

        Raises:
            MalformedError: no order, or one for no pump.
            RefusedError: ``pump_of`` did.
        """
        if not self._orders:
            raise MalformedError(NO_ORDER)
        told_us = values.time_us(self._header.time, self._zone)
        pump: tuple[str, ...] = ()
        found = []
        for order in self._orders:
            pump = order.pump or pump
            if not any(pump):
                raise MalformedError(NO_PUMP)
            found.append(
                InfusionOrderTold(
                    device_id=told_by,
                    provenance=provenance,
                    received_us=received_us,
                    message_id=self._header.control_id,
                    pump_id=pump_of(pump),
                    action=order.action,
                    order_id=order.order_id[:TEXT_CHARACTERS_MAX],
                    ordered_us=order.ordered_us or told_us,
                    drug=order.drug,
                    drug_code=order.drug_code,
                    volume_ml=order.volume_ml,
                    rate_ml_h=order.rate_ml_h,
                    dose=order.dose,
                    dose_unit=order.dose_unit,
                    route=order.route,
                    bed=self._bed,
                    ward=self._ward,
                )
            )
        return found


def _name(components: tuple[str, ...]) -> str:
    """What a coded value calls it: its text, else its code."""
    parts = [*(each.strip() for each in components[:2]), "", ""]
    return (parts[1] or parts[0])[:TEXT_CHARACTERS_MAX]
