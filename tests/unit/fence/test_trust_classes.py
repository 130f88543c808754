"""A trust class as the policy sees it: what devices at home say goes to the core, and to nobody."""

import pytest

from gateway.domain.devices import Device
from gateway.domain.labels import DataClass, DestinationInfo, Label, Treatment, Zone
from gateway.domain.terms import HEART_RATE
from gateway.pipeline import classification
from gateway.pipeline.label import Labels
from security.policy import compile_policy, default_policy
from tests.unit.pipeline.support import Bench

FILE = """
[device_kinds]
home-monitor = { level = 5 }

[unknown_device_kind]
level = 1
"""
RULE = """
@id("home-to-core") @doc("What devices at home say goes to the core, and nowhere else.")
permit (principal == Destination::"core", action == Action::"pass", resource)
when { resource.level == 5 };
"""
CORE = DestinationInfo("core", Zone.CAMPUS, "care", "hospital")
OTHERS = (
    DestinationInfo("dashboard", Zone.WARD, "care", "hospital"),
    DestinationInfo("research", Zone.CAMPUS, "research", "hospital"),
    DestinationInfo("group", Zone.GROUP, "care", "hospital"),
    DestinationInfo("vendor", Zone.PARTNER, "maintenance", "maker"),
    DestinationInfo("public", Zone.PUBLIC, "statistics", "city"),
)
DEVICES = {
    "home-1": Device("home-1", "home-monitor"),
    "bed-1": Device("bed-1", "monitor", "icu", "7"),
    "new-1": Device("new-1"),
}


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "classification.toml"
    path.write_text(FILE)
    source = classification.read(classification.ClassificationTable(path))
    return Labels(classification.compiled(source), DEVICES.get)


def rows():
    return compile_policy(default_policy() + RULE, [CORE, *OTHERS]).rows


def label_of(labels, device_id):
    said = Bench().report("vitals", {HEART_RATE: 70.0}, device_id=device_id)
    return labels.of_report(said, labels.of_codes(said.codes))


def test_what_a_device_at_home_says_goes_to_the_core_alone(labels):
    label = label_of(labels, "home-1")
    assert label.level == 5
    assert rows()["core"][label] is Treatment.PASS
    assert {rows()[each.name][label] for each in OTHERS} == {Treatment.WITHHOLD}


@pytest.mark.parametrize("device_id", ["bed-1", "new-1"])
def test_what_others_say_goes_where_it_did(labels, device_id):
    label = label_of(labels, device_id)
    assert label.level < 5
    before = compile_policy(default_policy(), [CORE, *OTHERS]).rows
    for name, row in rows().items():
        assert row[label] is before[name][label]
    assert rows()["dashboard"][label] is Treatment.PASS


def test_without_the_rule_it_goes_nowhere(labels):
    row = compile_policy(default_policy(), [CORE]).rows["core"]
    assert row[label_of(labels, "home-1")] is Treatment.WITHHOLD
    assert row[Label(DataClass.HEALTH_STATUS, 3)] is Treatment.PASS
