"""Looks at what the data plane does with the gateway's traffic, and says what that means.

Rules:

* It is looked at by itself: whatever else a platform does not answer keeps nobody from looking.
* A judgement counts for ``unknown_s``, also while the platform takes its time; then the path is
  unknown, until the next one.
* A rule that is asleep is switched on only if it would be right then, and is what was judged.
  The path counts as bad until the rule is seen to be in force.
* Whatever keeps a rule from being switched on, what was judged of it stands.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from gateway.domain.errors import WardgateError
from gateway.domain.ports import Clock, Counters
from gateway.mec import rules
from gateway.mec.apps import AppSupport
from gateway.mec.config import BreakoutTable
from gateway.mec.life import Input
from gateway.mec.reading import shown
from security.identity import Auditor

log = logging.getLogger(__name__)

NO_ANSWER: Final = "the platform does not answer"


class Pace(NamedTuple):
    """When the path is looked at; in seconds."""

    look_s: float
    unknown_s: float


class Path:
    """The rules of one application; :meth:`run` is its life.

    Args:
        breakout: what must hold.
        pace: how often it is looked at, and how long a judgement counts.
        apps: the platform.
        tell: is told of each look: the input of :mod:`gateway.mec.life`, and why.
        clock: monotonic time.
        counters: failed looks.
        audit: each change, and each rule that was switched on.
    """

    def __init__(
        self,
        breakout: BreakoutTable,
        pace: Pace,
        apps: AppSupport,
        tell: Callable[[Input, str], object],
        clock: Clock,
        counters: Counters,
        audit: Auditor,
    ) -> None:
        self._breakout = breakout
        self._campus = [ipaddress.ip_network(each) for each in breakout.campus]
        self._pace = pace
        self._apps = apps
        self._tell = tell
        self._clock = clock
        self._counters = counters
        self._audit = audit
        self._judged_at = clock.monotonic()
        self._said: tuple[Input, list[rules.Found]] | None = None

    async def run(self) -> None:
        """Look until this is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._pace.look_s)

    async def look(self) -> None:
        """Look once."""
        left_s = self._judged_at + self._pace.unknown_s - self._clock.monotonic()
        if left_s <= 0:
            self._say(Input.PATH_UNKNOWN, [], NO_ANSWER)
        try:
            async with asyncio.timeout(left_s if left_s > 0 else None):
                await self._look()
        except TimeoutError:
            self._counters.add("mec_failures", "rules")
            self._say(Input.PATH_UNKNOWN, [], NO_ANSWER)
        except WardgateError as error:
            self._counters.add("mec_failures", "rules")
            if self._clock.monotonic() - self._judged_at >= self._pace.unknown_s:
                self._say(Input.PATH_UNKNOWN, [], str(error))

    async def _look(self) -> None:
        asked_at = self._clock.monotonic()
        traffic, dns, found = await self._judged()
        sleeping = rules.asleep(found) if self._breakout.activate else frozenset()
        if sleeping:
            if self._said is not None:
                self._say(Input.PATH_BAD, found, rules.in_words(found))
            for rule in traffic:
                if isinstance(rule, rules.TrafficRule) and rule.name in sleeping:
                    await self._switch_on(rule.name, self._apps.activate_traffic_rule(rule))
            for answer in dns:
                if isinstance(answer, rules.DnsRule) and answer.name in sleeping:
                    await self._switch_on(answer.name, self._apps.activate_dns_rule(answer))
            asked_at = self._clock.monotonic()
            _, _, found = await self._judged()
        self._judged_at = asked_at
        seen = Input.PATH_BAD if found else Input.PATH_GOOD
        self._say(seen, found, rules.in_words(found))

    async def _judged(
        self,
    ) -> tuple[
        tuple[rules.TrafficRule | rules.Unread, ...],
        tuple[rules.DnsRule | rules.Unread, ...],
        list[rules.Found],
    ]:
        wanted = self._breakout
        dns = await self._apps.dns_rules() if wanted.dns_rules else ()
        traffic = await self._apps.traffic_rules()
        found = rules.judge(
            traffic,
            dns,
            rules=wanted.rules,
            dns_rules=wanted.dns_rules,
            campus=self._campus,
        )
        return traffic, dns, found

    async def _switch_on(self, name: str, call: Awaitable[None]) -> None:
        try:
            await call
        except WardgateError as error:
            self._counters.add("mec_failures", "activate")
            log.debug("the rule %s can't be switched on: %s", shown(name), error)
        else:
            log.warning("the rule %s was asleep, and is switched on", shown(name))
            self._audit.record("breakout_activated", rule=shown(name))

    def _say(self, seen: Input, found: list[rules.Found], words: str) -> None:
        """Tell it; a change is a line in the log and in the audit log."""
        if (seen, found) != self._said:
            self._said = seen, found
            log.warning("local breakout: %s", words or "in force")
            state = seen.name.removeprefix("PATH_").lower()
            self._audit.record("breakout", state=state, detail=words)
        self._tell(seen, words)
