"""No identifier of the eighteen kinds (45 CFR 164.514(b)(2)(i)) is in what leaves treated.

Identifiers stand in every field that a device, a driver or the directory fills; records go the
real way: intake, label, encoding, sections, release.
"""

import struct
from itertools import cycle
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from core.batches import check
from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.labels import DestinationInfo, Lane, Treatment, Zone
from gateway.domain.ports import Submission
from gateway.journal.body import make_sections
from gateway.journal.types import StoredGroup
from gateway.uplink.generalise import GeneraliseConfig
from gateway.uplink.release import Release, Shape
from gateway.uplink.windows import AggregateConfig
from protos.wardgate.v1 import ingest_pb2 as pb
from security.policy import LABELS, compile_policy, default_policy
from security.pseudonyms import Pseudonyms
from tests.identifiers import KINDS, leaks, number_shapes, shapes
from tests.ingest import EPOCH, NOW_US
from tests.unit.pipeline.support import Bench

NAMES = Pseudonyms(b"s" * 32, "vendor", "trial-7")
WINDOW_US = 60_000_000
AGGREGATE = AggregateConfig(window_s=60, devices_min=3)
UNKNOWN_CODE = 2 << 16 | 0xFFF0
OUTSIDE = [
    DestinationInfo("vendor", zone, purpose, "else")
    for zone, purpose in (
        (Zone.GROUP, "care"),
        (Zone.PARTNER, "maintenance"),
        (Zone.PARTNER, "research"),
        (Zone.PUBLIC, ""),
    )
]
TREATMENTS = {
    "pseudonymise": (Treatment.PSEUDONYMISE, Shape(aggregate=AGGREGATE)),
    "mask": (Treatment.MASK, Shape(aggregate=AGGREGATE)),
    "aggregate": (Treatment.AGGREGATE, Shape(aggregate=AGGREGATE)),
    **{
        f"generalise by {time}": (
            Treatment.GENERALISE,
            Shape(GeneraliseConfig(time=time), AGGREGATE),
        )
        for time in ("shift", "hour", "day", "year")
    },
}

times = st.integers(946_684_801_234_567, 4_102_444_799_999_999).filter(
    lambda time_us: time_us % 1_000_000
)
"""Of this century, and never on the second."""


class Messages(list[r.Record]):
    """Records, and who lies where their devices stand: device -> patient and association."""

    def __init__(self):
        super().__init__()
        self.patients: dict[str, tuple[str, str]] = {}


class Ward:
    """Knows whose everything is."""

    def __init__(self, patients: dict[str, tuple[str, str]]) -> None:
        self._patients = patients

    def of(self, report: r.Report, at_us: int) -> r.Whose:
        named = self._patients.get(report.device_id)
        if named is None:
            return r.Whose(report.ward, report.bed)
        return r.Whose(report.ward, report.bed, *named, 1)

    def of_alarm(self, alarm: r.Alarm) -> r.Alarm:
        patient_id, association_id = self._patients.get(alarm.device_id, ("", ""))
        return structs.replace(alarm, patient_id=patient_id, association_id=association_id)


@st.composite
def messages(draw, code=terms.HEART_RATE, values=None):
    """Records with an identifier wherever there is room for a text; one of each kind at least."""
    pool = [draw(kind) for kind in KINDS.values()]
    random = Random(draw(st.integers(0, 2**32)))
    turn = cycle(random.sample(pool, len(pool)))
    one = lambda: next(turn)  # noqa: E731
    numbers = values or (lambda random: random.uniform(20, 250))
    found = Messages()
    for n in range(4):
        device, message = f"{one()} {n}", f"{one()} {n}"
        at_us, device_us = draw(times), draw(times)
        found.patients[device] = one(), one()
        source = r.Provenance(one(), random.choice(list(r.Attestation)), one())
        report = r.Report(
            device_id=device,
            kind=one(),
            provenance=source,
            received_us=at_us,
            codes=(code,),
            values=(numbers(random),),
            device_us=device_us,
            message_id=message,
            bed=one(),
            ward=one(),
            enumerations=(r.Enumeration(terms.CLAMP, 0, one()),),
            texts=(r.Text(terms.DRUG_NAME, one()),),
            waveforms=(r.Waveform(terms.HEART_RATE, device_us, 250.0, 0.1, 0.0, (1, -2)),),
        )
        found += [
            # Without anything that is level 4 by itself.
            structs.replace(report, kind=one(), message_id="", enumerations=(), texts=()),
            report,
            r.Alarm(
                alarm_id=f"{one()} {n}",
                device_id=device,
                provenance=source,
                priority=r.AlarmPriority.HIGH,
                phase=r.AlarmPhase.START,
                kind=r.AlarmKind.PHYSIOLOGICAL,
                source=random.choice(list(r.AlarmSource)),
                code=196670,
                condition=one(),
                text=one(),
                onset_us=device_us,
                at_us=at_us,
                bed=one(),
                message_id=message,
                codes=(code,),
                values=(numbers(random),),
            ),
            r.InfusionOrder(
                device,
                source,
                at_us,
                r.InfusionOrderAction.CHANGED,
                one(),
                device_us,
                one(),
                one(),
                numbers(random),
                numbers(random),
                numbers(random),
                "mg/h",
                one(),
                one(),
                one(),
                f"{one()} {n}b",
            ),
            r.InventoryEvent(
                device,
                source,
                at_us,
                r.InventoryAction.MOVED,
                one(),
                one(),
                one(),
                one(),
                device_us,
                f"{one()} {n}a",
            ),
            r.DeviceStatus(
                device,
                one(),
                source,
                at_us,
                r.DeviceState.OFFLINE,
                one(),
                device_us,
                one(),
                40.0,
                f"{one()} {n}b",
                one(),
            ),
            r.Gap(one(), device, from_us=device_us, to_us=at_us, reports=3),
            r.LinkState(device, source, at_us, one(), device_us, one(), (one(), one()), -90.0),
            r.AssociationChange(
                association_id=f"{one()} {n}c",
                subject=random.choice(list(r.AssociationSubject)),
                provenance=source,
                device_id=device,
                ward=one(),
                bed=one(),
                patient_id=one(),
                from_us=device_us,
                to_us=at_us,
                state=random.choice(list(r.AssociationState)),
                reason=one(),
                cause=one(),
                revision=n,
                at_us=at_us,
            ),
        ]
    return found


def texts_of(records):
    """Every text in these records."""

    def walk(value):
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            for each in value:
                yield from walk(each)
        elif hasattr(value, "__struct_fields__"):
            for field in value.__struct_fields__:
                yield from walk(getattr(value, field))

    named = {text for each in getattr(records, "patients", {}).values() for text in each}
    return named | {text for record in records for text in walk(record) if text}


def released(records, row, shape):
    """What of some records leaves for the vendor, and of what followed a window later."""
    bench = Bench()
    bench.intake.associate(Ward(getattr(records, "patients", {})))
    bench.intake.submit(Submission(records))
    requests = []
    release = Release("vendor", "now", row, lambda _: None, NAMES, shape)
    for lane, items in (
        (Lane.ALARMS, bench.committer.alarms),
        (Lane.TELEMETRY, bench.committer.telemetry),
    ):
        groups = [
            StoredGroup(
                first,
                first + len(items) - 1,
                "now",
                make_sections(items, first),
                (),
                EPOCH,
                NOW_US + place * WINDOW_US,
            )
            for place, first in enumerate((1, 1 + len(items), 1 + 2 * len(items)))
            if items
        ]
        windows = release.windows(0)
        requests += [release.batch(lane, [group], windows).request for group in groups]
    for request in requests:
        check(request, frozenset(Lane))  # a core takes it
    return b"".join(requests)


@pytest.mark.parametrize("name", TREATMENTS)
@given(records=messages())
@settings(max_examples=25, deadline=None)
def test_no_identifier_in_any_field_is_in_any_byte(name, records):
    treatment, shape = TREATMENTS[name]
    left = released(records, dict.fromkeys(LABELS, treatment), shape)
    assert not leaks(left, texts_of(records))
    assert left


@given(records=messages())
@settings(max_examples=10, deadline=None)
def test_what_passes_has_them_all(records):
    """The search finds what is there."""
    left = released(records, dict.fromkeys(LABELS, Treatment.PASS), Shape())
    missing = [each for each in texts_of(records) if each.encode() not in left]
    assert not missing


@pytest.mark.parametrize("time", ["shift", "hour", "day", "year"])
@given(records=messages())
@settings(max_examples=15, deadline=None)
def test_no_generalised_byte_tells_an_exact_time(time, records):
    shape = Shape(GeneraliseConfig(time=time), AGGREGATE)
    left = released(records, dict.fromkeys(LABELS, Treatment.GENERALISE), shape)
    exact = {
        getattr(record, field)
        for record in records
        for field in record.__struct_fields__
        if field.endswith("_us") and field != "offset_us"
    } - {0}
    assert exact
    offsets = {abs(each.device_us - each.received_us) for each in records if type(each) is r.Report}
    # What a clock is off is told where times are shifted, and twice that is how it is written.
    assume(not exact & {n for offset in offsets for n in (offset, 2 * offset)})
    assert not [t for t in exact for each in number_shapes(t) if each in left]


def insured(random):
    """An insurance number that a device sends as a measurement."""
    return float(random.randrange(10**12, 10**15))


@pytest.mark.parametrize("info", OUTSIDE, ids=lambda info: f"{info.zone} {info.purpose}")
@given(records=messages(code=UNKNOWN_CODE, values=insured))
@settings(max_examples=15, deadline=None)
def test_under_the_default_policy_no_number_that_nobody_labelled_leaves(info, records):
    row = compile_policy(default_policy(), [info]).rows["vendor"]
    left = released(records, row, Shape(aggregate=AGGREGATE))
    assert not leaks(left, texts_of(records))
    for record in records:
        for value in getattr(record, "values", ()):
            packed = struct.pack("<d", value)
            assert packed not in left
            assert packed[::-1] not in left
            assert not [each for each in number_shapes(int(value)) if each in left]


@given(st.floats(90.5, 130), st.floats(18, 89))
@settings(max_examples=30, deadline=None)
def test_ages_over_89_become_90(old, young):
    def aged(value, device):
        return r.Report(
            device,
            "monitor",
            r.Provenance("mqtt", r.Attestation.CERTIFICATE),
            NOW_US,
            (terms.HEART_RATE, terms.AGE),
            (101.0, value),
        )

    row = dict.fromkeys(LABELS, Treatment.GENERALISE)
    left = released([aged(old, "mon-1"), aged(young, "mon-2")], row, Shape())
    assert struct.pack("<d", old) not in left
    assert struct.pack("<d", 90.0) in left
    assert struct.pack("<d", young) in left
    assert struct.pack("<d", 101.0) in left


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=10)
def test_every_kind_is_found_in_every_shape(kind, data):
    identifier = data.draw(KINDS[kind])
    for shape in shapes(identifier):
        assert leaks(b"..." + shape + b"...", [identifier])


def test_there_are_eighteen_kinds():
    assert [kind[0] for kind in KINDS] == list("ABCDEFGHIJKLMNOPQR")


def test_the_ward_stays_only_where_it_was_asked_for():
    report = r.Report(
        "mon-1",
        "monitor",
        r.Provenance("mqtt", r.Attestation.CERTIFICATE),
        NOW_US,
        (terms.HEART_RATE,),
        (61.0,),
        bed="bed-7",
        ward="Ward North",
    )
    for config, told in ((GeneraliseConfig(), False), (GeneraliseConfig(place="ward"), True)):
        row = dict.fromkeys(LABELS, Treatment.GENERALISE)
        left = released([report], row, Shape(config))
        assert b"bed-7" not in left
        assert (b"Ward North" in left) is told
    for treatment in (Treatment.PSEUDONYMISE, Treatment.MASK):
        assert b"Ward North" not in released([report], dict.fromkeys(LABELS, treatment), Shape())


def test_the_windows_of_the_property_do_say_something():
    def reading(device):
        return r.Report(
            device,
            "vitals",
            r.Provenance("mqtt", r.Attestation.CERTIFICATE),
            NOW_US,
            (terms.HEART_RATE,),
            (61.0,),
        )

    row = dict.fromkeys(LABELS, Treatment.AGGREGATE)
    left = released([reading(f"m{n}") for n in range(4)], row, Shape(aggregate=AGGREGATE))
    assert left.count(pb.Statistic(kind="vitals", code=terms.HEART_RATE).SerializeToString()) == 2
