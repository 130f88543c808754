"""What stands between the drivers and the journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os

from gateway import plugins
from gateway.association.associator import Associator
from gateway.cabinet.interpreter import Cabinets
from gateway.config import GatewayConfig
from gateway.daemon.ground import Ground
from gateway.domain.devices import Device
from gateway.domain.labels import Lane
from gateway.domain.ports import Outcome, Submission
from gateway.domain.records import Gap
from gateway.infusion.view import Infusions
from gateway.journal.committer import Committer
from gateway.journal.journal import Journal
from gateway.journal.types import STATE_SCOPE
from gateway.notices import Notices
from gateway.notification.part import Notification
from gateway.pipeline.classification import Classification
from gateway.pipeline.clocks.keeping import kernel_boot_id
from gateway.pipeline.intake import Intake
from gateway.pipeline.label import Labels
from gateway.pipeline.memory import MessageIds
from gateway.preflight import classified

log = logging.getLogger(__name__)


class Pipeline:
    """Committer, intake and the interpreters behind it, with what they knew before a restart."""

    message_ids: MessageIds
    notices: Notices

    def __init__(self, ground: Ground) -> None:
        """Make them, on the loop's thread, and label as the hospital says.

        Raises:
            ConfigError: the classification is refused, or a driver is not there.
        """
        config, clock, telemetry = ground.config, ground.clock, ground.telemetry
        self._ground = ground
        self._recording_gaps = False
        self.committer = Committer(
            ground.journal, asyncio.get_running_loop(), telemetry, config.commit
        )
        self.associator = Associator(
            config.association, config.gateway.name, os.urandom, ground.identity.device, telemetry
        )
        self.infusions = Infusions(config.pipeline.infusion)
        self.cabinets = Cabinets(config.cabinets, telemetry) if config.cabinets else None
        self.notification = Notification(config, self.device, clock, telemetry, ground.audit)
        self.intake = Intake(
            config.pipeline,
            self.committer,
            clock,
            telemetry,
            os.urandom,
            self._first_labels(),
            interpreters=(
                self.infusions,
                self.notification.desk,
                self.associator,
                *([self.cabinets] if self.cabinets else []),
            ),
        )
        self.intake.infusions = self.infusions
        self.intake.associate(self.associator)

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        """Restore what was known, and commit from now on; ``stack`` ends it.

        Raises:
            WardgateError, OSError: what is on disk can't be used.
        """
        ground, intake = self._ground, self.intake
        self.message_ids = MessageIds(
            ground.config.gateway.state_dir / "message-ids",
            intake.duplicates,
            ground.journal,
            ground.keys.of(STATE_SCOPE),
        )
        replayed = await asyncio.to_thread(self.message_ids.load)
        intake.restore(ground.journal.state, kernel_boot_id())
        self.notification.hold(ground.journal)
        positions = _positions(ground.journal)
        log.info("journal open at %s, %d message ids replayed", positions, replayed)
        await self.committer.start()
        stack.push_async_callback(self.committer.stop)
        stack.push_async_callback(self._last_checkpoint)
        self.notices = Notices(ground.config.gateway.name, intake, ground.clock)
        self.notices.restore(ground.journal.state)

    def follow(self, config: GatewayConfig, before: GatewayConfig) -> None:
        """Go on under a changed configuration."""
        self.committer.follow(config.commit)
        self.associator.follow(config.association)
        if config.pipeline != before.pipeline:
            self.intake.follow(config.pipeline)
            self.infusions.follow(config.pipeline.infusion)
        self.notification.follow(config)

    def classify(self, classification: Classification) -> None:
        """Label by a changed classification."""
        if classification != self.intake.classification:
            self.intake.classify(self._labels_by(classification))
            self._ground.audit.record("classification", version=classification.version)

    def device(self, device_id: str) -> Device | None:
        """What the registry tells of a device; of a cabinet, what the configuration does."""
        found = self._ground.identity.device(device_id)
        if found is None and self.cabinets is not None:
            return self.cabinets.device(device_id)
        return found

    async def settled(self) -> None:
        """Return when everything submitted until now has its outcome."""
        done = asyncio.Event()
        self.intake.when_settled(done.set)
        await done.wait()

    def record_gaps(self, gaps: list[Gap]) -> None:
        """What the journal lost becomes records that every destination receives."""
        if not gaps or self._recording_gaps:
            return
        self._recording_gaps = True
        log.error("the journal lost %d ranges; they become Gap records", len(gaps))

        def done(outcome: Outcome) -> None:
            self._recording_gaps = False
            if outcome is Outcome.COMMITTED:
                self._ground.journal.gaps_recorded(gaps)

        self.intake.submit(Submission(gaps, done))

    async def _last_checkpoint(self) -> None:
        try:
            await self.message_ids.checkpoint(self.intake)
        except OSError as error:
            log.error("the message ids can't be written, the next start reads more: %s", error)  # noqa: TRY400  # the cause is told; a trace adds nothing

    def _first_labels(self) -> Labels:
        """Import the drivers, since the hospital may have labelled what they declare, and label."""
        config, path = self._ground.config, self._ground.path
        plugins.check(config.drivers, path.resolve().parent, str(path))
        classification = classified(config)
        self._ground.audit.record("classification", version=classification.version)
        return self._labels_by(classification)

    def _labels_by(self, classification: Classification) -> Labels:
        name = self._ground.config.gateway.name
        return Labels(classification, self.device, name, self._ground.holds.devices)


def _positions(journal: Journal) -> str:
    return ", ".join(
        f"{lane.name.lower()} {journal.first_seq(lane)}..{journal.last_seq(lane)}" for lane in Lane
    )
