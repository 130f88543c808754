"""All destinations: one ledger, one policy, one forwarder each.

Without a verified policy nothing leaves, and no stream is opened; collecting goes on.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.dial import Dial
from gateway.domain.errors import ConfigError
from gateway.domain.labels import Lane, ReleaseRow
from gateway.domain.ports import Clock, Counters
from gateway.uplink.config import DestinationConfig, LedgerConfig, check_names
from gateway.uplink.days import DAY_US
from gateway.uplink.lane import LaneForwarder
from gateway.uplink.ledger import Ledger, LedgerError
from gateway.uplink.link import Link, Surroundings
from gateway.uplink.ports import (
    AuditSource,
    Credentials,
    JournalReader,
    OnException,
    OnReached,
    OnTrouble,
    Seal,
)
from gateway.uplink.release import Release, Shape
from gateway.uplink.writer import LedgerWriter
from security.pseudonyms import Pseudonyms

log = logging.getLogger(__name__)

GAUGES_INTERVAL_S = 1.0
COMPACT_INTERVAL_S = 60.0
COMPACT_PAUSE_S = 0.5
"""Between two slices, while there are old entries to add up."""


class Policy(NamedTuple):
    """A compiled policy, as ``security.policy.PolicyTable`` has it."""

    version: str
    rows: Mapping[str, ReleaseRow]
    why: str = ""
    """What explains it, as the ledger keeps it (:func:`gateway.uplink.kept.explain`)."""


class Standing(NamedTuple):
    """Where one destination stands, for people."""

    name: str
    connected: bool
    lag: Mapping[Lane, int]


class Uplink:
    """Made and started by the daemon; everything is called on the loop's thread."""

    def __init__(
        self,
        destinations: Sequence[DestinationConfig],
        credentials: Callable[[DestinationConfig], Credentials],
        secret: Callable[[Path], bytes],
        around: Surroundings,
        dial: Callable[[DestinationConfig], Dial],
    ) -> None:
        """Check the destinations; opens nothing.

        Args:
            destinations: whom to send to; the journal must know the same names.
            credentials: gives a destination's way to channel credentials.
            secret: reads a secret file.
            around: what the forwarders need.
            dial: gives a destination's way to its routes.

        Raises:
            ConfigError: two destinations of one name, or a pseudonym key that can't be used.
        """
        check_names(list(destinations))
        self._around = around
        self._pseudonyms = {d.name: _pseudonyms(d, secret) for d in destinations}
        self._links = {d.name: Link(d, credentials(d), around, dial(d)) for d in destinations}
        self._lanes = {
            lane: [LaneForwarder(link, lane) for link in self._links.values()] for lane in Lane
        }
        self._last_seqs = dict.fromkeys(Lane, 0)
        self._tasks: list[asyncio.Task[None]] = []
        self._has_policy = False
        self._ledger = LedgerConfig()

    def set_ledger(self, config: LedgerConfig) -> None:
        """How long the ledger keeps every entry; applies to the next look at its age."""
        self._ledger = config

    def check_policy(self, policy: Policy) -> None:
        """Whether :meth:`set_policy` would take it; nothing changes.

        Raises:
            ConfigError: it pseudonymises or generalises for a destination without a key.
        """
        self._releases(policy)

    def set_policy(self, policy: Policy | None) -> None:
        """Apply a verified policy, or none. The streams stay up with one, and end without.

        Durable on return; only then may the committer label groups with its version.

        Raises:
            ConfigError: it needs a key for a destination that has none; nothing changes.
            LedgerError: its table can't be kept; nothing changes.
        """
        releases = self._releases(policy) if policy is not None else {}
        if policy is not None:
            self._around.writer.ledger.remember(policy.version, policy.rows, policy.why)
            log.info("policy %s is in force", policy.version)
        for name, link in self._links.items():
            link.set_release(releases.get(name))
        for lane in self._forwarders():
            lane.notify()
        self._has_policy = policy is not None
        self._around.counters.set("policy_loaded", float(self._has_policy))

    def _releases(self, policy: Policy) -> dict[str, Release]:
        table_of = self._around.writer.ledger.table
        try:
            return {
                name: Release(
                    name,
                    policy.version,
                    policy.rows.get(name, {}),
                    table_of,
                    self._pseudonyms[name],
                    Shape(link.config.generalise, link.config.aggregate),
                )
                for name, link in self._links.items()
            }
        except ValueError as error:
            raise ConfigError(str(error)) from error

    async def start(self) -> None:
        """Begin to forward; without a policy nothing leaves."""
        self._around.counters.set("policy_loaded", float(self._has_policy))
        self._around.journal.subscribe(self._committed)
        self._tasks = [
            asyncio.create_task(lane.run(), name=f"forward-{index}")
            for index, lane in enumerate(self._forwarders())
        ]
        self._tasks.append(asyncio.create_task(self._gauges(), name="forward-gauges"))
        self._tasks.append(asyncio.create_task(self._compact(), name="ledger-compact"))

    async def stop(self) -> None:
        """End the streams; what was not acknowledged is sent again after the next start."""
        self._around.journal.unsubscribe(self._committed)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._around.writer.close()

    def standing(self) -> list[Standing]:
        """Where every destination stands."""
        return [
            Standing(name, link.is_connected, {lane: link.lag(lane) for lane in Lane})
            for name, link in self._links.items()
        ]

    def _forwarders(self) -> list[LaneForwarder]:
        return [forwarder for forwarders in self._lanes.values() for forwarder in forwarders]

    def _committed(self) -> None:
        """After each commit: wake the lanes that it wrote to, and no others."""
        for lane, forwarders in self._lanes.items():
            last_seq = self._around.journal.last_seq(lane)
            if last_seq != self._last_seqs[lane]:
                self._last_seqs[lane] = last_seq
                for forwarder in forwarders:
                    forwarder.notify()

    async def _gauges(self) -> None:
        while True:
            self.standing()
            await asyncio.sleep(GAUGES_INTERVAL_S)

    async def _compact(self) -> None:
        """Keep the ledger small; trouble of the disk is told, and tried again later."""
        while True:
            gone = 0
            try:
                before_us = self._around.clock.now_us() - int(self._ledger.detail_days * DAY_US)
                gone = await self._around.writer.compact(before_us)
            except LedgerError as error:
                log.warning("the ledger's old entries can't be added up: %s", error)
            await asyncio.sleep(COMPACT_PAUSE_S if gone else COMPACT_INTERVAL_S)


def open_surroundings(  # noqa: PLR0913  # what the daemon wires is this much
    *,
    gateway_id: str,
    software_version: str,
    journal: JournalReader,
    ledger: Ledger,
    seal: Seal,
    counters: Counters,
    clock: Clock,
    on_trouble: OnTrouble,
    on_reached: OnReached = lambda _name: None,
    rng: random.Random | None = None,
    audit: AuditSource | None = None,
    on_exception: OnException | None = None,
) -> Surroundings:
    """Put together what the forwarders need."""
    return Surroundings(
        gateway_id,
        software_version,
        journal,
        LedgerWriter(ledger, counters),
        seal,
        counters,
        clock,
        rng or random.Random(),  # noqa: S311  # jitter is no secret
        on_trouble,
        on_reached,
        on_exception or _untold,
        audit,
    )


def _untold(_event: str, _destination: str, _where: str, _fields: dict[str, str | int]) -> None:
    """Nobody keeps an audit log."""


def _pseudonyms(config: DestinationConfig, secret: Callable[[Path], bytes]) -> Pseudonyms | None:
    if config.pseudonym_key is None:
        return None
    try:
        return Pseudonyms(secret(config.pseudonym_key), config.name, config.project)
    except ValueError as error:
        raise ConfigError(f"destination {config.name}: pseudonym_key: {error}") from error
