from __future__ import annotations

import contextlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.mqtt_broker.mapping import FILTERS, read_report, read_topic
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import Attestation, Provenance, Report

DEVICE = Device("monitor-1", bed="3A-07")
BROKER = Provenance("mqtt_broker", Attestation.BROKER, "broker.example:8883")


def test_a_topic_names_the_device_and_the_kind() -> None:
    assert read_topic("devices/monitor-1/vitals") == ("monitor-1", "vitals")
    assert FILTERS == ("devices/+/vitals", "devices/+/drip", "devices/+/status")


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "devices",
        "devices/monitor-1",
        "devices//vitals",
        "devices/monitor-1/command",
        "devices/monitor-1/command/result",
        "devices/monitor-1/vitals/",
        "/devices/monitor-1/vitals",
        "things/monitor-1/vitals",
        f"devices/{'x' * 65}/vitals",
    ],
)
def test_other_topics_are_nobodys(topic: str) -> None:
    with pytest.raises(MalformedError):
        read_topic(topic)


@pytest.mark.parametrize("payload", [b'{"v":1,"hr":72}', b' {"v":1,"hr":72}'])
def test_json(payload: bytes) -> None:
    (report,) = read_report("vitals", payload, DEVICE, BROKER, 5)
    assert isinstance(report, Report)
    assert (report.device_id, report.bed, report.received_us) == ("monitor-1", "3A-07", 5)
    assert report.provenance is BROKER


def test_cbor_is_told_by_its_first_byte() -> None:
    (report,) = read_report("vitals", cbor2.dumps({"v": 1, "hr": 72}), DEVICE, BROKER, 5)
    assert isinstance(report, Report)
    assert report.values == (72.0,)


@given(st.binary(max_size=64))
def test_garbage_gives_the_typed_error(payload: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert read_report("vitals", payload, DEVICE, BROKER, 5)
