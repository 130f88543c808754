"""What of the journal's groups leaves for one destination, and in which shape.

Rules:

1. The stricter of the table at collection and the table now applies, label by label; where neither
   is the stricter, nothing leaves (:func:`gateway.domain.labels.stricter`). Where the table at
   collection is unknown, or had no row for this destination, nothing leaves. Records that were
   collected while no policy was in force are judged by the table now.
2. What passes leaves byte by byte as the journal holds it; only treated sections are decoded.
3. A batch never crosses an epoch, and states its whole range: what is withheld is counted in it,
   and so is what goes into an aggregate.
4. What a window says leaves with the batch of the group that closes it, which ends there
   (:mod:`gateway.uplink.windows`). The ledger counts its records then, as aggregated or withheld.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.domain.errors import MalformedError
from gateway.domain.labels import (
    Label,
    Lane,
    ReleaseRow,
    Treatment,
    releases_anything,
    stricter,
)
from gateway.journal.types import StoredGroup
from gateway.uplink.generalise import Coarse, GeneraliseConfig
from gateway.uplink.treatments import treat
from gateway.uplink.windows import AggregateConfig, Closed, Windows
from gateway.wire.sections import encode_batch_request
from security.pseudonyms import Pseudonyms

log = logging.getLogger(__name__)

NO_POLICY = ""
"""The version that a group carries which was collected while no policy was in force."""

KEYED = frozenset((Treatment.PSEUDONYMISE, Treatment.GENERALISE))
"""What can't be done without a key."""


def require_no_key(destination: str, row: ReleaseRow) -> None:
    """Refuse what needs a key, of a destination that has none.

    Raises:
        ValueError: it does.
    """
    keyed = KEYED.intersection(row.values())
    if keyed:
        words = " and ".join(f"{each.name.lower()}s" for each in sorted(keyed))
        raise ValueError(
            f"destination {destination}: the policy {words}, and there is no pseudonym_key"
        )


TableOf = Callable[[str], Mapping[str, ReleaseRow] | None]
"""Version of a release table -> its rows; None when it is not known."""


class EntryKey(NamedTuple):
    """What one ledger entry is about, within its batch."""

    label: Label
    treatment: Treatment
    collected_under: str
    """Version of the table at collection."""
    epoch: int = 0
    """Of an earlier run, whose window this is; 0: the batch's."""


class Released(NamedTuple):
    """A batch as it will leave, and what the ledger has to say of it."""

    lane: Lane
    epoch: int
    first: int
    last: int
    request: bytes
    """Serialised ``StreamRequest``."""
    policy_version: str
    entries: Mapping[EntryKey, tuple[int, int]]
    """Records and bytes that leave, or that were withheld (bytes 0)."""
    committed_us: int
    """Commit time of its oldest group; 0 when all of it is lost."""
    hold: int
    """Everything behind it is still needed once the batch is acknowledged: a window is open."""
    spans: Mapping[EntryKey, tuple[int, int]]
    """First and last record of what is about more than this batch: a window."""
    untreatable: Mapping[Label, int] = {}
    """Records that were withheld since they can't be read, of those that were to be treated."""
    window_s: int = 0
    """How long the windows are that it goes by."""

    @property
    def counts(self) -> dict[Treatment, int]:
        """Records by treatment."""
        counts: dict[Treatment, int] = {}
        for key, (records, _) in self.entries.items():
            counts[key.treatment] = counts.get(key.treatment, 0) + records
        return counts


class Shape(NamedTuple):
    """How a destination wants what is not passed."""

    generalise: GeneraliseConfig = GeneraliseConfig()
    aggregate: AggregateConfig = AggregateConfig()


class Release:
    """One destination under one policy; build a new one when the policy changes."""

    def __init__(
        self,
        destination: str,
        version: str,
        row: ReleaseRow,
        table_of: TableOf,
        pseudonyms: Pseudonyms | None,
        shape: Shape | None = None,
    ) -> None:
        """Combine a table's row with those of earlier tables as groups ask for them.

        Raises:
            ValueError: the row pseudonymises or generalises and there is no key.
        """
        if pseudonyms is None:
            require_no_key(destination, row)
        shape = shape or Shape()
        self.destination = destination
        self.version = version
        self._row = row
        self._table_of = table_of
        self._pseudonyms = pseudonyms
        self._coarse = Coarse(shape.generalise, pseudonyms) if pseudonyms else None
        self._shape = shape
        self._effective: dict[str, ReleaseRow] = {NO_POLICY: row, version: row}

    @property
    def is_silent(self) -> bool:
        """Whether nothing is released, whatever its class and level."""
        return not releases_anything(self._row)

    @property
    def window_s(self) -> int:
        """How long a window is."""
        return self._shape.aggregate.window_s

    def under(self, version: str, window_s: int) -> Release | None:
        """What was in force under another policy, to see what its windows held; None: unknown.

        Args:
            version: the policy's.
            window_s: how long windows were; 0: as they are now.
        """
        window_s = window_s or self.window_s
        if (version, window_s) == (self.version, self.window_s):
            return self
        table = self._table_of(version)
        if table is None:
            return None
        row = self._possible(table.get(self.destination, {}))
        aggregate = msgspec.structs.replace(self._shape.aggregate, window_s=window_s)
        shape = self._shape._replace(aggregate=aggregate)
        return Release(self.destination, version, row, self._table_of, self._pseudonyms, shape)

    def windows(self, at: int, *, known: bool = True) -> Windows:
        """The windows of a lane behind record ``at``; see :class:`Windows`."""
        return Windows(self._shape.aggregate, at, known=known)

    def take_over(self, windows: Windows) -> Windows:
        """Windows that another release has filled so far; see :meth:`Windows.under`."""

        def keeps(collected_under: str, label: Label) -> bool:
            return self._row_for(collected_under).get(label) is Treatment.AGGREGATE

        return windows.under(self._shape.aggregate, keeps)

    def pass_by(self, windows: Windows, group: StoredGroup) -> None:
        """Bring windows past a group that left before; what it closes left, too."""
        windows.pass_by(group)
        row = self._row_for(group.policy_version)
        for section in group.sections:
            label = Label(section.data_class, section.level)
            if row.get(label) is Treatment.AGGREGATE:
                self._aggregated(windows, group, label, section.body)

    def batch(
        self, lane: Lane, groups: Sequence[StoredGroup], windows: Windows | None = None
    ) -> Released:
        """Make a batch of consecutive groups of one epoch, or of the first of them.

        A section that has to be treated and can't be read is withheld.
        """
        windows = windows or self.windows(groups[0].first_seq - 1)
        sections: list[bytes] = []
        entries = _Entries()
        untreatable: dict[Label, int] = {}
        withheld = 0
        taken = 0
        for group in groups:
            taken += 1
            closed = windows.pass_by(group)
            for each in closed:
                entries.add_window(each, group)
                if each.section is not None:
                    sections.append(each.section)
            row = self._row_for(group.policy_version)
            for section in group.sections:
                label = Label(section.data_class, section.level)
                treatment = row.get(label, Treatment.WITHHOLD)
                if treatment is Treatment.AGGREGATE:
                    withheld += section.records
                    if not self._aggregated(windows, group, label, section.body):
                        untreatable[label] = untreatable.get(label, 0) + section.records
                        key = EntryKey(label, Treatment.WITHHOLD, group.policy_version)
                        entries.add(key, section.records, 0)
                    continue
                body = self._treated(section.body, treatment)
                if body is None:
                    if treatment is not Treatment.WITHHOLD:
                        untreatable[label] = untreatable.get(label, 0) + section.records
                    treatment = Treatment.WITHHOLD
                    withheld += section.records
                else:
                    sections.append(body)
                key = EntryKey(label, treatment, group.policy_version)
                entries.add(key, section.records, len(body or b""))
            if closed:
                break
        groups = groups[:taken]
        first, last = groups[0], groups[-1]
        lost = [part for group in groups for part in group.lost]
        request = encode_batch_request(
            lane, first.epoch, first.first_seq, last.last_seq, sections, withheld, lost
        )
        times = [group.committed_us for group in groups if group.committed_us]
        return Released(
            lane,
            first.epoch,
            first.first_seq,
            last.last_seq,
            request,
            self.version,
            entries.found,
            min(times, default=0),
            windows.hold,
            entries.spans,
            untreatable,
            self.window_s,
        )

    def _aggregated(self, windows: Windows, group: StoredGroup, label: Label, body: bytes) -> bool:
        try:
            windows.add(group, label, body)
        except MalformedError as error:
            log.error("destination %s: a section is withheld: %s", self.destination, error)  # noqa: TRY400  # the reason is all there is to say
            return False
        return True

    def _treated(self, body: bytes, treatment: Treatment) -> bytes | None:
        if treatment is Treatment.PASS:
            return body
        if treatment is Treatment.WITHHOLD:
            return None
        try:
            return treat(body, treatment, self._pseudonyms, self._coarse)
        except MalformedError as error:
            log.error("destination %s: a section is withheld: %s", self.destination, error)  # noqa: TRY400  # the reason is all there is to say
            return None

    def _row_for(self, collected_under: str) -> ReleaseRow:
        row = self._effective.get(collected_under)
        if row is None:
            row = self._effective[collected_under] = self._stricter(collected_under)
        return row

    def _stricter(self, collected_under: str) -> ReleaseRow:
        table = self._table_of(collected_under)
        then = table.get(self.destination) if table is not None else None
        if then is None:
            return {}
        withhold = Treatment.WITHHOLD
        row = {label: stricter(now, then.get(label, withhold)) for label, now in self._row.items()}
        return self._possible(row)

    def _possible(self, row: ReleaseRow) -> ReleaseRow:
        """Without a key, what an earlier policy promised by it can only be kept by silence."""
        if self._pseudonyms is not None:
            return row
        return {
            label: Treatment.WITHHOLD if treatment in KEYED else treatment
            for label, treatment in row.items()
        }


class _Entries:
    """What the ledger has to say of a batch, as it is made."""

    def __init__(self) -> None:
        self.found: dict[EntryKey, tuple[int, int]] = {}
        self.spans: dict[EntryKey, tuple[int, int]] = {}

    def add(self, key: EntryKey, records: int, size: int) -> None:
        before, length = self.found.get(key, (0, 0))
        self.found[key] = (before + records, length + size)

    def add_window(self, closed: Closed, by: StoredGroup) -> None:
        same = closed.epoch == by.epoch
        parts = (
            (Treatment.AGGREGATE, closed.records, len(closed.section or b"")),
            (Treatment.WITHHOLD, closed.withheld, 0),
        )
        for treatment, records, size in parts:
            if records:
                epoch = 0 if same else closed.epoch
                key = EntryKey(closed.label, treatment, closed.collected_under, epoch)
                self.add(key, records, size)
                # In one epoch it may share its entry with records of the batch.
                self.spans[key] = (closed.first_seq, by.last_seq if same else closed.last_seq)


def cut(
    groups: Sequence[StoredGroup], records_max: int, bytes_max: int, end: int | None = None
) -> list[StoredGroup]:
    """The first groups that make one batch: of one epoch, within the limits, at least one.

    With ``end`` the batch ends where an earlier one ended, so that a retransmission repeats it.
    """
    taken: list[StoredGroup] = []
    records = size = 0
    for group in groups:
        records += group.last_seq - group.first_seq + 1
        size += sum(len(section.body) for section in group.sections)
        over = records > records_max or size > bytes_max or group.epoch != groups[0].epoch
        if taken and (over or (end is not None and group.last_seq > end)):
            break
        taken.append(group)
    return taken
