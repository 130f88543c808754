"""GS MEC 012, radio network information: in which cell a device is, and how well it is heard.

Rules:

* Context for people, nothing else: it is in no report, and nothing is decided by it.
* Two subscriptions, cell changes that are complete and NR measurements. They end by themselves,
  are renewed when half of their time has passed, and made anew when the platform forgot them.
* A device is known by the address from which it speaks to the gateway: the interface has no SIM.
* Numbers are as in TS 38.331: power (value - 156) dBm, quality (value - 87) / 2 dB, signal to
  noise (value - 46) / 2 dB; 127 means that or better, and 0 that or worse.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from gateway.domain.errors import MalformedError
from gateway.domain.network import LinkSeen
from gateway.domain.ports import Clock
from gateway.mec.http import Platform, ProblemError, made_name

DURATION_S: Final = 3600
IDS_MAX: Final = 64
"""Identifiers of one device in one notification."""
COMPLETED: Final = 3
"""``HoStatus``."""
_ADDRESSES: Final = frozenset((1, 2, 3))
"""``AssociateId.type``: IPv4, IPv6, behind a NAT."""
FILTERS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "CellChangeSubscription": ("filterCriteriaAssocHo", {"hoStatus": [COMPLETED]}),
    "NrMeasRepUeSubscription": ("filterCriteriaNrMrs", {}),
}


class _Stamp(msgspec.Struct, frozen=True, rename="camel"):
    seconds: int
    nano_seconds: int = 0


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
    time_stamp: _Stamp | None = None


class _CellChange(_Notice, frozen=True, tag="CellChangeNotification", kw_only=True):
    trg_ecgi: tuple[_Ecgi, ...]
    ho_status: int


class _Quantities(msgspec.Struct, frozen=True):
    rsrp: int | None = None
    rsrq: int | None = None
    sinr: int | None = None


class _Serving(msgspec.Struct, frozen=True):
    ssb: _Quantities = msgspec.field(default=_Quantities(), name="measQuantityResultsSsbCell")


class _Measured(msgspec.Struct, frozen=True, rename="camel"):
    nrcgi: _Nrcgi | None = None
    s_cell: _Serving = _Serving()


class _NrMeasured(_Notice, frozen=True, tag="NrMeasRepUeNotification", kw_only=True):
    serv_cell_meas_info: tuple[_Measured, ...] = ()


_decoder = msgspec.json.Decoder(_CellChange | _NrMeasured)


def read_radio(body: bytes) -> LinkSeen:
    """A notification of either kind.

    Raises:
        MalformedError: it is neither.
    """
    try:
        told = _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise MalformedError("radio") from error
    if len(told.associate_id) > IDS_MAX:
        raise MalformedError("radio", "too many identifiers")
    stamp = told.time_stamp
    at_us = stamp.seconds * 1_000_000 + stamp.nano_seconds // 1000 if stamp else 0
    addresses = frozenset(each.value for each in told.associate_id if each.type in _ADDRESSES)
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
    return f"{plmn.mcc}-{plmn.mnc}-{cell_id}"


class Radio:
    """The subscriptions of one application instance.

    Every call raises PlatformError (not now) or ProblemError (refused).
    """

    def __init__(self, platform: Platform, base: str, callback: str, clock: Clock) -> None:
        self._platform = platform
        self._base = base.rstrip("/")
        self._callback = callback
        self._clock = clock
        self._kept: dict[str, tuple[str, float]] = {}
        """Kind -> URL, and when to renew it (monotonic)."""

    async def ensure(self) -> bool:
        """Make or renew what has to be; whether any of it was not there."""
        made = False
        for kind in FILTERS:
            made |= await self._ensure(kind)
        return made

    async def withdraw(self) -> None:
        """End every subscription; idempotent."""
        while self._kept:
            kind, (url, _) = next(iter(self._kept.items()))
            await self._platform.call("DELETE", url, expect=(204, 404))
            del self._kept[kind]

    async def _ensure(self, kind: str) -> bool:
        now = self._clock.monotonic()
        url, renew_at = self._kept.get(kind, ("", 0.0))
        if url:
            try:
                if now < renew_at:
                    await self._platform.call("GET", url)
                    return False
                await self._platform.call("PUT", url, self._body(kind, url))
            except ProblemError as error:
                if error.status != 404:
                    raise
                del self._kept[kind]
            else:
                self._kept[kind] = url, now + DURATION_S / 2
                return False
        collection = f"{self._base}/subscriptions"
        answer = await self._platform.call("POST", collection, self._body(kind), expect=(201,))
        self._kept[kind] = (
            f"{collection}/{quote(made_name(answer), safe='')}",
            now + DURATION_S / 2,
        )
        return True

    def _body(self, kind: str, url: str = "") -> dict[str, Any]:
        """A subscription; with ``url`` as it is changed."""
        criteria, filters = FILTERS[kind]
        end_s = self._clock.now_us() // 1_000_000 + DURATION_S
        told: dict[str, Any] = {
            "subscriptionType": kind,
            "callbackReference": self._callback,
            "expiryDeadline": {"seconds": end_s, "nanoSeconds": 0},
            criteria: filters,
        }
        return told | ({"_links": {"self": {"href": url}}} if url else {})
