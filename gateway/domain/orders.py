"""What a hospital's order system says of an infusion (IHE PCD-03).

Context alone: nothing of it is ever passed on to a pump. :mod:`gateway.infusion` keeps it beside
what the pump really does.
"""

from __future__ import annotations

from gateway.domain.records import InfusionOrderAction
from gateway.domain.statements import Statement


class InfusionOrderTold(Statement, frozen=True, kw_only=True):
    """An order for one pump; ``device_id`` is who told it, an order system."""

    pump_id: str
    action: InfusionOrderAction
    order_id: str
    ordered_us: int = 0
    """0: it does not say."""
    drug: str = ""
    drug_code: str = ""
    """Of the hospital's formulary."""
    volume_ml: float | None = None
    rate_ml_h: float | None = None
    dose: float | None = None
    """A dose rate, in ``dose_unit`` (UCUM)."""
    dose_unit: str = ""
    route: str = ""
    bed: str = ""
    ward: str = ""
