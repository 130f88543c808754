"""Changed modems, as a core's exposure function tells them to who listens.

``CHANGE_OF_IMSI_IMEI_ASSOCIATION`` of ``MonitoringEvent`` (TS 29.522, 4.4.2; TS 29.122, 5.3).

Rules:

* One subscription per number. Its notifications come to a path with a secret of this start
  (:mod:`gateway.mec.callbacks`); only numbers that were subscribed for are heard of.
* It ends by itself after ``EXPIRY_S``, is renewed when half of that is over, and made anew when the
  network has forgotten or cancelled it. What a process before left is ended once.
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
UNABLE: Final = frozenset((403, 404))
"""It may not be told, or nobody knows the device: no fault of the network's."""


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
    """About one number at most: to look, and to renew."""

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

    async def swapped(self, whose: Whose) -> Swapped:
        """When the network last told of another modem; it will tell from now on.

        Raises:
            PlatformError, ProblemError: it can't be asked now, or refuses.
        """
        kept = self._kept.get(whose.phone)
        due = kept is None or self._clock.monotonic() >= kept.renew_at
        if due or not await self._platform.knows(self._at(kept.name if kept else "")):
            try:
                await self._subscribe(whose.phone)
            except ProblemError as error:
                if error.status not in UNABLE:
                    raise
                return Swapped()
            if kept is not None:
                await self._end(kept.name)
        return Swapped(None, self._last.get(whose.phone, 0))

    def told(self, changed: Changed) -> None:
        """The network says that something changed, or that it says no more."""
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

    async def tidy(self) -> None:
        """End what a process before left.

        Raises:
            PlatformError, ProblemError, MalformedError: not now.
        """
        answer = await self._platform.call("GET", self._collection)
        found = read(answer.body, list[Subscription])
        if len(found) > SUBSCRIPTIONS_MAX:
            raise MalformedError("subscriptions", "too many")
        for each in found:
            destination = each.notification_destination
            if destination.startswith(self._url) and destination != self._place:
                await self._end(each.name)

    async def _subscribe(self, phone: str) -> None:
        now = self._clock.monotonic()
        ends = datetime.fromtimestamp(self._clock.now_us() / 1e6 + EXPIRY_S, UTC)
        body = {
            "msisdn": phone.removeprefix("+"),
            "notificationDestination": self._place,
            "monitoringType": EVENT,
            "associationType": "IMEI",  # with IMEISV, new firmware would be another modem
            "monitorExpireTime": ends.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        answer = await self._platform.call("POST", self._collection, body, expect=(201,))
        self._kept = {each: kept for each, kept in self._kept.items() if now < kept.ends_at}
        self._kept[phone] = _Kept(made_name(answer, "self"), now + EXPIRY_S / 2, now + EXPIRY_S)

    async def _end(self, name: str) -> None:
        await self._platform.call("DELETE", self._at(name), expect=(200, 204, 404))

    def _at(self, name: str) -> str:
        return f"{self._collection}/{quote(name, safe='')}"
