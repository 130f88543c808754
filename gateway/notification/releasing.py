"""What of an alarm an outlet may be told: the release policy asked, the ledger written first.

Rules:

1. An outlet is a destination: of an alarm leaves what the policy releases to it, in that shape, and
   only when the ledger's entry is durable. One record told again to the same outlet under the same
   policy is no new release.
2. An outlet of the zone ``ward`` stands where the device itself sounds. What the policy says of it
   counts; where the policy does not know it, or there is none, it is told everything, under a
   version of its own in the ledger. No other outlet is told anything then.
3. Statistics say nothing of one alarm: what a policy aggregates is withheld, and so is what needs a
   pseudonym key where an outlet has none.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from gateway.domain.errors import ConfigError
from gateway.domain.labels import (
    LEVELS,
    DataClass,
    Label,
    Lane,
    ReleaseRow,
    Treatment,
    Zone,
)
from gateway.domain.records import Alarm
from gateway.journal.types import EncodedSection, StoredGroup
from gateway.notification.config import Outlet
from gateway.notification.story import Committed
from gateway.uplink import kept
from gateway.uplink.entering import Settled
from gateway.uplink.ledger import Ledger, Unsettled
from gateway.uplink.ports import JournalReader
from gateway.uplink.release import KEYED, Release
from gateway.uplink.uplink import Policy
from gateway.uplink.writer import LedgerWriter
from gateway.wire.records import from_message
from gateway.wire.sections import encode_section
from protos.wardgate.v1 import ingest_pb2 as pb
from security.audit import AuditLog
from security.pseudonyms import Pseudonyms

log = logging.getLogger(__name__)

ENTERED_MAX: Final = 20_000
"""Releases of an outlet that are remembered; one that was forgotten is entered once more."""
_EVERYTHING: Final[ReleaseRow] = {
    Label(data_class, level): Treatment.PASS for data_class in DataClass for level in LEVELS
}
_NOT_HERE: Final = frozenset((Treatment.AGGREGATE,))


class Releases:
    """Of every outlet; used on the event loop's thread."""

    def __init__(self, ledger: Ledger, writer: LedgerWriter, audit: AuditLog) -> None:
        self._ledger = ledger
        self._writer = writer
        self._audit = audit
        self._outlets: dict[str, Outlet] = {}
        self._pseudonyms: dict[str, Pseudonyms | None] = {}
        self._policy: Policy | None = None
        self._held = False
        self._releases: dict[str, Release] = {}
        self._entered: dict[str, OrderedDict[Unsettled, None]] = {}

    def follow(
        self, outlets: Iterable[Outlet], secret: Callable[[Path], bytes], journal: JournalReader
    ) -> None:
        """Release to these outlets.

        Args:
            outlets: all of them.
            secret: reads a secret file.
            journal: a new outlet begins at its head.

        Raises:
            ConfigError: a pseudonym key can't be used.
            LedgerError: the ledger can't be written.
        """
        self._outlets = {each.name: each for each in outlets}
        self._pseudonyms = {
            name: pseudonyms_of(each, secret) for name, each in self._outlets.items()
        }
        for name in self._outlets:
            if name not in self._entered:
                self._ledger.start(name, Lane.ALARMS, journal.last_seq(Lane.ALARMS))
                entered = self._ledger.unsettled(name, Lane.ALARMS)
                self._entered[name] = OrderedDict.fromkeys(entered)
        self.set_policy(self._policy, self._held)

    def set_policy(self, policy: Policy | None, held: bool) -> None:
        """Another policy is in force, or none; ``held``: nothing leaves the ward now.

        Raises:
            LedgerError: what applies without one can't be kept.
        """
        self._policy, self._held = policy, held
        rows = policy.rows if policy is not None else {}
        unknown = [
            each
            for name, each in self._outlets.items()
            if name not in rows and each.zone is Zone.WARD
        ]
        version = self._remember(unknown) if unknown else ""
        self._releases = {}
        for name in self._outlets:
            away = held and self._outlets[name].zone is not Zone.WARD
            if name in rows and policy is not None and not away:
                self._releases[name] = self._release(name, policy.version, rows[name])
        for each in unknown:
            self._releases[each.name] = self._release(each.name, version, _EVERYTHING)

    def _remember(self, outlets: Iterable[Outlet]) -> str:
        """Keep what applies to a ward's outlets that no policy knows; its version."""
        infos = [each.info for each in outlets]
        named = ",".join(sorted(f"{info.name}/{info.purpose}/{info.tenant}" for info in infos))
        version = f"ward-{hashlib.sha256(named.encode()).hexdigest()[:11]}"
        known = self._ledger.table(version) is not None
        rows = {info.name: _EVERYTHING for info in infos}
        self._ledger.remember(version, rows, kept.explain(infos, {}))
        if not known:
            log.info("no policy knows the ward's outlets %s: they are told everything", named)
            self._audit.record(
                "policy",
                result="in force",
                number=0,
                version=version,
                table=self._ledger.policy(version).digest(),
                substance="",
                unproved="",
            )
        return version

    def _release(self, name: str, version: str, row: Mapping[Label, Treatment]) -> Release:
        pseudonyms = self._pseudonyms[name]
        barred = _NOT_HERE if pseudonyms is not None else _NOT_HERE | KEYED
        told = {
            label: Treatment.WITHHOLD if treatment in barred else treatment
            for label, treatment in row.items()
        }
        return Release(name, version, told, self._table_of, pseudonyms)

    def _table_of(self, version: str) -> Mapping[str, ReleaseRow] | None:
        """What applied at collection; of a ward's outlet, also where the policy did not know it."""
        found = self._ledger.table(version)
        ward = {n: _EVERYTHING for n, each in self._outlets.items() if each.zone is Zone.WARD}
        return ward | dict(found or {})

    async def release(self, name: str, told: Committed) -> Alarm | None:
        """What an outlet may be told of an alarm, entered; None: nothing.

        Raises:
            LedgerError: it could not be entered, and must not leave.
        """
        release = self._releases.get(name)
        if release is None:
            return None
        body = encode_section(told.label, told.seq, [0], [told.encoded], told.alarm.codes)
        section = EncodedSection(told.data_class, told.level, 1, body)
        group = StoredGroup(told.seq, told.seq, told.collected_under, (section,), epoch=told.epoch)
        batch = release.batch(Lane.ALARMS, [group])
        entry = Unsettled(told.epoch, told.seq, told.seq, release.version)
        entered = self._entered[name]
        if entry not in entered:
            await self._writer.record(name, batch)
            entered[entry] = None
            if len(entered) > ENTERED_MAX:
                entered.popitem(last=False)
        left = pb.StreamRequest.FromString(batch.request).batch.sections
        if not left:
            return None
        record = from_message(left[0].records[0])
        return record if isinstance(record, Alarm) else None

    def settle(self, epoch: int, seq: int) -> None:
        """No alarm up to a record is told any more."""
        for name, entered in self._entered.items():
            for entry in list(entered):
                if (entry.epoch, entry.last) > (epoch, seq):
                    continue
                del entered[entry]
            self._writer.settle(Settled(name, Lane.ALARMS, epoch, seq))


def pseudonyms_of(outlet: Outlet, secret: Callable[[Path], bytes]) -> Pseudonyms | None:
    """By which names an outlet knows devices; None: it has no key for that.

    Raises:
        ConfigError: the key can't be used.
        OSError: it can't be read.
    """
    if outlet.pseudonym_key is None:
        return None
    try:
        return Pseudonyms(secret(outlet.pseudonym_key), outlet.name, outlet.project)
    except ValueError as error:
        raise ConfigError(f"outlet {outlet.name}: pseudonym_key: {error}") from error
