"""Orders beside infusions: the newest of each pump, and how far the pump is off it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from gateway.domain import terms, units
from gateway.domain.orders import InfusionOrderTold
from gateway.domain.records import InfusionOrder, InfusionOrderAction
from gateway.infusion.infusion import Infusion

DOSES: Final = tuple(
    map(
        terms.code,
        (
            "MDC_RATE_DOSE",
            "WARDGATE_RATE_DOSE_MASS",
            "WARDGATE_RATE_DOSE_UNITS",
            "WARDGATE_RATE_DOSE_UNITS_KG",
            "WARDGATE_RATE_DOSE_AMOUNT",
        ),
    )
)


class Deviation(NamedTuple):
    """What a pump does otherwise than was ordered."""

    rate_percent: float | None = None
    """Its programmed rate or dose against the ordered one; None: they can't be compared."""
    other_drug: bool = False


def record_of(told: InfusionOrderTold, bed: str, ward: str) -> InfusionOrder:
    """The record of an order; bed and ward are the pump's, as far as they are known."""
    return InfusionOrder(
        device_id=told.pump_id,
        provenance=told.provenance,
        received_us=told.received_us,
        action=told.action,
        order_id=told.order_id,
        ordered_us=told.ordered_us,
        drug=told.drug,
        drug_code=told.drug_code,
        volume_ml=told.volume_ml,
        rate_ml_h=told.rate_ml_h,
        dose=told.dose,
        dose_unit=told.dose_unit,
        route=told.route,
        bed=bed or told.bed,
        ward=ward or told.ward,
        message_id=told.message_id,
    )


def counts(order: InfusionOrder) -> bool:
    """Whether an order is one that something should run by."""
    return order.action is not InfusionOrderAction.CANCELLED


def deviation(order: InfusionOrder, infusion: Infusion) -> Deviation:
    """How far a pump is off its order, by what it is programmed to, else by what it does."""
    values = infusion.values
    rate = values.get(terms.PROGRAMMED_RATE, values.get(terms.FLOW_RATE))
    percent = None
    if order.rate_ml_h and rate is not None:
        percent = (rate / order.rate_ml_h - 1) * 100
    elif order.dose:
        for code in DOSES:
            way = units.conversion(order.dose_unit, terms.metric(code).unit)
            if code in values and way is not None:
                percent = (values[code] / way(order.dose) - 1) * 100
                break
    ordered, runs = order.drug.casefold().strip(), infusion.drug.casefold().strip()
    # Names come from two lists: a pump's "NORepinephrine 4 mg" is the order's "norepinephrine".
    other = bool(ordered and runs) and ordered not in runs and runs not in ordered
    return Deviation(percent, other)


def persist(order: InfusionOrder) -> bytes:
    """The value of its state delta."""
    return msgspec.msgpack.encode(order)


revive: Any = msgspec.msgpack.Decoder(InfusionOrder).decode
"""What :func:`persist` wrote; raises msgspec.MsgspecError if it didn't."""
