"""The hospital edits labels in a file: what it may say, and what records get by it."""

from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import terms
from gateway.domain.devices import Device
from gateway.domain.errors import ConfigError
from gateway.domain.labels import LEVELS, DataClass, Label
from gateway.domain.ports import Submission
from gateway.domain.records import (
    Alarm,
    AlarmKind,
    AlarmPhase,
    AlarmPriority,
    AlarmSource,
    AssociationChange,
    AssociationState,
    AssociationSubject,
    Attestation,
    CabinetEvent,
    CabinetEventKind,
    DeviceState,
    DeviceStatus,
    Enumeration,
    Gap,
    InfusionOrder,
    InfusionOrderAction,
    InventoryAction,
    InventoryEvent,
    LinkState,
    Provenance,
    Report,
    Text,
)
from gateway.notices import Notices
from gateway.pipeline import classification, listing, plan
from gateway.pipeline.classification import DEFAULTS, ClassificationTable
from gateway.pipeline.label import DEFAULT_LABELS, Labels
from gateway.pipeline.members import deciding, members
from tests.fakes import FakeClock
from tests.unit.pipeline.support import Bench

STATUS = DataClass.HEALTH_STATUS
THERE = Provenance("serial", Attestation.PORT, "/dev/ttyS0")
DEVICES = {
    "m-1": Device("m-1", "monitor", "psychiatry"),
    "m-2": Device("m-2", "monitor", "icu"),
    "m-3": Device("m-3"),
}


@pytest.fixture
def told(tmp_path):
    def write(text):
        file = tmp_path / "classification.toml"
        file.write_text(text)
        return classification.compiled(classification.read(ClassificationTable(file)))

    return write


@pytest.fixture
def labels(told):
    return lambda text: Labels(told(text), DEVICES.get)


def report(**given):
    fields = {"device_id": "m-2", "codes": (terms.HEART_RATE,), "values": (70.0,)} | given
    return Report(kind="vitals", provenance=THERE, received_us=1, **fields)


def label_of(labels, record):
    return labels.of_report(record, labels.of_codes(record.codes))


def test_without_a_file_nothing_is_edited_and_no_record_is_looked_at():
    source = classification.read(ClassificationTable())
    assert classification.compiled(source) is DEFAULTS
    assert not DEFAULT_LABELS.associates


def test_a_metric_is_edited_by_refid_or_code_and_keeps_what_is_not_said(told):
    now = told('[metrics]\nMDC_TEMP = { level = 5 }\n"424242" = { class = "health_status" }\n')
    assert now.metric(terms.TEMPERATURE) == Label(STATUS, 5)
    assert now.metric(424242) == Label(STATUS, 4)
    assert now.metric(terms.HEART_RATE) == Label(STATUS, 3)
    assert now.version != told("[free_text]\nlevel = 5\n").version != DEFAULTS.version


REFUSED = {
    "MDC_TEPM: no metric has this REFID": "[metrics]\nMDC_TEPM = { level = 3 }",
    "metrics.0: no metric": '[metrics]\n"0" = { level = 3 }',
    "metrics.4294967296: no metric": '[metrics]\n"4294967296" = { level = 3 }',
    "named twice": '[metrics]\nMDC_TEMP = { level = 3 }\n"150344" = { level = 4 }',
    "<= 5": "[metrics]\nMDC_TEMP = { level = 6 }",
    ">= 1": "[wards]\nicu = { level = 0 }",
    "health_staus": '[metrics]\nMDC_TEMP = { class = "health_staus" }',
    "`leve`": "[free_text]\nleve = 5",
    "`ward`": "[ward]\nicu = { level = 5 }",
    "missing required field `level`": '[wards]\nicu = { class = "health_status" }',
    "missing required field `devices`": "[tags.hiv]\nlevel = 5",
    "not TOML": "[metrics",
    "longer than": "#" * (classification.FILE_BYTES_MAX + 1),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_does_not_exist_is_refused_by_name(told, why):
    with pytest.raises(ConfigError, match=why):
        told(REFUSED[why])


def test_too_many_tagged_devices_are_refused(told, monkeypatch):
    monkeypatch.setattr(classification, "DEVICES_MAX", 2)
    told('[tags.x]\nlevel = 5\ndevices = ["a", "b"]')
    with pytest.raises(ConfigError, match="more than 2 devices"):
        told('[tags.x]\nlevel = 5\ndevices = ["a"]\n[tags.y]\nlevel = 5\ndevices = ["b", "c"]')


def test_a_missing_file_is_told_by_its_name(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        classification.read(ClassificationTable(tmp_path / "gone.toml"))


def test_a_wards_label_is_a_member_of_every_record_of_its_devices(labels):
    by = labels("[wards]\npsychiatry = { level = 5 }\nicu = { level = 2 }\n")
    assert by.associates
    assert label_of(by, report(device_id="m-1")) == Label(STATUS, 5)
    assert label_of(by, report(device_id="m-2")) == Label(STATUS, 3)
    assert by.of_other(Gap("link_lost", "m-1")).level == 5
    assert by.of_other(Gap("journal_damaged")).level == 2
    status = DeviceStatus("m-1", "m", THERE, 1, DeviceState.ONLINE, "connected")
    assert by.of_other(status) == Label(STATUS, 5)


def test_a_device_whose_ward_is_unknown_may_be_in_any_of_them(labels):
    text = "[wards]\npsychiatry = { level = 5 }\n"
    for device_id in ("m-3", "stranger"):
        assert label_of(labels(text), report(device_id=device_id)).level == 5
        said = labels(f"{text}[unknown_ward]\nlevel = 3\n")
        assert label_of(said, report(device_id=device_id)).level == 3


def test_the_gateway_itself_lies_in_no_ward(told):
    by = Labels(told("[wards]\npsychiatry = { level = 5 }\n"), DEVICES.get, "gw-1")
    sink: list[Submission] = []
    notices = Notices("gw-1", SimpleNamespace(submit=sink.append), FakeClock())
    notices.occurrence("journal_restored", "The journal was restored")
    notices.suspicion(DEVICES["m-3"], "clone", "mqtt")
    records = [record for submission in sink for record in submission.records]
    own, _, others, _ = (record for record in records if isinstance(record, Alarm))
    assert (by.of_alarm(own).level, by.of_alarm(others).level) == (3, 5)
    assert [max(m.label.level for m in members(each, by)) for each in (own, others)] == [3, 5]
    claimed = msgspec.structs.replace(own, provenance=THERE)
    assert by.of_alarm(claimed).level == 5


def test_kinds_and_tags_of_devices_add_too(labels):
    by = labels(
        '[device_kinds]\nmonitor = { level = 4, class = "public_health" }\n'
        "[unknown_device_kind]\nlevel = 1\n"
        '[tags.hiv]\nlevel = 5\ndevices = ["m-3"]\n[tags.loan]\nlevel = 2\ndevices = ["m-3"]\n'
    )
    assert label_of(by, report()) == Label(DataClass.PUBLIC_HEALTH, 4)
    assert label_of(by, report(device_id="m-3")) == Label(STATUS, 5)
    assert label_of(by, report(device_id="stranger")) == Label(STATUS, 3)


def test_a_place_and_an_address_count_where_they_are(labels):
    by = labels("[device_ids]\nlevel = 1\n[addresses]\nlevel = 4\n[places]\nlevel = 5\n")
    battery = {"codes": (terms.BATTERY,), "values": (50.0,)}
    assert label_of(by, report(**battery)).level == 4
    assert label_of(by, report(bed="3", **battery)).level == 5
    known = msgspec.structs.replace(
        report(**battery), provenance=Provenance("mqtt", Attestation.CERTIFICATE)
    )
    assert label_of(by, known).level == 2


def test_free_text_identifies_whatever_its_metric(labels):
    by = labels("[metrics]\nMDC_ATTR_VAL_BATT_CHARGE = { level = 1 }\n[device_ids]\nlevel = 1\n")
    assert label_of(by, report(codes=(), values=(), texts=(Text(terms.BATTERY, "x"),))).level == 4


def test_the_intake_labels_by_it_and_follows_a_change(told):
    bench = Bench()
    bench.submit(bench.vitals({terms.HEART_RATE: 70.0}))
    now = told("[metrics]\nMDC_ECG_HEART_RATE = { level = 5 }\n")
    bench.intake.classify(Labels(now))
    assert bench.intake.classification is now
    bench.submit(bench.vitals({terms.HEART_RATE: 190.0}))
    bench.wait(5.0)
    assert [item.label.level for item in bench.committer.telemetry] == [3, 5]
    assert {item.label.level for item in bench.committer.alarms} == {5}


def test_a_plan_is_made_once_per_combination(told, monkeypatch):
    made = []

    def compile_plan(*given):
        made.append(given)
        return compiled(*given)

    monkeypatch.setattr(plan, "compile_plan", compile_plan)
    bench = Bench()
    bench.intake.classify(Labels(told("[metrics]\nMDC_TEMP = { level = 5 }\n")))
    for _ in range(100):
        bench.submit(bench.vitals({terms.HEART_RATE: 70.0, terms.SPO2: 98.0}))
        bench.submit(bench.vitals({terms.TEMPERATURE: 37.0}))
    assert len(made) == 2


compiled = plan.compile_plan

CODES = st.sampled_from([terms.HEART_RATE, terms.BATTERY, terms.DRUG_NAME, 424242])
LEVEL = st.sampled_from(LEVELS)
NAMES = st.sampled_from(["m-1", "m-2", "m-3", "stranger"])
WORD = st.sampled_from(["", "x"])
FROM = st.builds(
    Provenance, st.just("d"), st.just(Attestation.PORT), st.sampled_from(["", "/dev/tty"])
)
ANY = st.builds(Label, st.just(STATUS), LEVEL)
EDITED = st.builds(
    DEFAULTS._replace,
    free_text=ANY,
    own_words=ANY,
    badges=ANY,
    device_ids=ANY,
    addresses=ANY,
    places=ANY,
    patients=ANY,
    associations=ANY,
    metrics=st.dictionaries(CODES, st.builds(Label, st.sampled_from(DataClass), LEVEL)),
    wards=st.dictionaries(st.sampled_from(["psychiatry", "icu"]), ANY),
    unknown_ward=st.none() | ANY,
    device_kinds=st.dictionaries(st.just("monitor"), ANY),
    tagged=st.dictionaries(NAMES, ANY),
)
RECORDS = st.one_of(
    st.builds(
        Report,
        device_id=NAMES,
        kind=st.just("k"),
        provenance=FROM,
        received_us=st.just(1),
        codes=st.lists(CODES, max_size=3).map(tuple),
        bed=WORD,
        enumerations=st.lists(
            st.builds(Enumeration, CODES, st.just(0), st.just("n")), max_size=1
        ).map(tuple),
        texts=st.lists(st.builds(Text, CODES, st.just("t")), max_size=1).map(tuple),
        ward=st.sampled_from(["", "psychiatry"]),
        patient_id=WORD,
        association_id=WORD,
    ),
    st.builds(
        Alarm,
        alarm_id=st.just("a"),
        device_id=NAMES,
        provenance=FROM,
        priority=st.just(AlarmPriority.LOW),
        phase=st.just(AlarmPhase.START),
        kind=st.just(AlarmKind.TECHNICAL),
        source=st.sampled_from(AlarmSource),
        code=st.just(1),
        condition=st.just("c"),
        text=st.just("t"),
        onset_us=st.just(1),
        at_us=st.just(1),
        bed=WORD,
        codes=st.lists(CODES, max_size=2).map(tuple),
        ward=st.sampled_from(["", "psychiatry"]),
        patient_id=WORD,
        association_id=WORD,
    ),
    st.builds(
        DeviceStatus,
        device_id=NAMES,
        kind=st.just("k"),
        provenance=FROM,
        received_us=st.just(1),
        state=st.just(DeviceState.ONLINE),
        reason=st.just("r"),
        detail=WORD,
    ),
    st.builds(
        InventoryEvent,
        device_id=NAMES,
        provenance=FROM,
        received_us=st.just(1),
        action=st.just(InventoryAction.MOVED),
        epc=st.just("E"),
        place=st.just("p"),
        badge=WORD,
    ),
    st.builds(
        InfusionOrder,
        device_id=NAMES,
        provenance=FROM,
        received_us=st.just(1),
        action=st.just(InfusionOrderAction.ORDERED),
        order_id=st.just("o"),
        bed=WORD,
    ),
    st.builds(
        CabinetEvent,
        device_id=NAMES,
        provenance=FROM,
        received_us=st.just(1),
        kind=st.sampled_from(CabinetEventKind),
        badges=st.lists(WORD, max_size=2).map(lambda words: tuple(filter(None, words))),
        reason=WORD,
    ),
    st.builds(
        LinkState,
        device_id=NAMES,
        provenance=FROM,
        at_us=st.just(1),
        cause=st.just("cell"),
        cell=WORD,
        zones=st.lists(WORD, max_size=2).map(lambda words: tuple(filter(None, words))),
    ),
    st.builds(Gap, reason=st.just("r"), device_id=st.sampled_from(["", "m-1", "stranger"])),
    st.builds(
        AssociationChange,
        association_id=WORD,
        subject=st.sampled_from(AssociationSubject),
        provenance=FROM,
        device_id=st.sampled_from(["", "m-1", "stranger"]),
        ward=st.sampled_from(["", "psychiatry", "icu"]),
        bed=WORD,
        patient_id=WORD,
        from_us=st.just(1),
        to_us=st.just(2),
        state=st.just(AssociationState.CURRENT),
        reason=st.just(""),
        cause=st.just("admit"),
        revision=st.just(1),
        at_us=st.just(1),
    ),
)


@given(told=EDITED, record=RECORDS)
def test_the_way_that_is_quick_and_the_one_that_is_told_agree(told, record):
    by = Labels(told, DEVICES.get)
    if isinstance(record, Report):
        quick = label_of(by, record)
        numbers_alone = not (record.enumerations or record.texts)
        numbers_alone &= not (record.patient_id or record.association_id)
        if numbers_alone and not by.associates:
            assert by.of_codes(record.codes) == quick
    elif isinstance(record, Alarm):
        quick = by.of_alarm(record)
    else:
        quick = by.of_other(record)
    found = members(record, by)
    assert {member.label for member in deciding(found)} == {quick}
    assert all(member.label.level <= quick.level for member in found)


# The list


def test_each_label_is_listed_with_the_line_that_set_it(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text(
        "# our labels\n"
        "\n"
        "[metrics]\n"
        "MDC_TEMP.level = 5\n"
        '"147842" = { level = 2 }  # heart rate\n'
        "[tags.hiv]\n"
        "level = 5\n"
        "devices = [\n"
        '  "a",\n'
        '  "[b]",\n'
        "]\n"
        "[wards]\n"
        "icu = { level = 3 }\n"
    )
    source = classification.read(ClassificationTable(file))
    rows = listing.rows(source, classification.compiled(source))
    found = {(row.what, row.name): row for row in rows}
    assert found["metric", "MDC_TEMP"].line == 4
    assert not found["metric", "MDC_TEMP"].lowered
    assert found["metric", "MDC_ECG_HEART_RATE"].line == 5
    assert found["metric", "MDC_ECG_HEART_RATE"].lowered
    assert found["tag", "hiv"].line == 6
    assert found["ward", "icu"].line == 13
    assert found["ward", "(unknown)"].label.level == 3
    assert found["content", "free text"].line == 0
    assert {row.name for row in rows if row.what == "metric"} == {
        row.refid for row in terms.METRICS.values()
    }


KEYS = st.text("abcxyz", min_size=1, max_size=4)
VALUES = st.sampled_from(
    ["1", '"#]"', "[\n1,\n# x\n2\n]", '"""\n]\nx = 1\n"""', "{ level = 3 }", "[[1],\n[2]]"]
)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), max_size=4))
def test_lines_are_found_in_any_document(tables):
    lines, expected = [], {}
    for name, entries in tables.items():
        lines += ["# a comment", f"[{name}]"]
        for key, value in entries.items():
            expected[name, key] = len(lines) + 1
            lines += f"{key} = {value}".split("\n")
    found = listing.lines_of("\n".join(lines).encode())
    assert {path: line for path, line in found.items() if len(path) == 2} == expected
