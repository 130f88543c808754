"""The devices renew their certificates by themselves, as real ones do (see docs/renewal.md).

A device whose certificate lies in two slots asks the fleet's EST listener when it is time; its
next handshake shows the new one. The renewing end is the product's, for it is meant to be used by
devices; what they do with it in TLS is their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from firmware_sim.endpoints import Endpoints, KeyPair
from gateway.renewer import Renewer, of_device


class Renewals:
    """Those devices of a ward that renew."""

    def __init__(self, endpoints: Endpoints) -> None:
        """Take where to renew; empty: nobody does."""
        self._endpoints = endpoints
        self._renewers: list[Renewer] = []

    def watch(self, pair: KeyPair, reload: Callable[[], None]) -> None:
        """Renew a device's certificate, if it can be; ``reload`` puts the new one in use.

        Raises:
            ConfigError: the address is none, or the identity can't be used.
        """
        est = self._endpoints.est
        if est is None:
            return
        made = of_device(pair.cert.parent, est.url, reload)
        if made is not None:
            self._renewers.append(made)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for renewer in self._renewers:
                group.create_task(renewer.run())

    async def step(self) -> None:
        """What time asks each of them for."""
        for renewer in self._renewers:
            await renewer.step()
