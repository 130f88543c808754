"""Payloads of whichever transport -> records, and what a fault of ours costs."""

from __future__ import annotations

import contextlib
import logging

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bedside.reading import read
from gateway.domain.devices import Device
from gateway.domain.errors import MalformedError
from gateway.domain.records import Attestation, Provenance, Report

DEVICE = Device("monitor-1", bed="3A-07")
BROKER = Provenance("mqtt_broker", Attestation.BROKER, "broker.example:8883")


@pytest.mark.parametrize("payload", [b'{"v":1,"hr":72}', b' {"v":1,"hr":72}'])
def test_json(payload: bytes) -> None:
    (report,) = read("vitals", payload, DEVICE, BROKER, 5)
    assert isinstance(report, Report)
    assert (report.device_id, report.bed, report.received_us) == ("monitor-1", "3A-07", 5)
    assert report.provenance is BROKER


def test_cbor_is_told_by_its_first_byte() -> None:
    (report,) = read("vitals", cbor2.dumps({"v": 1, "hr": 72}), DEVICE, BROKER, 5)
    assert isinstance(report, Report)
    assert report.values == (72.0,)


def test_what_is_said_of_the_form_counts() -> None:
    for payload, cbor in ((b'{"v":1}', True), (cbor2.dumps({"v": 1}), False)):
        with pytest.raises(MalformedError):
            read("vitals", payload, DEVICE, BROKER, 5, cbor)


@given(st.binary(max_size=64))
def test_garbage_gives_the_typed_error(payload: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert read("vitals", payload, DEVICE, BROKER, 5)


def test_a_fault_of_ours_is_typed_and_says_nothing_of_the_payload(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("drivers.bedside.reading.to_records", lambda *_: int("secret"))
    with caplog.at_level(logging.ERROR), pytest.raises(MalformedError) as caught:
        read("vitals", b'{"v":1}', DEVICE, BROKER, 5)
    assert caught.value.reason == "fault"
    assert "ValueError" in caplog.text
    assert "drivers/bedside/reading.py" in caplog.text
    assert "invalid literal" not in caplog.text
