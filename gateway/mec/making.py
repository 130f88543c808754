"""Puts an agent together from the configuration."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from random import SystemRandom

from gateway.mec.agent import Agent, Around, Interfaces
from gateway.mec.apps import AppSupport
from gateway.mec.bandwidth import Bandwidth, bw_info
from gateway.mec.callbacks import MEC, Callbacks, Told
from gateway.mec.config import BreakoutTable, CallbackTable, MecConfig
from gateway.mec.http import Platform
from gateway.mec.location import Location, Wanted
from gateway.mec.mobility import Mobility
from gateway.mec.radio import Radio
from gateway.mec.seeing import Seeing
from gateway.mec.services import Services
from security.files import TlsFiles
from security.tls import client_context, files_signature, told_context


class OnPlatform:
    """Client, listener and agent of one gateway: started and stopped together."""

    def __init__(
        self,
        config: MecConfig,
        callback: CallbackTable,
        breakout: BreakoutTable,
        files: TlsFiles,
        destinations: dict[str, str],
        around: Around,
    ) -> None:
        """Make them; opens nothing.

        Args:
            config: checked, of a platform.
            callback: of it.
            breakout: of it.
            files: the gateway's certificate.
            destinations: name -> ``host:port``.
            around: the gateway.
        """
        ours = TlsFiles(config.cert or files.cert, config.key or files.key, files.trust)
        theirs = ours._replace(trust=config.trust or files.trust)
        self._platform = Platform(
            fresh(theirs, client_context) if not config.plain else _none,
            config.token,
            config.timeout_s,
            around.clock,
            around.counters,
            SystemRandom(),
        )
        self._callbacks = Callbacks(
            MEC, callback, _none if callback.plain else lambda: told_context(ours), around.counters
        )
        self.agent = Agent(
            config,
            breakout,
            _interfaces(config, self._platform, self._callbacks, destinations, around),
            self._callbacks,
            around,
        )

    async def start(self) -> None:
        """Listen to the platform.

        Raises:
            ConfigError: the address can't be bound, or a certificate can't be used.
        """
        await self._callbacks.start()

    async def run(self) -> None:
        """The agent's life; behind the platform's end nothing is left to be done."""
        await self.agent.run()
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """Take back what was announced, and close; idempotent."""
        await self.agent.leave()
        await self._callbacks.stop()
        await self._platform.close()


def _interfaces(
    config: MecConfig,
    platform: Platform,
    callbacks: Callbacks[Told],
    destinations: dict[str, str],
    around: Around,
) -> Interfaces:
    instance = config.app_instance
    endpoint = config.token.endpoint if config.token else ""
    watchers = around.watchers
    services = bandwidth = mobility = location = radio = None
    if config.service_mgmt:
        services = Services(platform, config.service_mgmt, instance, config.service, endpoint)
    if config.bandwidth is not None:
        address = destinations.get(config.bandwidth.destination, "")
        info = bw_info(config.bandwidth, instance, address)
        bandwidth = Bandwidth(platform, config.bandwidth_mgmt, info)
    if config.mobility:
        place = callbacks.place.of("mobility")
        mobility = Mobility(platform, config.mobility, instance, place)
    if config.location and watchers.whereabouts is not None:
        fence = watchers.whereabouts.config
        wanted = Wanted(
            fence.zones,
            fence.areas,
            watchers.whereabouts.addresses,
            callbacks.place.of("zone"),
            callbacks.place.of("area"),
        )
        location = Location(platform, config.location, instance, wanted, around.clock)
    if config.radio:
        radio = Radio(platform, config.radio, callbacks.place.of("radio"), around.clock)
    apps = AppSupport(platform, config.app_support, instance)
    seeing = Seeing(location, radio, watchers, around.clock, config.unknown_s)
    return Interfaces(apps, services, bandwidth, mobility, seeing)


def fresh(
    files: TlsFiles, make: Callable[[TlsFiles], ssl.SSLContext]
) -> Callable[[], ssl.SSLContext]:
    """A context that is made anew when the files are others, and the same while they are not."""
    seen: list[object] = []
    made: list[ssl.SSLContext] = []

    def context() -> ssl.SSLContext:
        now = files_signature(files.pinned())
        if not made or seen != [now]:
            seen[:], made[:] = [now], [make(files)]
        return made[0]

    return context


def _none() -> None:
    return None
