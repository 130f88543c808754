"""What became of one record on its way to one destination, and why.

For the data-protection officer: which member gave the record its label, what the policy said at
collection and says now, which rule decides, and whether the ledger says that it left. The journal
and the ledger are only read, also while the gateway runs. Nothing that the record says of anybody
is told: no value, text, name of a device, message, bed or badge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from gateway.config import GatewayConfig
from gateway.domain.decoding import UNDECODABLE
from gateway.domain.devices import Device
from gateway.domain.errors import ConfigError
from gateway.domain.labels import HELD, Lane, Treatment, stricter
from gateway.domain.records import Record
from gateway.fleetlink import DIRECTORY_FILE, Directory
from gateway.journal.looking import SEARCH_BYTES_MAX, Looker, Seen
from gateway.keykeeper import KEYS_FILE
from gateway.pipeline.classification import Classification
from gateway.pipeline.label import DeviceOf, Labels
from gateway.pipeline.members import Member, deciding, members
from gateway.uplink.ledger_reading import Entry, LedgerReader, Standing
from gateway.uplink.release import NO_POLICY
from security.policy import Decision, PolicyTable, words
from security.scopes import OpenedKeys
from security.sealing import KeyRing


class Account(NamedTuple):
    """One record and one destination."""

    seen: Seen
    why: tuple[Member, ...]
    """What gives it the label that it would have now."""
    decision: Decision
    """By the table now."""
    then: Treatment | None
    """By the table at collection; None: no policy was in force."""
    then_said: str
    treatment: Treatment
    """That applies."""
    standing: Standing


def find(config: GatewayConfig, wanted: str | Callable[[Record], bool]) -> Seen:
    """A record of the journal.

    Args:
        config: the gateway's.
        wanted: ``LANE:SEQ``, or what the newest record must be.

    Raises:
        ConfigError: it is not there, or ``wanted`` is not of that form.
        KeyMissingError, OSError: the journal can't be read.
    """
    state = config.gateway.state_dir
    keys = OpenedKeys.load(state / KEYS_FILE, KeyRing.load(config.gateway.seal_keys))
    looker = Looker(state / "journal", keys)
    if not isinstance(wanted, str):
        found = looker.newest(wanted)
        if found is None:
            size = SEARCH_BYTES_MAX >> 20
            raise ConfigError(f"no such record in the newest {size} MiB of the journal")
        return found
    word, _, number = wanted.partition(":")
    if word.upper() not in Lane.__members__ or not (number.isascii() and number.isdecimal()):
        raise ConfigError(f"{wanted!r} is no LANE:SEQ, such as telemetry:1042")
    found = looker.at(Lane[word.upper()], int(number))
    if found is None:
        raise ConfigError(
            f"the journal has no record {wanted}: it was deleted, lost or never there"
        )
    return found


def newest(message_id: str, device_id: str) -> Callable[[Record], bool]:
    """What the newest record must be; an empty word asks for nothing."""

    def wanted(record: Record) -> bool:
        if device_id and record.device_id != device_id:
            return False
        return not message_id or getattr(record, "message_id", "") == message_id

    return wanted


def give(
    seen: Seen, destination: str, table: PolicyTable, labels: Labels, ledger: LedgerReader
) -> Account:
    """Put together what is known.

    Raises:
        LedgerError: it can't be read.
    """
    if seen.label.level == HELD:
        decision = Decision(destination, seen.label, Treatment.WITHHOLD, ())
    else:
        decision = table.decisions[destination, seen.label]
    then, said = _then(seen, destination, table, ledger)
    treatment = decision.treatment if then is None else stricter(decision.treatment, then)
    standing = ledger.standing(destination, seen.lane, seen.epoch, seen.seq, seen.label)
    why = deciding(members(seen.record, labels))
    return Account(seen, tuple(why), decision, then, said, treatment, standing)


def registered(config: GatewayConfig) -> DeviceOf:
    """What the registry told the gateway last; nothing where there is no such word on disk."""
    known = {device.device_id: device for device in _devices(config)}
    return known.get


def unheard_of(config: GatewayConfig, told: Classification) -> Iterator[str]:
    """Wards, kinds and tagged devices of a classification that the registry does not have.

    They may be misspelt; then the classification protects nobody there.
    """
    devices = _devices(config)
    wards = {device.ward for device in devices}
    kinds = {device.kind for device in devices}
    for name in sorted(told.wards.keys() - wards):
        yield f"the registry told this gateway of no device in the ward {name!r}"
    for name in sorted(told.device_kinds.keys() - kinds):
        yield f"the registry told this gateway of no device of the kind {name!r}"
    strangers = len(told.tagged.keys() - {device.device_id for device in devices})
    if strangers:
        yield f"{strangers} tagged devices are none that the registry told this gateway of"


def _devices(config: GatewayConfig) -> tuple[Device, ...]:
    try:
        encoded = (config.gateway.state_dir / DIRECTORY_FILE).read_bytes()
        return msgspec.json.decode(encoded, type=Directory).devices
    except (FileNotFoundError, *UNDECODABLE):
        return ()  # the daemon has none either


def sentences(account: Account, table: PolicyTable, told: Classification) -> Iterator[str]:
    """The account, one sentence a line."""
    seen = account.seen
    kind = type(seen.record).__name__
    lane = seen.lane.name.lower()
    yield (
        f"{kind} {lane}:{seen.seq} of epoch {seen.epoch}, committed {_time(seen.committed_us)}, is"
        f" {words.data(seen.label)}."
    )
    if seen.label.level == HELD:
        yield "Its device was in quarantine: it leaves for nobody, whatever a policy says."
        yield from _ledger(account.standing, seen.seq)
        return
    given = "; ".join(dict.fromkeys(member.what for member in account.why))
    label = account.why[0].label
    if label == seen.label:
        yield f"What gives it this label: {given}."
    else:
        yield (
            f"The classification has changed since ({told.version} now): it would be"
            f" {words.data(label)} today, because of: {given}."
        )
    yield account.then_said
    info = table.destinations[account.decision.destination]
    yield f"By the policy now ({table.version}):"
    for line in words.explain(account.decision, info, table.rules):
        yield f"  {line}"
    if account.treatment is not account.decision.treatment:
        yield (f"The stricter of then and now applies: it {words.LEAVES[account.treatment]}.")
    yield from _ledger(account.standing, seen.seq)


def _then(
    seen: Seen, destination: str, table: PolicyTable, ledger: LedgerReader
) -> tuple[Treatment | None, str]:
    version = seen.collected_under
    if version == NO_POLICY:
        return None, "It was collected while no policy was in force: the one now decides alone."
    if version == table.version:
        now = table.rows[destination].get(seen.label, Treatment.WITHHOLD)
        return now, f"It was collected under this policy, {version}."
    rows = ledger.table(version)
    said = f"It was collected under policy {version}"
    if rows is None:
        return Treatment.WITHHOLD, f"{said}, which is not known here any more: it is withheld."
    row = rows.get(destination)
    if row is None:
        return Treatment.WITHHOLD, f"{said}, which had no such destination: it is withheld."
    then = row.get(seen.label, Treatment.WITHHOLD)
    return then, f"{said}, by which it {words.LEAVES[then]}."


def _ledger(standing: Standing, seq: int) -> Iterator[str]:
    if standing.start_seq is None:
        yield "The ledger knows no such destination: nothing was ever sent to it."
        return
    for entry in standing.entries:
        yield _entry(entry)
    if not standing.entries and seq <= standing.start_seq:
        yield (
            "It is older than the destination, which gets nothing up to number"
            f" {standing.start_seq}: it never leaves."
        )
    elif not standing.entries:
        yield "The ledger has no entry of it: it has not left."
    if standing.rejected:
        yield f"The receiver refused its batch for good: {standing.rejected}."
    elif standing.unsettled:
        yield "The receiver has not acknowledged it yet."


def _entry(entry: Entry) -> str:
    what = "was withheld" if entry.treatment is Treatment.WITHHOLD else "left"
    how = "" if entry.treatment is Treatment.WITHHOLD else f" ({_DONE[entry.treatment]})"
    source = "The ledger's sum of the day" if entry.by_day else "The ledger"
    return (
        f"{source} says that it {what}{how} between {_time(entry.begun_us)} and"
        f" {_time(entry.written_us)}, under policy {entry.policy}, with the records of this label"
        f" among {entry.first_seq}..{entry.last_seq}."
    )


_DONE = {
    Treatment.PASS: "unchanged",
    Treatment.PSEUDONYMISE: "pseudonymised",
    Treatment.GENERALISE: "generalised",
    Treatment.MASK: "masked",
    Treatment.AGGREGATE: "aggregated",
}


def _time(at_us: int) -> str:
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(" ", "seconds").replace("+00:00", "Z")
