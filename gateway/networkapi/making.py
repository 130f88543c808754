"""Puts client, keeper and service together from the configuration."""

from __future__ import annotations

import asyncio
from random import SystemRandom

from gateway.fence.fence import Fence
from gateway.local.calls import Service
from gateway.mec.http import Platform
from gateway.mec.making import fresh
from gateway.networkapi.camara import Bases, Camara
from gateway.networkapi.config import NetworkApisConfig
from gateway.networkapi.keeper import Around, QualityKeeper
from gateway.networkapi.service import Looks, network_service
from security.files import TlsFiles
from security.tls import client_context


class OnNetwork:
    """Client and keeper of one gateway: started and stopped together."""

    def __init__(self, config: NetworkApisConfig, files: TlsFiles, around: Around) -> None:
        """Make them; opens nothing.

        Args:
            config: checked, of a network.
            files: the gateway's certificate.
            around: the gateway.
        """
        if not config.by_address:
            around = around._replace(addresses=lambda _device_id: frozenset())
        theirs = files._replace(trust=config.trust or files.trust)
        self._config = config
        self._around = around
        self._platform = Platform(
            fresh(theirs, client_context) if not config.plain else lambda: None,
            config.token,
            config.timeout_s,
            around.clock,
            around.counters,
            SystemRandom(),
            "network_calls",
        )
        self.apis = Camara(
            self._platform, Bases(config.location_verification, config.quality_on_demand)
        )
        self.keeper = (
            QualityKeeper(self.apis, config.quality, around) if config.quality is not None else None
        )

    def service(self, fence: Fence) -> Service:
        """For people on site."""
        around = self._around
        return network_service(
            Looks(
                self.apis,
                self._config.area,
                self.keeper,
                around.device,
                around.addresses,
                fence,
            )
        )

    async def run(self) -> None:
        """The keeper's life; without one there is nothing to be done."""
        if self.keeper is not None:
            await self.keeper.run()
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Give back what stands, and close; idempotent."""
        if self.keeper is not None:
            await self.keeper.stop()
        await self._platform.close()
