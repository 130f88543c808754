"""What pseudonymising and masking leave of a record, field by field."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gateway.domain import records as r
from gateway.domain import terms
from gateway.domain.errors import MalformedError
from gateway.domain.labels import Treatment
from gateway.uplink.treatments import treat
from gateway.wire.records import from_message
from protos.wardgate.v1 import ingest_pb2 as pb
from security.pseudonyms import Pseudonyms
from tests import ingest
from tests.ingest import NOW_US, alarm, section

SECRET = b"s" * 32
NAMES = Pseudonyms(SECRET, "vendor", "")
DEVICE = "monitor-secret"
PORT = r.Provenance("intellivue", r.Attestation.PORT, "port-secret")

REPORT = r.Report(
    device_id=DEVICE,
    kind="monitor",
    provenance=PORT,
    received_us=NOW_US,
    codes=(terms.HEART_RATE,),
    values=(61.0,),
    qualities=(r.Quality.QUESTIONABLE,),
    device_us=NOW_US - 7,
    time_quality=r.TimeQuality.OFFSET,
    offset_us=-3,
    message_id="msg-secret:1",
    bed="bed-secret",
    enumerations=(r.Enumeration(terms.CLAMP, 0, "open"),),
    texts=(r.Text(terms.DRUG_NAME, "drug-secret"),),
    waveforms=(r.Waveform(terms.HEART_RATE, NOW_US, 250.0, 0.1, 0.0, (1, -2)),),
    ward="ward-secret",
    patient_id="patient-secret",
    association_id="association-secret",
    association_state=r.AssociationState.CURRENT,
)
STATUS = r.DeviceStatus(
    DEVICE,
    "drip",
    PORT,
    NOW_US,
    r.DeviceState.OFFLINE,
    "last_will",
    firmware="1.2",
    battery_percent=40.0,
    message_id="msg-secret:1",
    detail="detail-secret",
)
ITEM = r.InventoryEvent(
    "reader-secret",
    PORT,
    NOW_US,
    r.InventoryAction.MOVED,
    epc="EPC-secret",
    place="place-secret",
    from_place="from-secret",
    badge="badge-secret",
    message_id="msg-secret:2",
    session="session-secret",
    item_class="class-secret",
    lot="lot-7",
    expiry="2027-03-31",
    badges=("badge-secret", "other-secret"),
    reason="outage",
)
CABINET = r.CabinetEvent(
    "reader-secret",
    PORT,
    NOW_US,
    r.CabinetEventKind.ACCESS,
    "door-secret",
    "session-secret",
    NOW_US - 9,
    NOW_US - 2,
    r.AccessVerdict.ONE_PERSON,
    ("badge-secret",),
    (r.ItemCount("class-secret", 3, 2),),
    "reason-secret",
    message_id="msg-secret:3",
)
TOLD = r.AlarmNotification(
    DEVICE,
    PORT,
    NOW_US,
    r.NotificationAction.ACKNOWLEDGED,
    "alarm-1",
    "hr_high",
    r.AlarmPriority.HIGH,
    r.AlarmPhase.START,
    n=2,
    level=1,
    bed="bed-7",
    ward="ward-secret",
    outlet="outlet-secret",
    by="person-secret",
    reason="reason-secret",
)
ORDER = r.InfusionOrder(
    DEVICE,
    PORT,
    NOW_US,
    r.InfusionOrderAction.ORDERED,
    "order-secret",
    drug="drug-secret",
    drug_code="code-secret",
    rate_ml_h=13.3,
    route="route-secret",
    bed="bed-secret",
    ward="ward-secret",
    message_id="msg-secret:3",
)
CLOCK = r.GatewayClock(
    DEVICE,
    r.Provenance("gateway", r.Attestation.GATEWAY, "peer-secret"),
    NOW_US,
    "periodic",
    "chrony",
    synchronised=True,
    error_us=900,
    reference="address-secret",
    frequency_ppb=-7123,
)
LINK = r.LinkState(
    DEVICE,
    r.Provenance("mec", r.Attestation.GATEWAY, "peer-secret"),
    NOW_US,
    "cell",
    NOW_US - 9,
    "001-01-secret",
    ("zone-secret",),
    -96.0,
    sinr_db=10.5,
)
STAY = r.AssociationChange(
    association_id="association-secret",
    subject=r.AssociationSubject.BED,
    provenance=r.Provenance("association", r.Attestation.CERTIFICATE, "adt-secret"),
    device_id="",
    ward="ward-secret",
    bed="bed-secret",
    patient_id="patient-secret",
    from_us=NOW_US - 9,
    to_us=NOW_US,
    state=r.AssociationState.CURRENT,
    reason="",
    cause="admit",
    revision=77,
    at_us=NOW_US,
)
GAP = r.Gap("link_lost", device_id=DEVICE, from_us=1, to_us=2, reports=3)
ALARM = structs.replace(
    alarm(1, DEVICE, PORT),
    ward="ward-secret",
    patient_id="patient-secret",
    association_id="association-secret",
    association_state=r.AssociationState.CURRENT,
)
RECORDS: list[r.Record] = [
    *(REPORT, ALARM, STATUS, ITEM, TOLD, ORDER, GAP, CABINET, STAY, CLOCK, LINK),
]
SECRETS = (b"secret", b"5f3a:1", b"alarm-1", b"bed-7", b"heart rate high")


def treated(records, treatment, names=NAMES):
    raw = section(5, records, (terms.HEART_RATE, terms.CLAMP, terms.DRUG_NAME))
    return pb.Section.FromString(treat(raw, treatment, names))


@pytest.mark.parametrize("treatment", [Treatment.PSEUDONYMISE, Treatment.MASK])
def test_nothing_that_names_anybody_is_left(treatment):
    left = treated(RECORDS, treatment).SerializeToString()
    plain = section(5, RECORDS)
    for secret in SECRETS:
        assert secret in plain
        assert secret not in left


def test_a_pseudonymised_report_keeps_its_measurements_and_times():
    message = treated([REPORT], Treatment.PSEUDONYMISE)
    assert (message.treatment, message.first_seq) == (pb.TREATMENT_PSEUDONYMISE, 5)
    found = from_message(message.records[0])
    assert isinstance(found, r.Report)
    assert found == r.Report(
        device_id=NAMES.name(DEVICE),
        kind="monitor",
        provenance=r.Provenance("intellivue", r.Attestation.PORT),
        received_us=NOW_US,
        codes=REPORT.codes,
        values=REPORT.values,
        qualities=REPORT.qualities,
        device_us=NOW_US - 7,
        time_quality=r.TimeQuality.OFFSET,
        offset_us=-3,
        message_id=NAMES.message_id(DEVICE, "msg-secret:1"),
        enumerations=REPORT.enumerations,
        waveforms=REPORT.waveforms,
        patient_id=NAMES.name("patient-secret"),
        association_id=NAMES.name("association-secret"),
        association_state=r.AssociationState.CURRENT,
    )


def test_a_masked_report_has_no_names_at_all():
    found = from_message(treated([REPORT], Treatment.MASK, None).records[0])
    assert isinstance(found, r.Report)
    assert (found.device_id, found.message_id, found.bed, found.texts) == ("", "", "", ())
    assert (found.codes, found.values) == (REPORT.codes, REPORT.values)


def test_the_others_keep_what_is_no_name():
    alarm_, status, item, told, order, gap, cabinet, stay, clock, link = map(
        from_message, treated(RECORDS[1:], Treatment.PSEUDONYMISE).records
    )
    assert isinstance(alarm_, r.Alarm)
    assert (alarm_.alarm_id, alarm_.text) == (NAMES.name("alarm-1"), "")
    assert (alarm_.priority, alarm_.condition, alarm_.values) == (3, "hr_high", (181.0,))
    assert isinstance(status, r.DeviceStatus)
    assert (status.firmware, status.battery_percent, status.detail) == ("", 40.0, "")
    assert isinstance(item, r.InventoryEvent)
    assert (item.epc, item.place, item.badge) == (NAMES.name("EPC-secret"), "", "")
    assert item.action is r.InventoryAction.MOVED
    assert isinstance(told, r.AlarmNotification)
    assert (told.alarm_id, told.by, told.outlet, told.ward) == (alarm_.alarm_id, "", "", "")
    assert (told.action, told.n) == (r.NotificationAction.ACKNOWLEDGED, 2)
    assert isinstance(clock, r.GatewayClock)
    assert (clock.reference, clock.error_us, clock.source) == ("", 900, "chrony")
    assert isinstance(link, r.LinkState)
    assert (link.device_id, link.cause, link.network_us) == (clock.device_id, "cell", NOW_US - 9)
    assert (link.cell, link.zones) == ("", ())  # places
    assert (link.rsrp_dbm, link.rsrq_db, link.sinr_db) == (-96.0, None, 10.5)
    assert isinstance(order, r.InfusionOrder)
    assert (order.order_id, order.drug, order.rate_ml_h) == (NAMES.name("order-secret"), "", 13.3)
    assert (order.volume_ml, order.action) == (None, r.InfusionOrderAction.ORDERED)
    assert isinstance(gap, r.Gap)
    assert (gap.device_id, gap.reports) == (NAMES.name(DEVICE), 3)
    assert isinstance(stay, r.AssociationChange)
    assert (stay.patient_id, stay.ward, stay.bed) == (NAMES.name("patient-secret"), "", "")
    assert (stay.from_us, stay.to_us, stay.state, stay.cause) == (NOW_US - 9, NOW_US, 1, "admit")
    assert (item.session, item.reason) == (NAMES.name("session-secret"), "outage")
    assert (item.lot, item.expiry) == ("lot-7", "2027-03-31")
    assert isinstance(cabinet, r.CabinetEvent)
    assert cabinet.session == item.session
    assert (cabinet.verdict, cabinet.closed_us) == (r.AccessVerdict.ONE_PERSON, NOW_US - 2)


def test_masked_items_can_not_be_told_apart():
    item = from_message(treated([ITEM], Treatment.MASK, None).records[0])
    assert isinstance(item, r.InventoryEvent)
    assert (item.epc, item.session, item.lot, item.expiry) == ("", "", "", "")
    assert item.action is r.InventoryAction.MOVED


def test_an_alarm_points_to_its_report_under_both_new_names():
    cause = ingest.report(1, DEVICE)
    found, report = map(
        from_message, treated([alarm(1, DEVICE), cause], Treatment.PSEUDONYMISE).records
    )
    assert isinstance(found, r.Alarm)
    assert isinstance(report, r.Report)
    assert (found.device_id, found.message_id) == (report.device_id, report.message_id)
    assert found.message_id


def test_names_differ_by_secret_destination_and_project():
    made = {
        Pseudonyms(secret, destination, project).name(DEVICE)
        for secret in (SECRET, b"t" * 32)
        for destination in ("vendor", "other")
        for project in ("", "trial")
    }
    assert len(made) == 8
    # "a" + "bc" is another scope than "ab" + "c".
    assert Pseudonyms(SECRET, "a", "bc").name("x") != Pseudonyms(SECRET, "ab", "c").name("x")


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=60)
def test_equal_ids_stay_equal_and_different_ones_different(device, message, other, other_message):
    same = NAMES.message_id(device, message) == NAMES.message_id(other, other_message)
    assert same == ((device, message) == (other, other_message) or not (message or other_message))
    assert (NAMES.name(device) == NAMES.name(other)) == (device == other)


def test_the_same_number_of_two_devices_gets_two_pseudonyms():
    assert NAMES.message_id("a", "1:1") != NAMES.message_id("b", "1:1")


def test_an_empty_name_stays_empty():
    assert (NAMES.name(""), NAMES.message_id("d", "")) == ("", "")


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonyms(b"short", "vendor", "")


def test_a_full_cache_of_names_starts_anew(monkeypatch):
    monkeypatch.setattr("security.pseudonyms.NAMES_CACHED_MAX", 2)
    names = Pseudonyms(SECRET, "vendor", "")
    first = names.name("a")
    for other in "bcdef":
        names.name(other)
    assert len(names._names) <= 2
    assert names.name("a") == first


def test_a_field_from_a_newer_contract_is_dropped():
    raw = bytearray(section(5, [REPORT]))
    unknown = b"\xfa\x3f\x06secret"  # field 1023 of the section, length-delimited
    left = treat(bytes(raw) + unknown, Treatment.PSEUDONYMISE, NAMES)
    assert b"secret" in unknown
    assert b"secret" not in left


@pytest.mark.parametrize("treatment", [Treatment.PASS, Treatment.AGGREGATE, Treatment.WITHHOLD])
def test_other_treatments_are_not_made_here(treatment):
    with pytest.raises(ValueError, match="section"):
        treat(section(1, [REPORT]), treatment, NAMES)


@pytest.mark.parametrize("garbage", [b"\xff\xff", b"\x3a\x00"])
def test_garbage_is_refused(garbage):
    with pytest.raises(MalformedError):
        treat(garbage, Treatment.MASK, None)
