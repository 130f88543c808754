"""Which class and level each kind of content has: the defaults, and what the hospital edits.

The defaults stand in :mod:`gateway.domain.terms` (metrics) and here (what is no metric). A file,
named by ``[classification] file`` of the gateway's configuration, edits them. Rules:

1. An entry gives a ``level``, a ``class`` or both; what it leaves out stays as it was. Wards, kinds
   and tags of devices have no default and need a level; their class is health status, because what
   they tell of a person is why the person lies there.
2. Only what exists can be edited: an unknown key, class, level or REFID is refused. A metric is
   named by its REFID, or by its code in quotes; a code that no driver declares is taken, since that
   is how it gets a label at all.
3. What a device's ward, kind and tags add is a member of each of its records (*association*): the
   record has the label of its highest member, so an association can only raise it.
4. Wards and kinds are the registry's. Of a device whose ward (kind) the registry does not tell,
   nobody knows that it is *not* in a ward of the file: it has the highest label of them, unless
   ``unknown_ward`` (``unknown_device_kind``) says otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec

from gateway import tomlfile
from gateway.domain import terms
from gateway.domain.errors import ConfigError
from gateway.domain.labels import DataClass, Label

FILE_BYTES_MAX = 256 * 1024
DEVICES_MAX = 50_000
"""Named in all tags together."""
CODE_MAX = 2**32 - 1
VERSION_CHARS = 16

ClassName = Literal[
    "personal_attributes",
    "health_status",
    "medical_application",
    "medical_payment",
    "health_resources",
    "public_health",
]
Level = Annotated[int, msgspec.Meta(ge=1, le=5)]

# At equal levels the first of these is the label: it tells more about a person.
_PRECEDENCE = {
    data_class: len(DataClass) - place
    for place, data_class in enumerate(
        (
            DataClass.PERSONAL_ATTRIBUTES,
            DataClass.HEALTH_STATUS,
            DataClass.MEDICAL_APPLICATION,
            DataClass.MEDICAL_PAYMENT,
            DataClass.PUBLIC_HEALTH,
            DataClass.HEALTH_RESOURCES,
        )
    )
}


def highest(labels: Iterable[Label]) -> Label:
    """The label of a combination; it has at least one member."""
    return max(labels, key=lambda label: (label.level, _PRECEDENCE[label.data_class]))


class ClassificationTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[classification]``: where the hospital's own labels are."""

    file: Path | None = None
    """A TOML file, see docs/classification.md; None: the defaults."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An edit."""

    level: Level | None = None
    class_: ClassName | None = msgspec.field(default=None, name="class")

    def over(self, default: Label) -> Label:
        """The default with what is given replaced."""
        named = default.data_class if self.class_ is None else DataClass[self.class_.upper()]
        return Label(named, default.level if self.level is None else self.level)


class Association(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a ward or a kind of device adds."""

    level: Level
    class_: ClassName = msgspec.field(default="health_status", name="class")

    @property
    def label(self) -> Label:
        return Label(DataClass[self.class_.upper()], self.level)


class Tag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices that the hospital names together, and what that adds."""

    level: Level
    devices: tuple[str, ...]
    class_: ClassName = msgspec.field(default="health_status", name="class")

    @property
    def label(self) -> Label:
        return Label(DataClass[self.class_.upper()], self.level)


class Edits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    metrics: dict[str, Entry] = {}
    """By REFID or code."""
    free_text: Entry = Entry()
    waveforms: Entry = Entry()
    """Whatever their metric."""
    badges: Entry = Entry()
    device_ids: Entry = Entry()
    """Also a message's and an item's."""
    addresses: Entry = Entry()
    """The port, broker or peer that vouches for a device."""
    places: Entry = Entry()
    """Bed, and where an item was read."""
    patients: Entry = Entry()
    """A patient's identifier, on whatever record."""
    associations: Entry = Entry()
    """The opaque name of a patient's time in a bed."""
    wards: dict[str, Association] = {}
    unknown_ward: Association | None = None
    device_kinds: dict[str, Association] = {}
    unknown_device_kind: Association | None = None
    tags: dict[str, Tag] = {}


class Source(NamedTuple):
    """The file as it was read; without one, nothing is edited."""

    path: str
    document: bytes
    edits: Edits


NO_FILE = Source("", b"", Edits())


class Classification(NamedTuple):
    """Every label but those of metrics that nobody edited. Immutable."""

    version: str
    """Equal versions are equal labels, but for what a driver declares."""
    metrics: Mapping[int, Label]
    free_text: Label
    waveforms: Label
    """Of any metric: a member beside the metric's own."""
    own_words: Label
    """A device's last words: free text, about equipment."""
    badges: Label
    device_ids: Label
    addresses: Label
    places: Label
    patients: Label
    associations: Label
    wards: Mapping[str, Label]
    unknown_ward: Label | None
    device_kinds: Mapping[str, Label]
    unknown_device_kind: Label | None
    tagged: Mapping[str, Label]
    """By device id."""

    def metric(self, code: int) -> Label:
        """The label of a metric."""
        edited = self.metrics.get(code)
        return terms.metric(code).label if edited is None else edited


NOBODY = Label(DataClass.HEALTH_RESOURCES, 2)
"""About the gateway alone, or that a device is there at all."""
DEFAULTS = Classification(
    version="default",
    metrics={},
    free_text=Label(DataClass.MEDICAL_APPLICATION, 4),
    waveforms=Label(DataClass.HEALTH_STATUS, 4),
    own_words=Label(DataClass.HEALTH_RESOURCES, 4),
    badges=Label(DataClass.PERSONAL_ATTRIBUTES, 4),
    device_ids=Label(DataClass.HEALTH_RESOURCES, 3),
    addresses=Label(DataClass.HEALTH_RESOURCES, 3),
    places=Label(DataClass.HEALTH_RESOURCES, 3),
    patients=Label(DataClass.PERSONAL_ATTRIBUTES, 4),
    associations=Label(DataClass.HEALTH_RESOURCES, 3),
    wards={},
    unknown_ward=None,
    device_kinds={},
    unknown_device_kind=None,
    tagged={},
)


def read(table: ClassificationTable) -> Source:
    """Read the file that the configuration names.

    Raises:
        ConfigError: it can't be read, is no such file, or says what it may not.
    """
    if table.file is None:
        return NO_FILE
    where = str(table.file)
    document = tomlfile.read(table.file)
    if len(document) > FILE_BYTES_MAX:
        raise ConfigError(f"{where}: longer than {FILE_BYTES_MAX} bytes")
    raw = tomlfile.decode(document, where)
    edits = tomlfile.convert(raw, Edits, base=table.file.parent, where=where)
    if sum(len(tag.devices) for tag in edits.tags.values()) > DEVICES_MAX:
        raise ConfigError(f"{where}: tags: more than {DEVICES_MAX} devices")
    return Source(where, document, edits)


def compiled(source: Source) -> Classification:
    """The labels that a file makes of the defaults.

    To be called when the drivers are imported, since they declare metrics of their own.

    Raises:
        ConfigError: it names a metric twice, or one that nobody knows.
    """
    edits = source.edits
    if source is NO_FILE:
        return DEFAULTS
    metrics: dict[int, Label] = {}
    for name, entry in edits.metrics.items():
        code = metric_code(name, source.path)
        if code in metrics:
            raise ConfigError(f"{source.path}: metrics.{name}: named twice, as REFID and code")
        metrics[code] = entry.over(terms.metric(code).label)
    wards = {name: entry.label for name, entry in edits.wards.items()}
    kinds = {name: entry.label for name, entry in edits.device_kinds.items()}
    tagged: dict[str, Label] = {}
    for tag in edits.tags.values():
        for device_id in tag.devices:
            tagged[device_id] = highest((tag.label, tagged.get(device_id, tag.label)))
    return Classification(
        hashlib.sha256(source.document).hexdigest()[:VERSION_CHARS],
        metrics,
        edits.free_text.over(DEFAULTS.free_text),
        edits.waveforms.over(DEFAULTS.waveforms),
        edits.free_text.over(DEFAULTS.own_words),
        edits.badges.over(DEFAULTS.badges),
        edits.device_ids.over(DEFAULTS.device_ids),
        edits.addresses.over(DEFAULTS.addresses),
        edits.places.over(DEFAULTS.places),
        edits.patients.over(DEFAULTS.patients),
        edits.associations.over(DEFAULTS.associations),
        wards,
        _unknown(edits.unknown_ward, wards),
        kinds,
        _unknown(edits.unknown_device_kind, kinds),
        tagged,
    )


def metric_code(name: str, where: str) -> int:
    """The code of a metric that a file names.

    Raises:
        ConfigError: it is neither a known REFID nor a number that can be a code.
    """
    if name.isascii() and name.isdecimal() and 0 < int(name) <= CODE_MAX:
        return int(name)
    for row in terms.METRICS.values():
        if row.refid == name:
            return row.code
    raise ConfigError(f"{where}: metrics.{name}: no metric has this REFID")


def _unknown(said: Association | None, labels: Mapping[str, Label]) -> Label | None:
    if said is not None:
        return said.label
    return highest(labels.values()) if labels else None
