"""What a mobile network knows a device by, and what it says of one.

Rules:

* Identities are written as the standards do (TS 23.003, TS 29.571): parsed once, at the edge, into
  one spelling each, so that equal means equal.
* An empty word says nothing: neither what a device is bound to, nor what the network has seen.
* All of it identifies a device, and SUPI, GPSI and IMEI nearly a person: no log, no metric's label.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from gateway.domain.errors import MalformedError

TACS_MAX: Final = 32
"""Tracking areas of one device: a campus has a handful."""
DNN_OCTETS_MAX: Final = 100
"""As an APN (TS 23.003, 9.1)."""
EQUIPMENT_DIGITS: Final = 14
"""TAC and serial number: what IMEI and IMEISV of one equipment share (TS 23.003, 6.2)."""

_IMSI = re.compile(r"(?:imsi-)?([0-9]{5,15})", re.ASCII)
"""TS 23.003, 2.2: at most 15 digits; TS 29.571, 5.3.2: at least 5."""
_MSISDN = re.compile(r"(?:msisdn-|\+)?([0-9]{5,15})", re.ASCII)
_SNSSAI = re.compile(r"([0-9]{1,3})(?:-([0-9a-fA-F]{6}))?", re.ASCII)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_TAC = re.compile(r"[0-9a-fA-F]{4}|[0-9a-fA-F]{6}", re.ASCII)
_OPERATOR = re.compile(r"\.mnc[0-9]{2,3}\.mcc[0-9]{3}\.gprs", re.ASCII)
_NO_SD = "ffffff"
"""No slice differentiator (TS 23.003, 28.4.2)."""
_RESERVED = ("rac", "lac", "sgsn", "rnc")
"""What no network identifier begins with (TS 23.003, 9.1.1)."""


class Binding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the registry binds a device to; what is empty is not bound."""

    supi: str = ""
    """``imsi-`` and 5 to 15 digits."""
    gpsi: str = ""
    """``msisdn-`` and 5 to 15 digits."""
    imei: str = ""
    """15 digits (IMEI) or 16 (IMEISV)."""
    dnn: str = ""
    snssai: str = ""
    """SST and, where there is one, SD: ``1``, ``1-000001``."""
    tacs: tuple[str, ...] = ()
    """The tracking areas where it may be, hexadecimal."""

    def __bool__(self) -> bool:
        return self != _NOTHING

    @property
    def equipment(self) -> str:
        """What its IMEI and IMEISV share; empty where it is not bound to one."""
        return equipment(self.imei)


_NOTHING = Binding()


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a network says of a device; what is empty it did not say."""

    at_us: int
    """When it was so, by whoever says it."""
    device_id: str = ""
    """Whose certificate was shown, where the network has seen one (secondary authentication)."""
    supi: str = ""
    imei: str = ""
    dnn: str = ""
    snssai: str = ""
    tac: str = ""
    zone: str = ""
    """An area by the network's own name, where it has no tracking area to tell."""


class ZoneEvent(msgspec.Struct, frozen=True):
    """A network's word that somebody is in a zone now, or no longer."""

    zone: str
    addresses: tuple[str, ...]
    """As the network's location service names them: not parsed, and identities all the same."""
    here: bool
    at_us: int = 0
    """When, by the network's clock; 0: it did not say."""
    final: bool = False
    """No more is told under this subscription."""


class LinkSeen(msgspec.Struct, frozen=True):
    """A radio network's word on how it hears whoever has these IP addresses."""

    addresses: frozenset[str]
    at_us: int = 0
    """When, by the network's clock; 0: it did not say."""
    cell: str = ""
    """``mcc-mnc-cell``; empty: it did not say."""
    rsrp_dbm: float | None = None
    """The reference signal's power …"""
    rsrq_db: float | None = None
    """… its quality, …"""
    sinr_db: float | None = None
    """… and how far it is above interference and noise."""


class Swapped(NamedTuple):
    """When a network last saw a number get another SIM, and its SIM another modem; never which.

    None: it did not say. 0: never, as far back as it remembers.
    """

    sim_us: int | None = None
    modem_us: int | None = None

    def __bool__(self) -> bool:
        return self.sim_us is not None or self.modem_us is not None


def equipment(imei: str) -> str:
    """What IMEI and IMEISV of one equipment share."""
    return imei[:EQUIPMENT_DIGITS]


def parse_supi(text: str) -> str:
    """``imsi-…``; bare digits are taken, too.

    Raises:
        MalformedError: ``supi``: of another type, or not 5 to 15 digits.
    """
    found = _IMSI.fullmatch(text)
    if found is None:
        raise MalformedError("supi", "not imsi- and 5 to 15 digits")
    return f"imsi-{found[1]}"


def parse_gpsi(text: str) -> str:
    """``msisdn-…``; digits alone, or behind a plus sign, are taken, too.

    Raises:
        MalformedError: ``gpsi``.
    """
    found = _MSISDN.fullmatch(text)
    if found is None:
        raise MalformedError("gpsi", "not msisdn- and 5 to 15 digits")
    return f"msisdn-{found[1]}"


def parse_imei(text: str) -> str:
    """An IMEI of 15 digits, the last being right (annex B: Luhn), or an IMEISV of 16.

    Raises:
        MalformedError: ``imei``.
    """
    digits = text.removeprefix("imei-").removeprefix("imeisv-")
    if not (digits.isascii() and digits.isdigit() and len(digits) in {15, 16}):
        raise MalformedError("imei", "not 15 digits (IMEI) or 16 (IMEISV)")
    if len(digits) == EQUIPMENT_DIGITS + 1 and not _luhn(digits):
        raise MalformedError("imei", "its check digit is wrong")
    return digits


def parse_dnn(text: str) -> str:
    """A data network's name, its network identifier alone, in lower case.

    An operator identifier behind it (``.mnc001.mcc001.gprs``) is left out.

    Raises:
        MalformedError: ``dnn``: not labels of letters, digits and hyphens, or too long.
    """
    name = text.lower()
    operator = _OPERATOR.search(name)
    if operator is not None and operator.end() == len(name):
        name = name[: operator.start()]
    labels = name.split(".")
    if len(name) >= DNN_OCTETS_MAX or not all(_LABEL.fullmatch(each) for each in labels):
        raise MalformedError("dnn", "not labels of letters, digits and hyphens")
    if name.startswith(_RESERVED) or labels[-1] == "gprs":
        raise MalformedError("dnn", "not a network identifier (TS 23.003, 9.1.1)")
    return name


def parse_snssai(text: str) -> str:
    """``SST`` or ``SST-SD``: decimal, and six hexadecimal digits.

    Raises:
        MalformedError: ``snssai``.
    """
    found = _SNSSAI.fullmatch(text)
    if found is None or int(found[1]) > 255:  # one octet
        raise MalformedError("snssai", "not SST (0 to 255), or SST-SD with six hexadecimal digits")
    differentiator = (found[2] or _NO_SD).lower()
    return f"{int(found[1])}" + ("" if differentiator == _NO_SD else f"-{differentiator}")


def parse_tac(text: str) -> str:
    """A tracking area's code: six hexadecimal digits (5GS), or four (EPS), which get two zeros.

    Raises:
        MalformedError: ``tac``.
    """
    if _TAC.fullmatch(text) is None:
        raise MalformedError("tac", "not four or six hexadecimal digits")
    return text.lower().zfill(6)


def parse_binding(  # as many identities as the standard has
    supi: str = "",
    gpsi: str = "",
    imei: str = "",
    dnn: str = "",
    snssai: str = "",
    tacs: tuple[str, ...] = (),
) -> Binding:
    """What a person wrote, in one spelling.

    Raises:
        MalformedError: which identity is none.
    """
    if len(tacs) > TACS_MAX:
        raise MalformedError("tac", f"more than {TACS_MAX}")
    return Binding(
        supi and parse_supi(supi),
        gpsi and parse_gpsi(gpsi),
        imei and parse_imei(imei),
        dnn and parse_dnn(dnn),
        snssai and parse_snssai(snssai),
        tuple(sorted({parse_tac(each) for each in tacs})),
    )


def _luhn(digits: str) -> bool:
    doubled = (2 * int(each) for each in digits[-2::-2])
    total = sum(int(each) for each in digits[::-2]) + sum(n // 10 + n % 10 for n in doubled)
    return total % 10 == 0
