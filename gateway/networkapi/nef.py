"""A core network's exposure function (NEF), by 3GPP's northbound interfaces.

``AsSessionWithQoS`` and ``MonitoringEvent`` of TS 29.122 (5.14, 5.3), as TS 29.522 (4.4.9, 4.4.2)
has them for 5G.

Rules:

* For sessions and places nobody listens: ``notificationDestination``, which the interface wants, is
  a name for this gateway. What becomes of a session is looked at.
* A session of theirs has no end. What has been granted here ends when its time is over, and what a
  process before left is ended ``LEFT_S`` after the start, unless it was taken up.
* A session is for an address (``ueIpv4Addr``): a device that has none here has no quality.
* A place is asked for once (``maximumNumberOfReports`` 1), and held against the circle here.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Final, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Meta

from gateway.domain.errors import MalformedError
from gateway.domain.network import Swapped
from gateway.domain.ports import Clock
from gateway.mec.http import Answer, Platform, PlatformError, ProblemError, made_name
from gateway.networkapi.interface import Circle, Flow, Located, Session, Status, Verdict, Whose
from gateway.networkapi.modems import UNABLE, ModemChanges, Subscription
from gateway.networkapi.reading import read
from gateway.networkapi.shapes import Area, verdict

log = logging.getLogger(__name__)

LEFT_S: Final = 60.0
"""So long what a process before left may be taken up: its alarms stand again at the start."""
TIDY_S: Final = 10.0
SESSIONS_MAX: Final = 4096
"""In one list."""
MINUTE_US: Final = 60_000_000


class Bases(NamedTuple):
    """Where each interface begins, up to its version; empty: the network has none."""

    location: str = ""
    quality: str = ""


class _Subscription(Subscription, frozen=True, rename="camel"):
    """``AsSessionWithQoSSubscription``, as far as it matters."""

    ue_ipv4_addr: str = msgspec.field(default="", name="ueIpv4Addr")
    qos_reference: str = ""


class _LocationInfo(msgspec.Struct, frozen=True, rename="camel"):
    age_of_location_info: Annotated[int, Meta(ge=0)] = 0
    """Minutes."""
    geographic_area: msgspec.Raw = msgspec.Raw(b"")


class _Report(msgspec.Struct, frozen=True, rename="camel"):
    """``MonitoringEventReport``."""

    monitoring_type: str
    location_info: _LocationInfo | None = None


class _Reports(msgspec.Struct, frozen=True, rename="camel"):
    """Either of what 200 may have, and what 201 has."""

    monitoring_event_reports: tuple[_Report, ...] = ()
    monitoring_event_report: _Report | None = None
    monitoring_type: str = ""
    location_info: _LocationInfo | None = None

    @property
    def location(self) -> _LocationInfo | None:
        """Where the device is, however it was told."""
        alone = _Report(self.monitoring_type, self.location_info)
        reports = (*self.monitoring_event_reports, self.monitoring_event_report, alone)
        found = (each.location_info for each in reports if each is not None)
        return next((each for each in found if each is not None), None)


class Nef:
    """One network. ``platform`` speaks HTTP and gets tokens; whoever made it closes it.

    Args:
        platform: the client.
        bases: the interfaces.
        af: by which name the network knows us (``scsAsId``).
        notify: a URI that is this gateway's alone.
        clock: for ends and ages.
    """

    def __init__(
        self, platform: Platform, bases: Bases, af: str, notify: str, clock: Clock
    ) -> None:
        self._call = platform.call
        name = quote(af, safe="")
        self._location, self._quality = (
            f"{each.rstrip('/')}/{name}/subscriptions" if each else "" for each in bases
        )
        self._notify = notify
        self._clock = clock
        self._began = clock.monotonic()
        self._ends: dict[str, float] = {}
        """Session -> when it ends, monotonic. Bounded by ``devices_max``, and what can't end."""
        self._started: dict[str, float] = {}
        self._tidied = False
        self.changes: ModemChanges | None = None
        """Where somebody listens to the network."""

    async def verify_location(self, whose: Whose, area: Circle, age_s: int) -> Located:
        """``POST /subscriptions``, LOCATION_REPORTING, one report (TS 29.522, 4.4.2.3).

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        body = _named(whose) | {
            "notificationDestination": self._notify,
            "monitoringType": "LOCATION_REPORTING",
            "maximumNumberOfReports": 1,
            "locationType": "LAST_KNOWN_LOCATION" if age_s else "CURRENT_LOCATION",
            "accuracy": "GEO_AREA",
        }
        try:
            answer = await self._call("POST", self._location, body, expect=(200, 201))
        except ProblemError as error:
            if error.status not in UNABLE:
                raise
            return Located(Verdict.UNKNOWN, why=str(error))
        found = read(answer.body, _Reports).location
        if found is None:
            await self._take_back(answer)
            return Located(Verdict.UNKNOWN, why="the network would tell later")
        return self._located(found, area, age_s)

    def _located(self, found: _LocationInfo, area: Circle, age_s: int) -> Located:
        if found.age_of_location_info * 60 > max(age_s, 60):  # it counts in minutes
            return Located(Verdict.UNKNOWN, why="what the network knows is too old")
        at_us = self._clock.now_us() - found.age_of_location_info * MINUTE_US
        try:
            told: Area = read(found.geographic_area, Area)  # type: ignore[arg-type]  # a union
        except MalformedError:
            return Located(Verdict.UNKNOWN, at_us, why="the network draws no area that is known")
        return Located(verdict(told, area), at_us)

    async def _take_back(self, answer: Answer) -> None:
        """End a subscription that would tell nobody."""
        if answer.status == 201:
            url = f"{self._location}/{quote(made_name(answer, 'self'), safe='')}"
            await self._call("DELETE", url, expect=(200, 204, 404))

    async def request_quality(
        self, whose: Whose, flow: Flow, profile: str, seconds: int
    ) -> Session:
        """``POST /subscriptions`` (TS 29.122, 5.14.3.2); one that stands already is taken up.

        201 is taken as AVAILABLE: whether radio and core can keep it is told to listeners alone.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        if not whose.ipv4:
            raise MalformedError("device", "it has no address here, and quality is for one")
        for each in await self._ours():
            if (each.ue_ipv4_addr, each.qos_reference) == (whose.ipv4, profile):
                return self._granted(each.name, seconds)
        body = {
            "notificationDestination": self._notify,
            "ueIpv4Addr": whose.ipv4,
            "qosReference": profile,
            "flowInfo": [{"flowId": 1, "flowDescriptions": flows(whose.ipv4, flow)}],
        }
        answer = await self._call("POST", self._quality, body, expect=(201,))
        return self._granted(made_name(answer, "self"), seconds)

    async def quality(self, session_id: str) -> Session | None:
        """``GET /subscriptions/{id}``.

        Raises:
            PlatformError, ProblemError: see :mod:`gateway.networkapi.interface`.
        """
        try:
            await self._call("GET", self._session(session_id))
        except ProblemError as error:
            if error.status == 404:
                self._forget(session_id)
                return None
            raise
        return self._shown(session_id)

    async def extend_quality(self, session_id: str, seconds: int) -> Session:
        """It has no end there: whether it still stands is asked, and its end here moves.

        Raises:
            PlatformError, ProblemError: see :mod:`gateway.networkapi.interface`.
        """
        await self._call("GET", self._session(session_id))
        now = self._clock.monotonic()
        self._ends[session_id] = self._ends.get(session_id, now) + seconds
        return self._shown(session_id)

    async def end_quality(self, session_id: str) -> None:
        """``DELETE /subscriptions/{id}``; 404 is fine.

        Raises:
            PlatformError, ProblemError: see :mod:`gateway.networkapi.interface`.
        """
        await self._call("DELETE", self._session(session_id), expect=(200, 204, 404))
        self._forget(session_id)

    @property
    def collection(self) -> str:
        """Of what is monitored."""
        return self._location

    @property
    def swap_calls(self) -> int:
        """None where nobody listens: changes are told, and can't be asked for."""
        return ModemChanges.calls if self.changes is not None else 0

    async def swapped(self, whose: Whose) -> Swapped:
        """When it was told last; see :mod:`gateway.networkapi.modems`."""
        return Swapped() if self.changes is None else await self.changes.swapped(whose)

    async def run(self) -> None:
        """End what is over, for ever."""
        while True:
            await asyncio.sleep(TIDY_S)
            try:
                await self.tidy()
            except (PlatformError, ProblemError, MalformedError) as error:
                log.warning("sessions that are over can't be ended now: %s", error)

    async def tidy(self) -> None:
        """End what is over, and once what a process before left.

        Raises:
            PlatformError, ProblemError, MalformedError: not now; it is tried again.
        """
        now = self._clock.monotonic()
        for session_id in [name for name, end in self._ends.items() if now >= end]:
            await self.end_quality(session_id)
        if self._tidied or now < self._began + LEFT_S:
            return
        for each in await self._ours() if self._quality else ():
            if each.name not in self._ends:
                await self.end_quality(each.name)
        if self.changes is not None:
            await self.changes.tidy()
        self._tidied = True

    async def _ours(self) -> list[_Subscription]:
        """The sessions of this gateway that stand."""
        answer = await self._call("GET", self._quality)
        found = read(answer.body, list[_Subscription])
        if len(found) > SESSIONS_MAX:
            raise MalformedError("sessions", "too many")
        return [
            each for each in found if each.notification_destination == self._notify and each.name
        ]

    def _granted(self, session_id: str, seconds: int) -> Session:
        now = self._clock.monotonic()
        self._started[session_id], self._ends[session_id] = now, now + seconds
        return self._shown(session_id)

    def _shown(self, session_id: str) -> Session:
        now = self._clock.monotonic()
        began, end = self._started.get(session_id, now), self._ends.get(session_id, now)
        return Session(session_id, Status.AVAILABLE, end - began)

    def _forget(self, session_id: str) -> None:
        self._ends.pop(session_id, None)
        self._started.pop(session_id, None)

    def _session(self, session_id: str) -> str:
        return f"{self._quality}/{quote(session_id, safe='')}"


def flows(ipv4: str, flow: Flow) -> list[str]:
    """``flowDescriptions``: towards the device and back (TS 29.214, 5.3.8: ``out`` is towards it).

    Several ports are one list in the rule (RFC 6733, 4.3.1, ``IPFilterRule``).
    """
    ports = f" {','.join(map(str, flow.ports))}" if flow.ports else ""
    return [
        f"permit out ip from {flow.server}{ports} to {ipv4}",
        f"permit in ip from {ipv4} to {flow.server}{ports}",
    ]


def _named(whose: Whose) -> dict[str, str]:
    """Raises MalformedError: it is known by nothing."""
    if whose.phone:
        return {"msisdn": whose.phone.removeprefix("+")}
    if whose.ipv4:
        return {"ipv4Addr": whose.ipv4}
    raise MalformedError("device", "the network knows it by nothing")
