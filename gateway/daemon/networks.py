"""The networks around the gateway: a MEC platform that it runs on, an operator's that it asks.

With either comes an HTTP library, which few gateways need: it is imported where it is used.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from gateway.daemon.ground import Ground
from gateway.daemon.pipeline import Pipeline
from gateway.daemon.whereabouts import Whereabouts
from gateway.domain.ports import Movable
from gateway.driverset import DriverSet
from gateway.local.calls import Service
from gateway.outbound import Outbound
from gateway.ownclock.watch import OwnClock
from gateway.supervisor import Part, Supervisor
from gateway.uplink.uplink import Standing

log = logging.getLogger(__name__)

DRAIN_LOOK_S = 0.1


class Networks:
    """Joins the one and asks the other, where the configuration names them."""

    def __init__(
        self,
        ground: Ground,
        pipeline: Pipeline,
        whereabouts: Whereabouts,
        outbound: Outbound,
        drivers: DriverSet,
        supervisor: Supervisor,
        stop: Callable[[], None],
    ) -> None:
        """Take the parts; opens nothing.

        Args:
            ground: open.
            pipeline: open.
            whereabouts: hears of zones, areas and links.
            outbound: is held while data may leave the campus.
            drivers: are stopped first when the platform ends the gateway.
            supervisor: runs what is joined and asked.
            stop: ends the gateway.
        """
        self._ground = ground
        self._pipeline = pipeline
        self._whereabouts = whereabouts
        self._outbound = outbound
        self._drivers = drivers
        self._supervisor = supervisor
        self._stop = stop

    async def join(self, stack: contextlib.AsyncExitStack, own_clock: OwnClock) -> None:
        """Take the gateway's place on a MEC platform, if it runs on one; ``stack`` leaves it.

        Args:
            stack: closes what is opened.
            own_clock: hears the platform's time.

        Raises:
            ConfigError: nobody can listen to the platform.
        """
        ground = self._ground
        config, mec = ground.config, ground.config.mec
        if mec.platform == "none" or mec.callback is None or mec.breakout is None:
            return
        from gateway.mec.agent import Around  # noqa: PLC0415
        from gateway.mec.making import OnPlatform  # noqa: PLC0415
        from gateway.mec.seeing import Watchers  # noqa: PLC0415

        around = Around(
            ground.clock,
            ground.telemetry,
            ground.audit,
            self._pipeline.notices,
            self._outbound.hold,
            self._outbound.free,
            self._drain,
            self._stop,
            self._move,
            own_clock.platform_said,
            Watchers(
                self._whereabouts.fence,
                self._whereabouts.links.told,
                self._whereabouts.telling.unheard,
            ),
        )
        addresses = {each.name: each.address for each in config.destinations}
        platform = OnPlatform(mec, mec.callback, mec.breakout, config.tls.files, addresses, around)
        await platform.start()
        stack.push_async_callback(platform.stop)
        self._supervisor.start(Part("mec", platform.run))

    async def ask(self, stack: contextlib.AsyncExitStack) -> Service | None:
        """Have a network that can be asked, if there is one; what people may ask it.

        Raises:
            ConfigError: nobody can listen to the network.
        """
        ground = self._ground
        config = ground.config
        if not config.network_apis:
            return None
        from gateway.networkapi.keeper import Around  # noqa: PLC0415
        from gateway.networkapi.making import Hearers, OnNetwork  # noqa: PLC0415

        around = Around(
            self._pipeline.intake.alarms.devices_with,
            ground.identity.device,
            ground.identity.live.addresses_of,
            ground.clock,
            ground.telemetry,
            ground.audit,
        )
        hearers = Hearers(ground.identity.devices, self._whereabouts.swaps, self._whereabouts.fence)
        network = OnNetwork(config.network_apis, config.tls.files, around, hearers)
        await network.start()
        stack.push_async_callback(network.stop)
        self._supervisor.start(Part("network", network.run))
        return network.service()

    async def _drain(self, seconds: float) -> None:
        """Take no more from devices; return when everything has left, or the time is over."""
        clock, grace_s = self._ground.clock, self._ground.config.gateway.stop_grace_s
        deadline = clock.monotonic() + seconds
        await self._drivers.stop(min(grace_s, seconds))
        await self._pipeline.settled()
        while waiting := _waiting(self._outbound.standing()):
            if clock.monotonic() >= deadline:
                log.warning("not everything has left in time, and waits on disk: %s", waiting)
                return
            await asyncio.sleep(DRAIN_LOOK_S)

    def _move(self, addresses: frozenset[str], place: str) -> int:
        """Send devices at these addresses to another gateway; how many sessions that were."""
        found = self._ground.identity.live.at(addresses)
        for session in found:
            if isinstance(session, Movable):
                session.move(place)
            else:
                session.kill("moved")
        return len(found)


def _waiting(standing: list[Standing]) -> str:
    """What destinations have not acknowledged, in words; empty when they have everything."""
    return ", ".join(
        f"{each.name} {lane.name.lower()} {lag}"
        for each in standing
        for lane, lag in each.lag.items()
        if lag
    )
