"""Changed modems, as a core's exposure function tells them to who listens.

``CHANGE_OF_IMSI_IMEI_ASSOCIATION`` of ``MonitoringEvent`` (TS 29.522, 4.4.2; TS 29.122, 5.3).

Rules:

* One subscription per number. Its notifications come to a path with a secret of this start
  (:mod:`gateway.mec.callbacks`); only numbers that were subscribed for are heard of.
* It ends by itself after ``EXPIRY_S``, is made anew when half of that is over (to change one is an
  optional feature there, ``Subscription_modification``), or when the network has forgotten or
  cancelled it. What a process before left is ended once, and what stands when the gateway stops.
* One of which nobody heard is taken up. A network that has forgotten may count from one again: by
  its name alone, no subscription is ours.
* The network says that a SIM is in another modem, not in which: the word is the time of it.
* What happens while nobody listens is told by nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from gateway.domain.errors import MalformedError
from gateway.domain.network import Swapped
from gateway.domain.ports import Clock
from gateway.mec.callbacks import Kinds
from gateway.mec.http import Platform, ProblemError, last_part, made_name
from gateway.networkapi.interface import Whose
from gateway.networkapi.reading import read

log = logging.getLogger(__name__)

EVENT: Final = "CHANGE_OF_IMSI_IMEI_ASSOCIATION"
EXPIRY_S: Final = 86_400.0
REPORTS_MAX: Final = 4096
"""In one notification."""
SUBSCRIPTIONS_MAX: Final = 10_000


class _Report(msgspec.Struct, frozen=True, rename="camel"):
    monitoring_type: str
    event_time: datetime | None = None


class Changed(msgspec.Struct, frozen=True, rename="camel"):
    """``MonitoringNotification``, as far as it matters."""

    subscription: str
    monitoring_event_reports: tuple[_Report, ...] = ()
    cancel_ind: bool = False

    @property
    def subscription_id(self) -> str:
        """The last part of its URI."""
        return last_part(self.subscription)

    def times_us(self, now_us: int) -> list[int]:
        """Of each change; now, where the network says none, or one to come."""
        return [
            min(int(each.event_time.timestamp() * 1e6), now_us) if each.event_time else now_us
            for each in self.monitoring_event_reports
            if each.monitoring_type == EVENT
        ]


class Subscription(msgspec.Struct, frozen=True, rename="camel"):
    """Of any of these interfaces, as far as it matters."""

    self: str = ""
    notification_destination: str = ""
    msisdn: str = ""

    @property
    def name(self) -> str:
        """The last part of its URI; empty: it has none."""
        return last_part(self.self)


class _Kept(NamedTuple):
    name: str
    renew_at: float
    """Monotonic."""
    ends_at: float


def read_changed(body: bytes) -> Changed:
    """A notification.

    Raises:
        MalformedError: it is none.
    """
    found = read(body, Changed)
    if len(found.monitoring_event_reports) > REPORTS_MAX:
        raise MalformedError("changed", "too many")
    if any(
        each.event_time is not None and each.event_time.tzinfo is None
        for each in found.monitoring_event_reports
    ):
        raise MalformedError("changed", "a time has no time zone")
    return found


NEF: Final = Kinds[Changed]({"changes": read_changed}, "nef", "network_apis.nef", "network_told")


class ModemChanges:
    """The subscriptions of one gateway.

    Args:
        platform: the client.
        collection: ``…/{scsAsId}/subscriptions`` of the interface.
        url: of our listener; what begins with it is a subscription of this gateway.
        place: where notifications go.
        heard: is told of each change: the number, and when.
        clock: for ends and times.
    """

    calls: Final = 3
    """About one number at most: to renew after an answer was lost."""

    def __init__(
        self,
        platform: Platform,
        collection: str,
        url: str,
        place: str,
        heard: Callable[[str, Swapped], None],
        clock: Clock,
    ) -> None:
        self._platform = platform
        self._collection = collection
        self._url = url.rstrip("/") + "/"
        self._place = place
        self._heard = heard
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        """By number. Bounded by the registry, and a day."""
        self._last: dict[str, int] = {}
        self._unheard: set[str] = set()
        """Numbers for which something was asked, and nobody heard what became of it."""
        self._tidied = False

    async def swapped(self, whose: Whose) -> Swapped:
        """When the network last told of another modem; it will tell from now on.

        Raises:
            PlatformError, ProblemError, MalformedError: it can't be asked now, or refuses.
        """
        phone = whose.phone
        kept = self._kept.get(phone)
        if kept is not None and self._clock.monotonic() >= kept.renew_at:
            await self._subscribe(phone)
            if kept.name not in self._names:
                await self._end(kept.name)
        elif kept is None or not await self._stands(phone, kept.name):
            await self._subscribe(phone)
        return Swapped(None, self._last.get(phone, 0))

    def told(self, changed: Changed) -> bool:
        """The network says that something changed, or that it says no more.

        Returns:
            Whether it is of a subscription of ours.
        """
        phones = [
            phone for phone, each in self._kept.items() if each.name == changed.subscription_id
        ]
        for phone in phones:
            times = changed.times_us(self._clock.now_us())
            if times:
                self._last[phone] = max(*times, self._last.get(phone, 0))
                self._heard(phone, Swapped(None, self._last[phone]))
            if changed.cancel_ind:
                del self._kept[phone]
        if not phones:
            log.info("the network tells of a subscription that is not ours")
        return bool(phones)

    async def tidy(self) -> None:
        """End what a process before left, once.

        Raises:
            PlatformError, ProblemError, MalformedError: not now.
        """
        if not self._tidied:
            await self._end_those(lambda place: place != self._place)
            self._tidied = True

    async def stop(self) -> None:
        """End what stands: nobody will hear of it any more.

        Raises:
            PlatformError, ProblemError, MalformedError: not now.
        """
        self._kept.clear()
        await self._end_those(lambda _place: True)

    async def _end_those(self, meant: Callable[[str], bool]) -> None:
        for each in await self._all():
            place = each.notification_destination
            if not place.startswith(self._url) or not meant(place):
                continue
            try:
                await self._end(each.name)
            except ProblemError as error:  # it ends by itself, and keeps no other from its end
                log.warning("the network does not end a subscription: %s", error)

    async def _all(self) -> list[Subscription]:
        """Every one of the network's for us."""
        answer = await self._platform.call("GET", self._collection)
        found = read(answer.body, list[Subscription])
        if len(found) > SUBSCRIPTIONS_MAX:
            raise MalformedError("subscriptions", "too many")
        return found

    async def _stands(self, phone: str, name: str) -> bool:
        """Whether the network has it, and it is for this number."""
        body = await self._platform.look(self._at(name))
        return body is not None and self._is_for(phone, read(body, Subscription))

    def _is_for(self, phone: str, found: Subscription) -> bool:
        return (found.notification_destination, found.msisdn) == (self._place, phone[1:])

    async def _unheard_of(self, phone: str) -> str:
        """What was made for a number without anybody hearing of it; empty: nothing."""
        made = [each.name for each in await self._all() if self._is_for(phone, each)]
        return next((name for name in made if name not in self._names), "")

    @property
    def _names(self) -> set[str]:
        return {each.name for each in self._kept.values()}

    async def _subscribe(self, phone: str) -> None:
        name = await self._unheard_of(phone) if phone in self._unheard else ""
        self._unheard.add(phone)
        try:
            name = name or await self._ask(phone)
        except ProblemError:
            self._unheard.discard(phone)  # it said no
            raise
        self._unheard.discard(phone)
        now = self._clock.monotonic()
        self._kept = {each: kept for each, kept in self._kept.items() if now < kept.ends_at}
        self._kept[phone] = _Kept(name, now + EXPIRY_S / 2, now + EXPIRY_S)

    async def _ask(self, phone: str) -> str:
        """The name of a new one."""
        ends = datetime.fromtimestamp(self._clock.now_us() / 1e6 + EXPIRY_S, UTC)
        body = {
            "msisdn": phone.removeprefix("+"),
            "notificationDestination": self._place,
            "monitoringType": EVENT,
            "associationType": "IMEI",  # with IMEISV, new firmware would be another modem
            "monitorExpireTime": ends.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        call = self._platform.call
        answer = await call("POST", self._collection, body, expect=(201,), once=True)
        return made_name(answer, "self")

    async def _end(self, name: str) -> None:
        await self._platform.end(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._collection}/{quote(name, safe='')}"
