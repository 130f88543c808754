"""What people on site can ask of the gateway, and tell it."""

from __future__ import annotations

from collections.abc import Callable

from gateway.association.service import Desk as AssociationDesk
from gateway.cabinet.service import Around as CabinetAround
from gateway.cabinet.service import Desk as CabinetDesk
from gateway.daemon.ground import Ground
from gateway.daemon.pipeline import Pipeline
from gateway.daemon.whereabouts import Whereabouts
from gateway.fence.service import fence_service
from gateway.infusion.service import Looks as InfusionLooks
from gateway.infusion.service import infusion_service
from gateway.local.server import Around, LocalServer
from gateway.local.status import Looks, status_service
from gateway.outbound import Outbound
from gateway.ownclock.service import Looks as ClockLooks
from gateway.ownclock.service import clocks_service
from gateway.ownclock.watch import OwnClock


def local_server(
    ground: Ground,
    pipeline: Pipeline,
    whereabouts: Whereabouts,
    own_clock: OwnClock,
    outbound: Outbound,
    healthy: Callable[[], bool],
) -> LocalServer:
    """The server with every service; it listens when it is started."""
    config, clock, intake = ground.config, ground.clock, pipeline.intake
    around = Around(
        config.tls.files,
        config.identity.trust_domain,
        ground.control.void_authorities,
        clock,
        ground.telemetry,
        ground.audit,
    )
    server = LocalServer(config.local, config.local.socket_in(config.gateway.state_dir), around)

    looks = Looks(
        config.gateway.name,
        clock,
        healthy,
        lambda: list(intake.seen),
        lambda: intake.alarms.active,
        outbound.standing,
    )
    server.offer(status_service(looks))
    infusions = InfusionLooks(
        pipeline.infusions, clock, intake.alarms.standing, intake.seen.state_of
    )
    server.offer(infusion_service(infusions))
    if pipeline.cabinets is not None:
        cabinets = CabinetDesk(pipeline.cabinets, CabinetAround(intake, clock, ground.audit))
        server.offer(cabinets.service())
    server.offer(pipeline.notification.service())
    clocks = ClockLooks(
        clock, intake.time.steady, lambda: own_clock.reading, lambda: list(intake.seen)
    )
    server.offer(clocks_service(clocks))
    associations = AssociationDesk(config.gateway.name, pipeline.associator, intake, clock)
    server.offer(associations.service())
    server.offer(fence_service(whereabouts.fence, whereabouts.links, clock))
    return server
