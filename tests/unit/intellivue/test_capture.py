"""A real M8003A in demo mode: everything it said decodes to what the capture's notes say."""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from drivers.intellivue import framing, messages
from drivers.intellivue.association import UserInformation
from drivers.intellivue.attributes import AbsoluteTime, Attributes, EnumerationValue, TypeCode
from drivers.intellivue.clock import MonitorClock
from drivers.intellivue.framing import FrameDecoder
from drivers.intellivue.mapping import Mapper
from drivers.intellivue.messages import (
    AssociationAccept,
    AssociationRequest,
    ConnectIndication,
    CreateEvent,
    Linker,
    PollRequest,
    PollResult,
)
from drivers.intellivue.nomenclature import Attribute, ObjectClass
from drivers.intellivue.session import OPTIONS
from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.records import AlarmSnapshot, Attestation, Provenance, Quality, Report
from tests.unit.intellivue.capture import (
    CONNECT_INDICATION_PORT,
    MONITOR,
    datagrams,
    hex_lines,
    needs_capture,
    nomenclature,
)

pytestmark = [needs_capture, pytest.mark.shared]

DEMO = 0x0400


def decoded():
    for datagram in datagrams():
        if datagram.source_port == CONNECT_INDICATION_PORT:
            yield datagram, messages.decode_connect_indication(datagram.payload)
        else:
            yield datagram, messages.decode(datagram.payload)


def from_monitor(kind):
    return [m for d, m in decoded() if d.source == MONITOR and isinstance(m, kind)]


def replies(payloads):
    linker = Linker()
    for payload in payloads:
        message = messages.decode(payload)
        if isinstance(message, PollResult):
            reply = linker.add(message)
            if reply is not None:
                yield reply
    assert linker.incomplete == 0


def inventory(payloads):
    """Handle -> what is known of each object, over all replies."""
    signals: dict[tuple[int, int], Attributes] = {}
    for reply in replies(payloads):
        for observed in reply.objects:
            signals.setdefault((reply.object_class, observed.handle), {}).update(
                observed.attributes
            )
    return signals


def test_every_datagram_decodes():
    counts = Counter((d.source == MONITOR, type(m).__name__) for d, m in decoded())
    assert {name: n for (monitor, name), n in counts.items() if monitor} == {
        "ConnectIndication": 3,
        "AssociationAccept": 4,
        "CreateEvent": 4,
        "PollResult": 122,
        "ReleaseResponse": 3,
        "OtherOperation": 6,  # answers to GET and SET of the priority lists
    }


def test_association():
    (accept,) = set(from_monitor(AssociationAccept))
    assert accept.information == UserInformation(
        system_type=0x00800000,
        startup_mode=0x80000000,  # hot
        minimum_poll_period=40 * 8000,
        receive_bytes_max=1456,
        send_bytes_max=1456,
        extended_options=0x8C000000,
    )
    requests = [m for _, m in decoded() if isinstance(m, AssociationRequest)]
    assert {r.information.extended_options for r in requests} == {OPTIONS}


def test_create_event_carries_both_clocks_and_the_bed():
    event = from_monitor(CreateEvent)[0]
    assert event.attributes[Attribute.TIME_ABSOLUTE] == AbsoluteTime(2017, 11, 4, 14, 44, 51, 0)
    assert event.attributes[Attribute.TIME_RELATIVE] == event.event_time == 0x0D58B800
    assert event.attributes[Attribute.BED_LABEL] == "LeTemple_1"
    assert isinstance(from_monitor(ConnectIndication)[0], ConnectIndication)


def test_the_extended_polls_of_the_client():
    armed = [m for _, m in decoded() if isinstance(m, PollRequest) and m.extended][-3:]
    assert [(m.object_class, m.group, m.period_ticks / 8000) for m in armed] == [
        (ObjectClass.WAVE, 0x0803, 180),
        (ObjectClass.NUMERIC, 0x0803, 180),
        (ObjectClass.ALERT_MONITOR, 0x0801, 180),
    ]


def test_replies_come_every_1024_ms_and_count_up():
    linker = Linker()
    numerics = []
    for message in from_monitor(PollResult):
        reply = linker.add(message)
        if reply and reply.object_class == ObjectClass.NUMERIC and reply.group == 0x0803:
            numerics.append(reply)
    assert [r.sequence for r in numerics] == list(range(15))
    steps = {b.relative_time - a.relative_time for a, b in pairwise(numerics)}
    assert steps == {8192}


def test_the_enumeration_replies_hold_the_25_signals():
    signals = inventory(hex_lines("enumeration_replies.hex"))
    classes = Counter(object_class for object_class, _ in signals)
    assert classes == {
        ObjectClass.NUMERIC: 20,
        ObjectClass.WAVE: 4,
        ObjectClass.ALERT_MONITOR: 1,
    }
    numerics = [a for (c, _), a in signals.items() if c == ObjectClass.NUMERIC]
    assert [(a.get(Attribute.LABEL_STRING), a.get(Attribute.LABEL_ID)) for a in numerics] == [
        ("PPC", 0x00025804),
        ("RVS", 0x00024B28),
        ("ΔSpO₂", 0x00024BC4),
        ("ΔTemp", 0x0002E018),
        ("VPP", 0x0002F0E3),
        ("Sp-vO₂", 0x0002F06C),
        ("PAPO", 0x00024A24),
        ("PA", 0x00024A14),
        ("Pouls", 0x80035402),
        ("PB", 0x00024A04),
        ("Pouls", 0x0002F0E5),
        ("FC", 0x00024182),
        ("FR", 0x0002500A),
        ("ST", 0x00020300),
        (None, None),
        ("indxST", 0x0002F03D),
        ("ESV", 0x00024261),
        ("SpO₂", 0x00024BB8),
        ("Pouls", 0x00024822),
        ("Perf", 0x00024BB0),
    ]
    waves = [a for (c, _), a in signals.items() if c == ObjectClass.WAVE]
    units = nomenclature("UNITTypes.txt")
    assert {a[Attribute.LABEL_STRING]: units[a[Attribute.UNIT_CODE]] for a in waves} == {
        "MCL": "NOM_DIM_MILLI_VOLT",
        "Pleth": "NOM_DIM_DIMLESS",
        "PA": "NOM_DIM_MMHG",
        "Resp": "NOM_DIM_X_OHM",
    }


def test_units_and_physio_ids_are_in_the_vendors_tables():
    units = nomenclature("UNITTypes.txt")
    names = nomenclature("SCADATypes.txt")
    seen = {}
    for attributes in inventory(hex_lines("enumeration_replies.hex")).values():
        for number in numbers(attributes):
            seen[names.get(number.physio_id, hex(number.physio_id))] = units[number.unit_code]
        assert isinstance(attributes.get(Attribute.TYPE, TypeCode(0, 0)), TypeCode)
    assert seen == {
        "NOM_PRESS_BLD_ART_ABP_SYS": "NOM_DIM_MMHG",
        "NOM_PRESS_BLD_ART_ABP_DIA": "NOM_DIM_MMHG",
        "NOM_PRESS_BLD_ART_ABP_MEAN": "NOM_DIM_MMHG",
        "NOM_PRESS_BLD_NONINV_SYS": "NOM_DIM_MMHG",
        "NOM_PRESS_BLD_NONINV_DIA": "NOM_DIM_MMHG",
        "NOM_PRESS_BLD_NONINV_MEAN": "NOM_DIM_MMHG",
        "NOM_PRESS_BLD_NONINV_PULS_RATE": "NOM_DIM_BEAT_PER_MIN",
        "NOM_ECG_CARD_BEAT_RATE": "NOM_DIM_BEAT_PER_MIN",
        "NOM_PULS_RATE": "NOM_DIM_BEAT_PER_MIN",
        "NOM_PLETH_PULS_RATE": "NOM_DIM_BEAT_PER_MIN",
        "NOM_RESP_RATE": "NOM_DIM_RESP_PER_MIN",
        "NOM_PULS_OXIM_SAT_O2": "NOM_DIM_PERCENT",
        "NOM_PULS_OXIM_PERF_REL": "NOM_DIM_DIMLESS",
    }


def numbers(attributes):
    value = attributes.get(Attribute.NUMERIC_VALUE)
    return (*attributes.get(Attribute.COMPOUND_VALUE, ()), *([value] if value else []))


def test_the_numbers_on_the_screen():
    said = [d.payload for d, _ in decoded() if d.source == MONITOR and d.payload[0]]
    last = {
        number.physio_id: number
        for reply in replies(said)
        for observed in reply.objects
        for number in numbers(observed.attributes)
    }
    values = {physio_id: (number.value, number.state & DEMO) for physio_id, number in last.items()}
    assert values[0x4182] == (60, DEMO)
    assert values[0x4BB8] == (95.0, DEMO)
    assert values[0x4A15] == (120, DEMO)
    assert values[0x4A05] == (120, DEMO)


def test_the_rhythm_objects_have_no_value_yet():
    enumerations = [
        r
        for r in replies(d.payload for d, _ in decoded() if d.source == MONITOR and d.payload[0])
        if r.object_class == ObjectClass.ENUMERATION
    ]
    labels = {o.attributes[Attribute.LABEL_ID] for r in enumerations for o in r.objects}
    assert labels == {0x0002D006, 0x0002D007}
    assert not any(
        isinstance(v, EnumerationValue)
        for r in enumerations
        for o in r.objects
        for v in o.attributes.values()
    )


def test_mapped_to_records():
    provenance = Provenance("intellivue", Attestation.PORT, "/dev/ttyS0")
    mapper = Mapper(Device("m1", bed="3"), provenance, MonitorClock(UTC))
    mapper.anchor(from_monitor(CreateEvent)[-1].attributes)
    linker = Linker()
    records = []
    for message in from_monitor(PollResult):
        reply = linker.add(message)
        if reply is not None and reply.relative_time >= 0x0D611600:
            records += mapper.records(reply, 1_800_000_000_000_000)
    reports = [r for r in records if isinstance(r, Report)]
    periodic = [r for r in reports if terms.HEART_RATE in r.codes]
    assert len(periodic) == 18
    first = dict(zip(periodic[0].codes, periodic[0].values, strict=True))
    assert {terms.metric(code).unit for code in first} == {"/min", "mm[Hg]", "%", "1"}
    assert first[terms.SPO2] == 95.0
    assert first[terms.ABP_SYS] == 120
    assert first[terms.ABP_DIA] == 70
    assert first[terms.ABP_MEAN] == 91
    assert first[terms.HEART_RATE] == 60
    assert first[terms.RESP_RATE] == 15
    assert first[terms.PULSE_RATE] == 60
    assert set(periodic[0].qualities) == {Quality.DEMO}
    moments = [datetime.fromtimestamp(r.device_us / 1e6, UTC) for r in periodic]
    assert datetime(2017, 11, 4, tzinfo=UTC) < moments[0] < datetime(2017, 11, 5, tzinfo=UTC)
    # The cuff was measured once: one report, however often the replies repeat it.
    cuff = [r for r in reports if terms.NIBP_SYS in r.codes]
    assert len(cuff) == 1
    assert datetime.fromtimestamp(cuff[0].device_us / 1e6, UTC) == datetime(
        2017, 11, 4, 14, 45, tzinfo=UTC
    )
    snapshots = [r for r in records if isinstance(r, AlarmSnapshot)]
    assert snapshots
    assert {s.alarms for s in snapshots} == {()}  # the demo shows no alarm
    assert mapper.unmapped == 0
    assert {r.provenance for r in reports} == {s.provenance for s in snapshots} == {provenance}
    assert {r.bed for r in reports} == {"3"}


def test_demographics_decode_but_are_never_mapped():
    (payload,) = hex_lines("ptdemog_reply.hex")
    message = messages.decode(payload)
    assert isinstance(message, PollResult)
    assert message.reply.object_class == ObjectClass.PATIENT
    (patient,) = message.reply.objects
    undecoded = {a for a, value in patient.attributes.items() if isinstance(value, bytes)}
    assert undecoded == set(patient.attributes) - {Attribute.HANDLE}
    provenance = Provenance("intellivue", Attestation.PORT, "p")
    mapper = Mapper(Device("m1"), provenance, MonitorClock(UTC))
    assert mapper.records(message.reply, 0) == []


def test_the_capture_survives_the_serial_framing():
    payloads = [d.payload for d in datagrams()]
    decoder = FrameDecoder()
    stream = b"".join(map(framing.encode, payloads))
    found = [f for i in range(0, len(stream), 97) for f in decoder.feed(stream[i : i + 97])]
    assert found == payloads
