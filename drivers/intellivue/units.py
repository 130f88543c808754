"""Units: the protocol's unit codes as UCUM, and the few conversions between them.

Unit codes are terms of the standard's partition 4 (MDC_DIM_…); the vendor's own ones (F000 and
above) are not here. A metric has one unit inside Wardgate, so a monitor that is set to kPa or
Fahrenheit is converted on the way in. What can't be converted is never passed off as a number.
"""

from __future__ import annotations

UCUM: dict[int, str] = {
    0x0200: "1",
    0x0220: "%",
    0x0240: "[ppth]",
    0x0260: "[ppm]",
    0x03E0: "[pH]",
    0x0500: "m",
    0x0511: "cm",
    0x0512: "mm",
    0x0640: "L",
    0x0652: "mL",
    0x0672: "mL",
    0x06C0: "g",
    0x06C3: "kg",
    0x0840: "g/dL",
    0x0852: "mg/dL",
    0x0880: "s",
    0x0892: "ms",
    0x0893: "us",
    0x08A0: "min",
    0x08C0: "h",
    0x09C0: "Hz",
    0x0AA0: "/min",
    0x0AE0: "/min",
    0x0B20: "L/min/m2",
    0x0C00: "L/min",
    0x0C12: "mL/min",
    0x0C32: "mL/h",
    0x0F03: "kPa",
    0x0F20: "mm[Hg]",
    0x0F40: "cm[H2O]",
    0x10B2: "mV",
    0x10B3: "uV",
    0x1120: "K",
    0x1140: "[degF]",
    0x1272: "mmol/L",
    0x1712: "mL/cm[H2O]",
    0x1720: "cm[H2O]/L/s",
    0x17A0: "Cel",
}

_KPA_PER_MMHG = 0.133322387415
_CMH2O_PER_MMHG = 1.3595100263597

_CONVERSIONS: dict[tuple[str, str], tuple[float, float]] = {
    ("kPa", "mm[Hg]"): (1 / _KPA_PER_MMHG, 0.0),
    ("cm[H2O]", "mm[Hg]"): (1 / _CMH2O_PER_MMHG, 0.0),
    ("mm[Hg]", "cm[H2O]"): (_CMH2O_PER_MMHG, 0.0),
    ("kPa", "cm[H2O]"): (_CMH2O_PER_MMHG / _KPA_PER_MMHG, 0.0),
    ("[degF]", "Cel"): (5 / 9, -160 / 9),
    ("K", "Cel"): (1.0, -273.15),
    ("mL/min", "L/min"): (1e-3, 0.0),
    ("L", "mL"): (1e3, 0.0),
    ("ms", "s"): (1e-3, 0.0),
    ("s", "ms"): (1e3, 0.0),
    ("min", "s"): (60.0, 0.0),
    ("uV", "mV"): (1e-3, 0.0),
}


def conversion(unit_code: int, to: str) -> tuple[float, float] | None:
    """Factor and offset from a unit code to a UCUM unit; None where there is no way.

    >>> conversion(0x0F20, "mm[Hg]")
    (1.0, 0.0)
    """
    unit = UCUM.get(unit_code)
    if unit is None:
        return None
    if unit == to:
        return 1.0, 0.0
    return _CONVERSIONS.get((unit, to))
