"""Who is held back for what the network says of it: another SIM, another place."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.config import GatewayConfig
from gateway.daemon.ground import Ground
from gateway.daemon.pipeline import Pipeline
from gateway.domain.devices import Device
from gateway.fence.fence import Fence
from gateway.fence.following import Following
from gateway.fence.links import Links
from gateway.fence.places import Associated
from gateway.fence.ports import Around as FenceAround
from gateway.fence.telling import LinkTelling
from gateway.network.swaps import Swaps
from gateway.network.watch import Around, SimWatch


class Whereabouts:
    """Watch over SIMs and the fence; what stood before a restart is in force when it is made."""

    def __init__(self, ground: Ground, pipeline: Pipeline) -> None:
        """Make them before any device is let in."""
        config, clock, telemetry = ground.config, ground.clock, ground.telemetry
        identity, intake, notices = ground.identity, pipeline.intake, pipeline.notices
        self.sims = SimWatch(
            config.sim,
            Around(identity, ground.holds, intake, notices, ground.audit, clock, telemetry),
        )
        self.sims.restore(ground.journal.state)
        self.swaps = Swaps(self.sims, intake)
        self.swaps.restore(ground.journal.state, asked=config.network_apis.asks_swaps)
        places = Associated(
            config.gateway.name,
            lambda: pipeline.associator.devices,
            identity.device,
            lambda device_id: pipeline.associator.is_kept(device_id, ground.journal.state),
            intake,
            clock,
        )
        following = Following(places, intake, ground.audit, clock)
        following.restore(ground.journal.state)
        radio = config.mec.platform != "none" and bool(config.mec.radio)
        self.telling = LinkTelling(intake, identity.live, clock, telemetry, active=radio)
        self.telling.restore(ground.journal.state)
        self.fence = Fence(
            config.fence,
            FenceAround(
                self.sims,
                following,
                notices,
                ground.audit,
                clock,
                telemetry,
                self.telling.stands,
            ),
        )
        self.fence.restore(registry=config.fleet is not None)
        self.links = Links(identity.live.devices_at, clock, self.telling.heard)
        identity.on_directory = self._registered
        if config.fleet is None:  # nobody binds a device, or no longer
            self.sims.directory(())
            self.swaps.directory(())

    def follow(self, config: GatewayConfig) -> None:
        """Go on under a changed configuration."""
        self.sims.follow(config.sim)
        self.fence.follow(config.fence)

    def tick(self) -> None:
        """Once a second."""
        self.fence.tick()
        self.sims.tick()
        self.telling.tick()
        self.swaps.tick()

    def _registered(self, devices: Iterable[Device]) -> None:
        """The fleet said which devices there are."""
        known = list(devices)
        self.fence.directory(known)
        self.sims.directory(known)
        self.swaps.directory(known)
