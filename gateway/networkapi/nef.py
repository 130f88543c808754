"""A core network's exposure function (NEF), by 3GPP's northbound interfaces.

``AsSessionWithQoS`` and ``MonitoringEvent`` of TS 29.122 (5.14, 5.3), as TS 29.522 (4.4.9, 4.4.2)
has them for 5G.

Rules:

* For sessions and places nobody listens: ``notificationDestination``, which the interface wants, is
  a name for this gateway. What becomes of a session is looked at.
* A session of theirs has no end. What has been granted here ends when its time is over. What
  stands there and was not granted here (a process before left it, or an answer was lost) is ended
  at a look every ``LEFT_S``, unless it was taken up; and what stands when the gateway stops.
* A network that has forgotten may count from one again: by its name alone, no session is ours.
* A session is for an address (``ueIpv4Addr``): a device that has none here has no quality.
* A place is asked for once (``maximumNumberOfReports`` 1), and held against the circle here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Meta

from gateway.domain.errors import MalformedError
from gateway.domain.network import Swapped
from gateway.domain.ports import Clock
from gateway.mec.http import GONE, Answer, Platform, PlatformError, ProblemError, made_name
from gateway.networkapi.interface import Circle, Flow, Located, Session, Status, Verdict, Whose
from gateway.networkapi.modems import ModemChanges, Subscription
from gateway.networkapi.reading import read
from gateway.networkapi.shapes import Area, verdict

log = logging.getLogger(__name__)

LEFT_S: Final = 60.0
"""So long what a process before left may be taken up: its alarms stand again at the start."""
TIDY_S: Final = 10.0
STOP_S: Final = 5.0
"""For ending what is left when the gateway stops."""
SESSIONS_MAX: Final = 4096
"""In one list."""
UNABLE: Final = frozenset((403, 404))
"""It may not be told where a device is, or nobody knows the device: no fault of the network's."""
MINUTE_US: Final = 60_000_000


class Bases(NamedTuple):
    """Where each interface begins, up to its version; empty: the network has none."""

    location: str = ""
    quality: str = ""


class _Key(NamedTuple):
    """A session of ours: two may have been given one name, one after the other."""

    ipv4: str
    name: str
    """The network's."""

    @property
    def session_id(self) -> str:
        """For who asked."""
        return f"{self.ipv4}/{self.name}"

    @classmethod
    def of(cls, session_id: str) -> _Key:
        """Which it was."""
        ipv4, _, name = session_id.partition("/")
        return cls(ipv4, name)


class _Times(NamedTuple):
    """Of a session of ours; monotonic."""

    began: float
    end: float


class _Subscription(Subscription, frozen=True, rename="camel"):
    """``AsSessionWithQoSSubscription``, as far as it matters."""

    ue_ipv4_addr: str = msgspec.field(default="", name="ueIpv4Addr")
    qos_reference: str = ""

    @property
    def key(self) -> _Key:
        """As it is known here."""
        return _Key(self.ue_ipv4_addr, self.name)


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
        self._call, self._look = platform.call, platform.look
        name = quote(af, safe="")
        self._location, self._quality = (
            f"{each.rstrip('/')}/{name}/subscriptions" if each else "" for each in bases
        )
        self._notify = notify
        self._clock = clock
        self._look_at = clock.monotonic() + LEFT_S
        self._kept: dict[_Key, _Times] = {}
        """Bounded by ``devices_max``, and what can't end."""
        self._asking = 0
        """Requests under way: what they make is not known here yet."""
        self._ending: set[_Key] = set()
        """Sessions that are being ended, and must not be taken up."""
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
            wanted = (each.ue_ipv4_addr, each.qos_reference) == (whose.ipv4, profile)
            if wanted and each.key not in self._ending:
                return self._granted(each.key, seconds)
        body = {
            "notificationDestination": self._notify,
            "ueIpv4Addr": whose.ipv4,
            "qosReference": profile,
            "flowInfo": [{"flowId": 1, "flowDescriptions": flows(whose.ipv4, flow)}],
        }
        self._asking += 1
        try:
            answer = await self._call("POST", self._quality, body, expect=(201,), once=True)
        finally:
            self._asking -= 1
        return self._granted(_Key(whose.ipv4, made_name(answer, "self")), seconds)

    async def quality(self, session_id: str) -> Session | None:
        """``GET /subscriptions/{id}``.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        key = _Key.of(session_id)
        if await self._stands(key):
            return self._shown(key)
        self._kept.pop(key, None)
        return None

    async def extend_quality(self, session_id: str, seconds: int) -> Session:
        """It has no end there: whether it still stands is asked, and its end here moves.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        key = _Key.of(session_id)
        if not await self._stands(key):
            raise ProblemError(404, "the network has forgotten it")
        times = self._kept[key]
        self._kept[key] = times._replace(end=times.end + seconds)
        return self._shown(key)

    async def end_quality(self, session_id: str) -> None:
        """``DELETE /subscriptions/{id}``; 404 is fine.

        Raises:
            PlatformError, ProblemError, MalformedError: see :mod:`gateway.networkapi.interface`.
        """
        await self._end_ours(_Key.of(session_id))

    def same(self, before: Whose, now: Whose) -> bool:
        """By the address that it has, if it has one."""
        return not now.ipv4 or before.ipv4 == now.ipv4

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
            await self._each(self.tidy, self.changes.tidy if self.changes is not None else None)

    async def tidy(self) -> None:
        """End what is over, and what is not known here.

        Raises:
            PlatformError, ProblemError, MalformedError: not now; it is tried again.
        """
        now = self._clock.monotonic()
        for key in [key for key, times in self._kept.items() if now >= times.end]:
            await self._try_to_end(key, self._end_ours)
        if now >= self._look_at and self._quality:
            found = await self._ours()
            if not self._asking:
                await self._end_unknown(found)
                self._look_at = now + LEFT_S

    async def stop(self) -> None:
        """End what stands, within ``STOP_S``; the rest is for the next start."""
        self._kept.clear()
        try:
            async with asyncio.timeout(STOP_S):
                await self._each(
                    self._end_all, self.changes.stop if self.changes is not None else None
                )
        except TimeoutError:
            log.warning("the network did not end everything in time")

    async def _each(self, *calls: Callable[[], Awaitable[None]] | None) -> None:
        """Each of them; an interface that is away keeps nobody from the other."""
        for call in calls:
            try:
                if call is not None:
                    await call()
            except (PlatformError, ProblemError, MalformedError) as error:
                log.warning("what is over can't be ended now: %s", error)

    async def _end_all(self) -> None:
        if self._quality:
            await self._end_unknown(await self._ours())

    async def _end_unknown(self, found: list[_Subscription]) -> None:
        for each in found:
            if each.key not in self._kept:
                await self._try_to_end(each.key, self._end)

    async def _try_to_end(self, key: _Key, end: Callable[[_Key], Awaitable[None]]) -> None:
        """One that is refused keeps no other from its end; it is tried again at the next look."""
        try:
            await end(key)
        except (ProblemError, MalformedError) as error:
            log.warning("the network does not end a session: %s", error)
            self._kept.pop(key, None)

    async def _ours(self) -> list[_Subscription]:
        """The sessions of this gateway that stand."""
        answer = await self._call("GET", self._quality)
        found = read(answer.body, list[_Subscription])
        if len(found) > SESSIONS_MAX:
            raise MalformedError("sessions", "too many")
        return [
            each for each in found if each.notification_destination == self._notify and each.name
        ]

    async def _stands(self, key: _Key) -> bool:
        """Whether the network has it, and it is the one that was granted here."""
        body = await self._look(self._at(key))
        if body is None or key not in self._kept:
            return False
        found = read(body, _Subscription)
        return (found.notification_destination, found.ue_ipv4_addr) == (self._notify, key.ipv4)

    async def _end_ours(self, key: _Key) -> None:
        if await self._stands(key):
            await self._end(key)
        self._kept.pop(key, None)

    async def _end(self, key: _Key) -> None:
        self._ending.add(key)
        try:
            await self._call("DELETE", self._at(key), expect=(200, *GONE))
        finally:
            self._ending.discard(key)

    def _granted(self, key: _Key, seconds: int) -> Session:
        now = self._clock.monotonic()
        self._kept[key] = _Times(now, now + seconds)
        return self._shown(key)

    def _shown(self, key: _Key) -> Session:
        times = self._kept[key]
        return Session(key.session_id, Status.AVAILABLE, times.end - times.began)

    def _at(self, key: _Key) -> str:
        return f"{self._quality}/{quote(key.name, safe='')}"


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
