"""GS MEC 012, radio network information: in which cell a device is, and how well it is heard.

Rules:

* Context for people, nothing else: it is told beside reports (:mod:`gateway.fence.telling`), and
  nothing is decided by it. It goes into records, so that everything is bounded here.
* Two subscriptions, cell changes that are complete and NR measurements, kept as
  :mod:`gateway.mec.kept` does.
* A device is known by the address from which it speaks to the gateway: the interface has no SIM.
* Numbers are as in TS 38.331: power (value - 156) dBm, quality (value - 87) / 2 dB, signal to
  noise (value - 46) / 2 dB; 127 means that or better, and 0 that or worse.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any, Final

import msgspec

from gateway.domain.errors import MalformedError
from gateway.domain.network import LinkSeen
from gateway.domain.ports import Clock
from gateway.mec import kept
from gateway.mec.http import Platform
from gateway.mec.kept import Kept, Wish
from gateway.mec.reading import Stamp, address, decoded

IDS_MAX: Final = 64
"""Identifiers of one device in one notification."""
COMPLETED: Final = 3
"""``HoStatus``."""
_ADDRESSES: Final = frozenset((1, 2, 3))
"""``AssociateId.type``: IPv4, IPv6, behind a NAT."""
_CELL = re.compile(r"[0-9]{3}-[0-9]{2,3}-[0-9A-Za-z]{1,38}", re.ASCII)
"""The files do not say whether the 28 bits (ECI) or 36 (NCI) of a cell are in digits of two or of
sixteen, nor with what in front."""
FILTERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "CellChangeSubscription": ("filterCriteriaAssocHo", {"hoStatus": [COMPLETED]}),
    "NrMeasRepUeSubscription": ("filterCriteriaNrMrs", {}),
}


class _Plmn(msgspec.Struct, frozen=True):
    mcc: str
    mnc: str


class _Ecgi(msgspec.Struct, frozen=True, rename="camel"):
    plmn: _Plmn
    cell_id: str


class _Nrcgi(msgspec.Struct, frozen=True):
    plmn: _Plmn
    nrcell_id: str = msgspec.field(name="nrcellId")


class _AssociateId(msgspec.Struct, frozen=True):
    type: int = 0
    value: str = ""


class _Notice(msgspec.Struct, frozen=True, rename="camel", tag_field="notificationType"):
    associate_id: tuple[_AssociateId, ...] = ()
    time_stamp: Stamp | None = None


class _CellChange(_Notice, frozen=True, tag="CellChangeNotification", kw_only=True):
    trg_ecgi: tuple[_Ecgi, ...]
    ho_status: int


_Range = Annotated[int, msgspec.Meta(ge=0, le=127)]
"""TS 38.331: ``RSRP-Range``, ``RSRQ-Range``, ``SINR-Range``."""


class _Quantities(msgspec.Struct, frozen=True):
    rsrp: _Range | None = None
    rsrq: _Range | None = None
    sinr: _Range | None = None


class _Serving(msgspec.Struct, frozen=True):
    ssb: _Quantities = msgspec.field(default=_Quantities(), name="measQuantityResultsSsbCell")


class _Measured(msgspec.Struct, frozen=True, rename="camel"):
    nrcgi: _Nrcgi | None = None
    s_cell: _Serving = _Serving()


class _NrMeasured(_Notice, frozen=True, tag="NrMeasRepUeNotification", kw_only=True):
    serv_cell_meas_info: tuple[_Measured, ...] = ()


_Told = _CellChange | _NrMeasured


def read_radio(body: bytes) -> LinkSeen:
    """A notification of either kind.

    Raises:
        MalformedError: it is neither.
    """
    told: _Told = decoded(body, _Told, "notification of the radio network")  # type: ignore[arg-type]
    if len(told.associate_id) > IDS_MAX:
        raise MalformedError("radio", "too many identifiers")
    at_us = told.time_stamp.at_us if told.time_stamp else 0
    said = (address(each.value) for each in told.associate_id if each.type in _ADDRESSES)
    addresses = frozenset(each for each in said if each)
    if isinstance(told, _CellChange):
        done = told.ho_status == COMPLETED and told.trg_ecgi
        cell = _cell(told.trg_ecgi[0].plmn, told.trg_ecgi[0].cell_id) if done else ""
        return LinkSeen(addresses, at_us, cell)
    if not told.serv_cell_meas_info:
        return LinkSeen(addresses, at_us)
    first = told.serv_cell_meas_info[0]
    found = first.s_cell.ssb
    return LinkSeen(
        addresses,
        at_us,
        _cell(first.nrcgi.plmn, first.nrcgi.nrcell_id) if first.nrcgi else "",
        None if found.rsrp is None else float(found.rsrp - 156),
        None if found.rsrq is None else (found.rsrq - 87) / 2,
        None if found.sinr is None else (found.sinr - 46) / 2,
    )


def _cell(plmn: _Plmn, cell_id: str) -> str:
    """A cell's name; of one that makes no sense, nothing is said."""
    name = f"{plmn.mcc}-{plmn.mnc}-{cell_id}"
    return name if _CELL.fullmatch(name) else ""


class Radio:
    """The subscriptions of one application instance.

    Every call raises PlatformError (not now) or ProblemError (refused).
    """

    def __init__(self, platform: Platform, base: str, callback: str, clock: Clock) -> None:
        self._base = base.rstrip("/")
        self._callback = callback
        self._clock = clock
        self._kept = Kept(platform, clock)
        self._made = False
        """One was made by a call that then failed."""

    async def ensure(self) -> bool:
        """Make or renew what has to be; whether any of it was not there."""
        for kind in FILTERS:
            body = partial(self._body, kind)
            self._made |= await self._kept.ensure(
                Wish(kind, f"{self._base}/subscriptions", kind, body)
            )
        made, self._made = self._made, False
        return made

    async def withdraw(self) -> None:
        """End every subscription; idempotent."""
        await self._kept.withdraw()

    def _body(self, kind: str, url: str) -> dict[str, Any]:
        """A subscription; with ``url`` as it is changed."""
        criteria, filters = FILTERS[kind]
        end_s = self._clock.now_us() // 1_000_000 + kept.DURATION_S
        told: dict[str, Any] = {
            "subscriptionType": kind,
            "callbackReference": self._callback,
            "expiryDeadline": {"seconds": end_s, "nanoSeconds": 0},
            criteria: filters,
        }
        return told | ({"_links": {"self": {"href": url}}} if url else {})
