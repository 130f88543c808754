"""A destination to which the policy releases nothing: no connection, and nothing is kept for it."""

from __future__ import annotations

import asyncio

from gateway.domain.labels import Treatment
from gateway.uplink import rest
from gateway.uplink.uplink import Policy
from tests.integration.test_uplink import heart_rates, until, ward


def silenced(policy: Policy, name: str) -> Policy:
    rows = dict(policy.rows)
    rows[name] = dict.fromkeys(rows[name], Treatment.WITHHOLD)
    return Policy("everything withheld", rows)


async def test_it_is_not_connected_to_and_begins_anew_when_something_is_released(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(rest, "REST_INTERVAL_S", 0.02)
    async with ward(tmp_path) as (gateway, receivers):
        gateway.open()
        core, vendor = receivers["core"], receivers["vendor"]
        released, silent = gateway.policy, silenced(gateway.policy, "vendor")
        gateway.uplink.set_policy(released)
        await gateway.uplink.start()
        gateway.say()
        await until(lambda: gateway.delivered("core") and gateway.delivered("vendor"))
        connections: list[int] = []

        def noticed(*_):
            connections.append(1)

        gateway.policy = silent
        gateway.uplink.set_policy(silent)
        await until(lambda: gateway.counters.gauges["connected", "vendor"] == 0)
        await vendor.end()
        # In its place somebody who would notice a connection.
        watch = await asyncio.start_server(noticed, "localhost", vendor.port)
        before = gateway.said
        for _ in range(5):
            gateway.say()
        await until(lambda: gateway.delivered("core") and gateway.delivered("vendor"))
        assert not connections
        # What was withheld is in the ledger, and nothing is kept for it: the cursor moved.
        withheld = [row for row in gateway.ledger.totals() if row[0] == "vendor"]
        assert ("vendor", "withhold", 1 + 5 * 12) in withheld
        watch.close()
        await vendor.start()
        silent_until = gateway.said
        gateway.policy = released
        gateway.uplink.set_policy(released)
        await until(lambda: gateway.counters.gauges["connected", "vendor"] == 1)
        gateway.say()
        await until(lambda: gateway.delivered("core") and gateway.delivered("vendor"))
        await gateway.close()
        everything = list(range(1, gateway.said + 1))
        assert heart_rates(core) == everything
        assert heart_rates(vendor) == everything[:before] + everything[silent_until:]
        assert not gateway.troubles
