"""HL7 messages for tests, and what becomes of them."""

import os
from datetime import UTC
from pathlib import Path

import pytest

from drivers.hl7.codec import read_header
from drivers.hl7.mapping import Interpreted, Interpreter, Resolve, Whose
from gateway.domain.devices import Device
from gateway.domain.records import (
    AlarmChange,
    Attestation,
    DeviceAlarm,
    DeviceStatus,
    Provenance,
    Report,
)

_ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("WARDGATE_SHARED", _ROOT.parent / "shared")) / "captures/hl7_ihe_pcd"
needs_captures = pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs captures/hl7_ihe_pcd beside the checkout (WARDGATE_SHARED)"
)
RECEIVED_US = 1_790_000_000_000_000
OURS = Whose(Device("mon-1", "monitor", "icu", "7"), Provenance("hl7", Attestation.CERTIFICATE))


def msh(
    control_id="m-1",
    event="ORU^R01^ORU_R01",
    acks="AL|NE",
    application="mon-1",
    charset="UNICODE UTF-8",
    profile="IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO",
    processing="P",
    version="2.6",
):
    return (
        f"MSH|^~\\&|{application}|Maker|GW|Ward|20260901100000+0200||{event}|{control_id}"
        f"|{processing}|{version}|||{acks}||{charset}|||{profile}"
    )


OBR = "OBR|1||f-1|69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|||20260901095959"
MDS = "OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||mon-1"


def obx(
    what="147842^MDC_ECG_HEART_RATE^MDC",
    value="72",
    unit="264864^MDC_DIM_BEAT_PER_MIN^MDC",
    kind="NM",
    path="1.1.1.1",
    flags="",
    status="R",
    when="",
    equipment="",
    limits="",
):
    tail = f"{status}|||{when}||||{equipment}"
    return f"OBX|1|{kind}|{what}|{path}|{value}|{unit}|{limits}|{flags}|||{tail}"


def message(*rows: str, head: str = "", order: str = OBR, **more: str) -> bytes:
    """A message as it stands in its frame."""
    return ("\r".join((head or msh(**more), order, *rows)) + "\r").encode()


def interpret(
    content: bytes,
    whose: Resolve = lambda _: OURS,
    zone=UTC,
    step: int = 3,
) -> Interpreted:
    header, wrong = read_header(content)
    assert not wrong
    reading = Interpreter(content, header, zone)
    while not reading.step(step):
        pass
    return reading.finish(whose, RECEIVED_US)


def reports(done: Interpreted) -> list[Report]:
    return [each for each in done.records if isinstance(each, Report)]


def change(done: Interpreted) -> AlarmChange:
    (found,) = (each for each in done.records if isinstance(each, AlarmChange))
    return found


def alarm(done: Interpreted) -> DeviceAlarm:
    return change(done).alarm


def status(done: Interpreted) -> DeviceStatus:
    (found,) = (each for each in done.records if isinstance(each, DeviceStatus))
    return found
