"""Puts client, keeper, rounds and service together from the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from random import SystemRandom
from typing import NamedTuple

from gateway.domain.devices import Device
from gateway.domain.network import Swapped
from gateway.fence.fence import Fence
from gateway.local.calls import Service
from gateway.mec.callbacks import Callbacks
from gateway.mec.config import CallbackTable
from gateway.mec.http import Platform
from gateway.mec.making import fresh
from gateway.network.swaps import Swaps
from gateway.networkapi.camara import Bases, Camara
from gateway.networkapi.config import NetworkApisConfig
from gateway.networkapi.interface import NetworkApis, whose
from gateway.networkapi.keeper import Around, QualityKeeper
from gateway.networkapi.modems import NEF, Changed, ModemChanges
from gateway.networkapi.nef import Bases as NefBases
from gateway.networkapi.nef import Nef
from gateway.networkapi.rounds import Asked, Rounds
from gateway.networkapi.service import Looks, NetworkDesk
from security.files import TlsFiles
from security.tls import client_context, told_context


class Hearers(NamedTuple):
    """Who hears what the network says of devices."""

    devices: Callable[[], Iterable[Device]]
    """Of the registry."""
    swaps: Swaps
    fence: Fence


class OnNetwork:
    """Client, keeper and rounds of one gateway: started and stopped together."""

    def __init__(
        self, config: NetworkApisConfig, files: TlsFiles, around: Around, hearers: Hearers
    ) -> None:
        """Make them; opens nothing.

        Args:
            config: checked, of a network.
            files: the gateway's certificate.
            around: the gateway.
            hearers: who hears what the network says of devices.
        """
        if not config.by_address:
            around = around._replace(addresses=lambda _device_id: frozenset())
        theirs = files._replace(trust=config.trust or files.trust)
        self._config = config
        self._around = around
        self._hearers = hearers
        self._platform = Platform(
            fresh(theirs, client_context) if not config.plain else lambda: None,
            config.token,
            config.timeout_s,
            around.clock,
            around.counters,
            SystemRandom(),
            "network_calls",
        )
        self.apis: NetworkApis
        self.nef: Nef | None = None
        self._callbacks: Callbacks[Changed] | None = None
        if config.nef is not None:
            self.apis = self.nef = Nef(
                self._platform,
                NefBases(config.location_verification, config.quality_on_demand),
                config.nef.af,
                config.nef.notify,
                around.clock,
            )
            self._callbacks = self._listener(self.nef, config.nef.callback, files)
        else:
            self.apis = Camara(
                self._platform,
                Bases(
                    config.location_verification,
                    config.quality_on_demand,
                    config.sim_swap,
                    config.device_swap,
                ),
            )
        self.keeper = (
            QualityKeeper(self.apis, config.quality, around) if config.quality is not None else None
        )

        self.rounds = self._made_rounds() if config.in_rounds else None

    def _listener(
        self, nef: Nef, table: CallbackTable | None, files: TlsFiles
    ) -> Callbacks[Changed] | None:
        if table is None:
            return None
        context = (lambda: None) if table.plain else (lambda: told_context(files))
        callbacks = Callbacks(NEF, table, context, self._around.counters)
        place = callbacks.place.of("changes")
        nef.changes = ModemChanges(
            self._platform, nef.collection, table.url, place, self._changed, self._around.clock
        )
        return callbacks

    def _changed(self, phone: str, swapped: Swapped) -> None:
        """The network tells of a number."""
        for each in self._hearers.devices():
            if whose(each.network).phone == phone:
                self._hearers.swaps.told(each.device_id, swapped)

    async def _hear(self, nef: Nef, callbacks: Callbacks[Changed]) -> None:
        while True:
            changed = await callbacks.told.get()
            if nef.changes is not None and not nef.changes.told(changed):
                self._around.counters.add(NEF.counted, "foreign")

    def _made_rounds(self) -> Rounds:
        around, config, hearers = self._around, self._config, self._hearers
        asked = Asked(
            self.apis if config.asks_swaps else None,
            self.apis if config.rounds.fence else None,
            hearers.devices,
            around.addresses,
            hearers.swaps.told,
            hearers.fence,
        )
        return Rounds(config.rounds, asked, around.clock, around.counters)

    def service(self) -> Service:
        """For people on site."""
        around = self._around
        return NetworkDesk(
            Looks(
                self.apis,
                self._config.area,
                self.keeper,
                around.device,
                around.addresses,
                self._hearers.fence,
                self._hearers.swaps if self._config.asks_swaps else None,
            )
        ).service()

    async def start(self) -> None:
        """Listen to the network, if it is to tell something.

        Raises:
            ConfigError: the address can't be bound, or a certificate can't be used.
        """
        if self._callbacks is not None:
            await self._callbacks.start()

    async def run(self) -> None:
        """The life of keeper, rounds and client; without any there is nothing to be done."""
        parts = (self.keeper, self.rounds, self.nef)
        lives = [each.run() for each in parts if each is not None]
        async with asyncio.TaskGroup() as tasks:
            for life in lives:
                tasks.create_task(life)
            if self.nef is not None and self._callbacks is not None:
                tasks.create_task(self._hear(self.nef, self._callbacks))
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Give back what stands, and close; idempotent."""
        if self.keeper is not None:
            await self.keeper.stop()
        if self.nef is not None:
            await self.nef.stop()
        if self._callbacks is not None:
            await self._callbacks.stop()
        await self._platform.close()
