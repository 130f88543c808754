"""A record survives the wire, and a section is what concatenation says it is."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import records as r
from gateway.domain.labels import DataClass, Label, Lane
from gateway.wire.records import decode, encode
from gateway.wire.sections import encode_batch_request, encode_section, varint
from protos.wardgate.v1 import ingest_pb2 as pb

u32 = st.integers(0, 2**32 - 1)
u63 = st.integers(0, 2**63 - 1)
finite = st.floats(allow_nan=False)
words = st.text(max_size=20)
quality = st.sampled_from(r.Quality)
provenance = st.builds(
    r.Provenance, driver=words, attestation=st.sampled_from(r.Attestation), attested_by=words
)


@st.composite
def reports(draw):
    codes = draw(st.lists(u32, max_size=6))
    marked = draw(st.booleans())
    qualities = tuple(draw(quality) for _ in codes) if marked else ()
    return r.Report(
        device_id=draw(words),
        kind=draw(words),
        provenance=draw(provenance),
        received_us=draw(u63),
        codes=tuple(codes),
        values=tuple(draw(finite) for _ in codes),
        qualities=qualities,
        device_us=draw(u63),
        time_quality=draw(st.sampled_from(r.TimeQuality)),
        offset_us=draw(st.integers(-(2**63), 2**63 - 1)),
        message_id=draw(words),
        bed=draw(words),
        ward=draw(words),
        measured_us=draw(u63),
        uncertainty_us=draw(u63),
        time_marks=draw(u32),
        order_us=draw(u63),
        enumerations=tuple(draw(st.lists(st.builds(r.Enumeration, u32, u32, words, quality)))),
        texts=tuple(draw(st.lists(st.builds(r.Text, u32, words), max_size=3))),
        waveforms=tuple(
            draw(
                st.lists(
                    st.builds(
                        r.Waveform,
                        u32,
                        u63,
                        finite,
                        finite,
                        finite,
                        st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9).map(tuple),
                        quality,
                    ),
                    max_size=2,
                )
            )
        ),
    )


notifications = st.builds(
    r.AlarmNotification,
    device_id=words,
    provenance=provenance,
    at_us=u63,
    action=st.sampled_from(r.NotificationAction),
    alarm_id=words,
    condition=words,
    priority=st.none() | st.sampled_from(r.AlarmPriority),
    phase=st.none() | st.sampled_from(r.AlarmPhase),
    n=u32,
    level=u32,
    bed=words,
    ward=words,
    outlet=words,
    by=words,
    reason=words,
    since_us=u63,
    until_us=u63,
    count=u32,
    message_id=words,
)
numbers = st.lists(st.tuples(u32, finite), max_size=4)
alarms = numbers.flatmap(
    lambda n: st.builds(
        r.Alarm,
        alarm_id=words,
        device_id=words,
        provenance=provenance,
        priority=st.sampled_from(r.AlarmPriority),
        phase=st.sampled_from(r.AlarmPhase),
        kind=st.sampled_from(r.AlarmKind),
        source=st.sampled_from(r.AlarmSource),
        code=u32,
        condition=words,
        text=words,
        onset_us=u63,
        at_us=u63,
        codes=st.just(tuple(c for c, _ in n)),
        values=st.just(tuple(v for _, v in n)),
        limit=finite,
        ward=words,
        patient_id=words,
        association_id=words,
        association_state=st.sampled_from(r.AssociationState),
    )
)
statuses = st.builds(
    r.DeviceStatus,
    words,
    words,
    provenance,
    u63,
    st.sampled_from(r.DeviceState),
    words,
    detail=words,
)
badges = st.lists(words, max_size=3).map(tuple)
events = st.builds(
    r.InventoryEvent,
    words,
    provenance,
    u63,
    st.sampled_from(r.InventoryAction),
    words,
    words,
    session=words,
    item_class=words,
    lot=words,
    expiry=words,
    badges=badges,
    reason=words,
)
u31 = st.integers(0, 2**31 - 1)
counts = st.builds(
    r.ItemCount, words, st.integers(-(2**31), 2**31 - 1), u31, u31, st.integers(-1, 2**31 - 1)
)
cabinets = st.builds(
    r.CabinetEvent,
    words,
    provenance,
    u63,
    st.sampled_from(r.CabinetEventKind),
    words,
    words,
    u63,
    u63,
    st.sampled_from(r.AccessVerdict),
    badges,
    st.lists(counts, max_size=3).map(tuple),
    words,
    st.booleans(),
    words,
)
orders = st.builds(
    r.InfusionOrder,
    words,
    provenance,
    u63,
    st.sampled_from(r.InfusionOrderAction),
    words,
    u63,
    words,
    words,
    st.none() | finite,
    st.none() | finite,
    st.none() | finite,
    *[words] * 5,
)
gaps = st.builds(r.Gap, words, words, st.sampled_from([0, 1, 2]), u63, u63, u63, u63, u63, u63)


associations = st.builds(
    r.AssociationChange,
    association_id=words,
    subject=st.sampled_from(r.AssociationSubject),
    provenance=provenance,
    device_id=words,
    ward=words,
    bed=words,
    patient_id=words,
    from_us=u63,
    to_us=u63,
    state=st.sampled_from(r.AssociationState),
    reason=words,
    cause=words,
    revision=u63,
    at_us=u63,
)


clocks = st.builds(
    r.GatewayClock,
    words,
    provenance,
    u63,
    words,
    words,
    st.booleans(),
    u63,
    st.integers(-(2**63), 2**63 - 1),
    u32,
    words,
    u63,
    u63,
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(r.LeapStatus),
    st.integers(-(2**63), 2**63 - 1),
)
links = st.builds(
    r.LinkState,
    words,
    provenance,
    u63,
    words,
    u63,
    words,
    st.lists(words, max_size=3).map(tuple),
    st.none() | finite,
    st.none() | finite,
    st.none() | finite,
)
others = st.one_of(orders, cabinets, gaps, notifications, associations, clocks, links)


@given(st.one_of(reports(), alarms, statuses, events, others))
def test_a_record_round_trips(record):
    assert decode(encode(record)) == record


@given(st.lists(reports(), min_size=1, max_size=4), st.integers(1, 2**40))
def test_a_batch_is_the_concatenation_of_its_sections(made, first):
    encoded = [encode(report) for report in made]
    codes = {code for report in made for code in report.codes}
    label = Label(DataClass.HEALTH_STATUS, 3)
    section = encode_section(label, first, range(len(made)), encoded, codes)
    request = encode_batch_request(
        Lane.TELEMETRY, 2, first, first + 9, [section, section], 4, [(first, first + 1, "x")]
    )
    batch = pb.StreamRequest.FromString(request).batch
    assert (batch.lane, batch.epoch, batch.first_seq, batch.last_seq) == (2, 2, first, first + 9)
    assert batch.withheld == 4
    assert batch.lost[0].reason == "x"
    assert [s.SerializeToString() for s in batch.sections] == [
        pb.Section.FromString(section).SerializeToString()
    ] * 2
    assert list(batch.sections[0].seq_offsets) == list(range(len(made)))
    assert {m.code for m in batch.sections[0].metrics} == codes
    assert [x.SerializeToString() for x in batch.sections[1].records] == [
        pb.Record.FromString(e).SerializeToString() for e in encoded
    ]


@given(st.integers(0, 2**64 - 1))
def test_varint(n):
    value = 0
    for i, byte in enumerate(varint(n)):
        value |= (byte & 0x7F) << (7 * i)
    assert value == n
