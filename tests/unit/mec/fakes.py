"""A platform's calls without a platform: what is there, what fails, what takes for ever."""

import asyncio
import json

from firmware_sim.mec.platform import traffic_rule
from gateway.mec import rules
from gateway.mec.http import PlatformError


class Book:
    """Of an audit log, what it was told."""

    def __init__(self):
        self.entries = []

    def record(self, event, **fields):
        self.entries.append((event, fields))

    def refused(self, *words):
        raise AssertionError("nothing is refused here")

    def of(self, event):
        return [fields for name, fields in self.entries if name == event]


class FakeApps:
    """Stands for :class:`gateway.mec.apps.AppSupport`."""

    def __init__(self):
        self.rules = [traffic_rule("breakout")]
        self.dns = []
        self.failing = {}
        """Call -> what it raises; None: it never answers."""
        self.calls = []
        self.confirmed = []

    async def _call(self, name):
        self.calls.append(name)
        if name in self.failing:
            if self.failing[name] is None:
                await asyncio.Event().wait()
            raise self.failing[name]

    async def traffic_rules(self):
        await self._call("traffic_rules")
        return rules.read_traffic_rules(json.dumps(self.rules).encode())

    async def dns_rules(self):
        await self._call("dns_rules")
        return rules.read_dns_rules(json.dumps(self.dns).encode())

    async def activate_traffic_rule(self, rule):
        await self._call(f"activate {rule.name}")
        self._wake(self.rules, rule.name)

    async def activate_dns_rule(self, rule):
        await self._call(f"activate dns {rule.name}")
        self._wake(self.dns, rule.name)

    def _wake(self, store, name):
        for each in store:
            if name in (each.get("trafficRuleId"), each.get("dnsRuleId")):
                each["state"] = "ACTIVE"

    async def subscribe(self, callback):
        await self._call("subscribe")
        return "somewhere"

    async def subscribed(self, url):
        await self._call("subscribed")
        return True

    async def unsubscribe(self, url):
        await self._call("unsubscribe")

    async def confirm_ready(self):
        await self._call("confirm_ready")
        self.confirmed.append("READY")

    async def confirm_termination(self, operation):
        await self._call("confirm_termination")
        self.confirmed.append(str(operation))

    async def current_time(self):
        raise PlatformError("it has no clock")
