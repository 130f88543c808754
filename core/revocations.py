"""How the core hears which gateways are revoked: from the fleet's stream, or by a list on disk.

Rules:

* With ``[fleet]`` the core keeps a stream ``FleetService.WatchRevocations``, by its own service
  certificate: the signed list at once and on every change. The stream comes back by itself, and
  ingest waits for neither it nor the list.
* ``wardgate core apply-revocations`` lays a list that was carried here beside the database. A
  running core looks there twice a second, whether it has a fleet or not.
* What a list must be, what becomes of it and of an old one: :mod:`security.revocations_in_force`.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import NamedTuple

from core.config import CoreConfig, FleetTable
from gateway.domain.ports import Clock, Counters
from gateway.wire.dialling import fleet_channel, keep_up, let_in
from protos.wardgate.v1 import fleet_pb2 as pb
from security.files import TlsFiles
from security.pki import load_certificates
from security.revocations import RevocationBook
from security.revocations_in_force import RevocationsInForce

METHOD = "/wardgate.v1.FleetService/WatchRevocations"
LOOK_INTERVAL_S = 0.5
"""How often the list's place on disk is looked at, at the cost of one stat(2)."""

log = logging.getLogger(__name__)


def revocation_book(config: CoreConfig, clock: Clock) -> RevocationBook:
    """The core's list of revocations, as it lies beside the database; not loaded yet."""
    return RevocationBook(
        config.revocations,
        lambda: load_certificates(config.tls.client_ca),
        config.tls.trust_domain,
        clock,
    )


class FleetWatch:
    """The stream; :meth:`run` is its life."""

    def __init__(
        self,
        fleet: FleetTable,
        files: TlsFiles,
        revocations: RevocationsInForce,
        clock: Clock,
        counters: Counters,
    ) -> None:
        """Does no I/O; ``counters`` has ``fleet_connected``."""
        self._fleet = fleet
        self._files = files
        self._revocations = revocations
        self._clock = clock
        self._counters = counters

    async def run(self) -> None:
        """Keep the stream up until cancelled."""
        self._counters.set("fleet_connected", 0)
        await keep_up(self._watch, self._revocations.watch_age, self._clock)

    async def _watch(self) -> bool:
        fleet, listed = self._fleet, self._revocations.current
        async with fleet_channel(fleet.address, fleet.server_name, self._files) as channel:
            call = channel.unary_stream(
                METHOD,
                request_serializer=pb.WatchRevocationsRequest.SerializeToString,
                response_deserializer=pb.WatchRevocationsResponse.FromString,
            )(pb.WatchRevocationsRequest(number=listed.number, issued_us=listed.issued_us))
            if not await let_in(call):
                return False
            self._counters.set("fleet_connected", 1)
            try:
                log.info("the fleet at %s tells the revocations", fleet.address)
                async for response in call:
                    await self._revocations.take(response.signed_list)
            finally:
                self._counters.set("fleet_connected", 0)
        return False


class _Look(NamedTuple):
    """What tells one content of a file from another: each is a file of its own, renamed there."""

    inode: int
    modified_ns: int
    size: int


async def look_on_disk(path: Path, revocations: RevocationsInForce) -> None:
    """Take each newer list that is laid at ``path``, and watch the age of the one in force.

    Until cancelled.
    """
    seen = _look(path)
    while True:
        await asyncio.sleep(LOOK_INTERVAL_S)
        found = _look(path)
        if found is not None and found != seen:
            await revocations.reread()
        seen = found
        revocations.watch_age()


def _look(path: Path) -> _Look | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return _Look(found.st_ino, found.st_mtime_ns, found.st_size)
