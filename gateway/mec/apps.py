"""GS MEC 011, application support: ready, rules, time, termination; typed calls."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import quote

import msgspec

from gateway.domain.errors import MalformedError
from gateway.mec import rules
from gateway.mec.http import Platform, PlatformError, last_part, made_name
from gateway.mec.leftovers import Leftovers
from gateway.mec.reading import Nanoseconds, Seconds, decoded

_Read = TypeVar("_Read")
GRACE_S_MAX: Final = 86_400
"""A platform that gives more time has this much of it used."""


class Operation(StrEnum):
    """``OperationActionType``."""

    STOPPING = "STOPPING"
    TERMINATING = "TERMINATING"


class Termination(msgspec.Struct, frozen=True, rename="camel"):
    """``AppTerminationNotification``, as far as it matters."""

    notification_type: Literal["AppTerminationNotification"]
    operation_action: Operation
    max_graceful_timeout: Annotated[int, msgspec.Meta(ge=0)]
    """Seconds."""


class CurrentTime(msgspec.Struct, frozen=True, rename="camel"):
    """``CurrentTime``."""

    seconds: Seconds
    nano_seconds: Nanoseconds
    time_source_status: Literal["TRACEABLE", "NONTRACEABLE"]


class AppSupport:
    """The calls of one application instance.

    Every one raises PlatformError (not now) or ProblemError (refused).
    """

    def __init__(self, platform: Platform, base: str, instance: str) -> None:
        self._platform = platform
        self._base = base.rstrip("/")
        self._instance = instance
        self._own = f"{self._base}/applications/{quote(instance, safe='')}"
        self._leftovers = Leftovers(platform, f"{self._own}/subscriptions", "", _subscriptions)

    async def confirm_ready(self) -> None:
        """Say that the application is up and running."""
        body = {"indication": "READY"}
        await self._platform.call("POST", f"{self._own}/confirm_ready", body, expect=(200, 204))

    async def confirm_termination(self, operation: Operation) -> None:
        """Say that what there was to be done is done."""
        body = {"operationAction": str(operation)}
        await self._platform.call(
            "POST", f"{self._own}/confirm_termination", body, expect=(200, 204)
        )

    async def subscribe(self, callback: str) -> str:
        """Ask to be told of the end; where the subscription is, as an absolute URL."""
        body = {
            "subscriptionType": "AppTerminationNotificationSubscription",
            "callbackReference": callback,
            "_links": {"self": {"href": f"{self._own}/subscriptions"}},
            "appInstanceId": self._instance,
        }
        answer = await self._leftovers.make(body)
        return f"{self._own}/subscriptions/{quote(made_name(answer), safe='')}"

    async def subscribed(self, url: str) -> bool:
        """Whether the platform still knows a subscription."""
        return await self._platform.knows(url)

    async def unsubscribe(self, url: str) -> None:
        """End a subscription; one that is gone already is no news."""
        await self._platform.end(url)

    async def traffic_rules(self) -> tuple[rules.TrafficRule | rules.Unread, ...]:
        """Every traffic rule of the application."""
        answer = await self._platform.call("GET", f"{self._own}/traffic_rules")
        return _understood(rules.read_traffic_rules, answer.body)

    async def dns_rules(self) -> tuple[rules.DnsRule | rules.Unread, ...]:
        """Every DNS rule of the application."""
        answer = await self._platform.call("GET", f"{self._own}/dns_rules")
        return _understood(rules.read_dns_rules, answer.body)

    async def activate_traffic_rule(self, rule: rules.TrafficRule) -> None:
        """Switch a rule on, as it was judged."""
        await self._activate(f"{self._own}/traffic_rules/{quote(rule.name, safe='')}", rule)

    async def activate_dns_rule(self, rule: rules.DnsRule) -> None:
        """Switch a DNS rule on, as it was judged."""
        await self._activate(f"{self._own}/dns_rules/{quote(rule.name, safe='')}", rule)

    async def _activate(self, url: str, judged: rules.TrafficRule | rules.DnsRule) -> None:
        """PUT what is there with another state; nobody else's change in between is overwritten."""
        answer = await self._platform.call("GET", url)
        if _understood(lambda body: decoded(body, type(judged), "rule"), answer.body) != judged:
            raise PlatformError("the rule was changed meanwhile")
        rule = _understood(lambda body: decoded(body, dict[str, Any], "rule"), answer.body)
        headers = {"If-Match": answer.etag} if answer.etag else {}
        await self._platform.call("PUT", url, rule | {"state": rules.ACTIVE}, headers=headers)

    async def current_time(self) -> CurrentTime:
        """The platform's clock."""
        answer = await self._platform.call("GET", f"{self._base}/timing/current_time")
        return _understood(read_time, answer.body)

    async def time_sources(self) -> int:
        """How many NTP servers and PTP masters the platform offers."""
        answer = await self._platform.call("GET", f"{self._base}/timing/timing_caps")
        found = _understood(_read_sources, answer.body)
        return len(found.ntp_servers) + len(found.ptp_masters)


def _subscriptions(listed: Any) -> list[str]:
    """The names of an application's subscriptions: they are for its end, there are no others."""
    return [last_part(each["href"]) for each in listed["_links"].get("subscriptions", ())]


class _Sources(msgspec.Struct, frozen=True, rename="camel"):
    ntp_servers: tuple[Any, ...] = ()
    ptp_masters: tuple[Any, ...] = ()


def read_time(body: bytes) -> CurrentTime:
    """The answer to GET current_time.

    Raises:
        MalformedError: it is none.
    """
    return decoded(body, CurrentTime, "CurrentTime")


def read_termination(body: bytes) -> Termination:
    """A notification of the end.

    Raises:
        MalformedError: it is none, or its time is negative.
    """
    found = decoded(body, Termination, "AppTerminationNotification")
    longest = min(found.max_graceful_timeout, GRACE_S_MAX)
    return msgspec.structs.replace(found, max_graceful_timeout=longest)


def _read_sources(body: bytes) -> _Sources:
    return decoded(body, _Sources, "TimingCaps")


def _understood(read: Callable[[bytes], _Read], body: bytes) -> _Read:
    """What was read; what can't be is the platform's fault, and as good as no answer."""
    try:
        return read(body)
    except MalformedError as error:
        raise PlatformError(f"the platform's answer can't be read: {error}") from error
