"""A real reader's payloads against EdgeX's reading of them, and the LTK's frames, both ways."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from llrpkit.protocol import LLRPMessage, messages

from drivers.base.dialogue import Moment
from drivers.llrp import codec
from drivers.llrp.codec import Damage, Decoder
from drivers.llrp.interview import Interview
from drivers.llrp.mapping import Mapper
from drivers.llrp.session import Input, State
from drivers.llrp.settings import ReaderSettings
from gateway.domain.tags import ReaderClock
from tests.unit.llrp.edgex import compare
from tests.unit.llrp.scene import PROVENANCE

_ROOT = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("WARDGATE_SHARED", _ROOT.parent / "shared")) / "captures/llrp"
needs_captures = pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs captures/llrp beside the checkout (WARDGATE_SHARED)"
)
pytestmark = [pytest.mark.shared, needs_captures]

EDGEX = SHARED / "edgex"
LTK = SHARED / "ltk"
PAYLOADS: dict[str, type[LLRPMessage]] = {
    "CloseConnectionResponse-000": messages.CLOSE_CONNECTION_RESPONSE,
    "GetAccessSpecsResponse-000": messages.GET_ACCESSSPECS_RESPONSE,
    "GetROSpecsResponse-000": messages.GET_ROSPECS_RESPONSE,
    "GetReaderCapabilitiesResponse-000": messages.GET_READER_CAPABILITIES_RESPONSE,
    "GetReaderConfigResponse-000": messages.GET_READER_CONFIG_RESPONSE,
    "ReaderEventNotification-000": messages.READER_EVENT_NOTIFICATION,
    **{f"roAccessReports/ROAccessReport-00{n}": messages.RO_ACCESS_REPORT for n in range(1, 6)},
}
"""EdgeX keeps messages without their header -> what they are."""
LEAST = {"GetReaderCapabilitiesResponse-000": 300, "GetReaderConfigResponse-000": 80}
"""How many values are compared at least: a comparison that skips must not pass."""


def framed(name: str) -> bytes:
    payload = (EDGEX / f"{name}.bytes").read_bytes()
    head = (1 << 10 | PAYLOADS[name].MESSAGE_TYPE).to_bytes(2, "big")
    return head + (codec.HEADER_BYTES + len(payload)).to_bytes(4, "big") + bytes(4) + payload


@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_a_real_readers_payload_says_what_edgex_reads(name: str) -> None:
    frame = framed(name)
    message = codec.decode(frame)
    assert type(message) is PAYLOADS[name]
    theirs = json.loads((EDGEX / f"{name}.json").read_text())
    assert compare(message, theirs) >= LEAST.get(name, 1)
    assert message.to_bytes() == frame


def test_a_real_readers_report_becomes_reads() -> None:
    report = codec.decode(framed("roAccessReports/ROAccessReport-001"))
    assert isinstance(report, messages.RO_ACCESS_REPORT)
    (reads,) = Mapper("reader-1", PROVENANCE).reads(report, Moment(5.0, 1_594_174_805_150_192))
    assert reads.clock is ReaderClock.UTC
    (read,) = reads.reads
    assert read.epc == "3000ABCDEF00000000000003"
    assert (read.antenna, read.rssi_dbm, read.count) == (1, -48.0, 1)
    assert read.first_us == read.last_us == 1_594_174_805_140_192
    assert reads.placed_us(read.last_us) == 1_594_174_805_150_192


def test_a_real_reader_can_do_what_the_defaults_ask() -> None:
    interview = Interview(ReaderSettings(power_dbm=24.6, search_mode="dual_target"))
    said = codec.decode(framed("GetReaderCapabilitiesResponse-000"))
    answer = interview.answer(State.CAPABILITIES, said)
    assert answer is not None
    assert answer.meaning is Input.WANTED
    abilities = interview.abilities
    assert (abilities.antennas, abilities.inputs, abilities.firmware) == (4, 4, "5.14.0.240")
    assert abilities.holds
    assert abilities.impinj
    question = interview.question(State.ADDING)
    assert isinstance(question, messages.ADD_ROSPEC)
    (inventory,) = question.ro_spec.spec_parameters[0].inventory_parameter_specs  # type: ignore[union-attr]
    (antennas,) = inventory.antenna_configurations
    index = antennas.rf_transmitter.transmit_power  # type: ignore[union-attr]
    assert dict(abilities.powers)[index] == 2450  # its steps are of 0.25 dB
    said = codec.decode(framed("GetReaderConfigResponse-000"))
    assert interview.answer(State.CONFIGURATION, said) == (Input.ANSWERED, "")
    assert interview.antennas == {1: True, 2: False, 3: False, 4: False}
    assert not interview.was_holding


def ltk_frames() -> list[str]:
    if not LTK.exists():
        return []
    return sorted(str(each.relative_to(LTK)) for each in LTK.rglob("*.bin"))


@pytest.mark.parametrize("name", ltk_frames() or ["dx101_b.bin"])
def test_the_ltks_frames_are_the_same_both_ways(name: str) -> None:
    stream = (LTK / name).read_bytes()
    decoder = Decoder()
    found = [each for at in range(0, len(stream), 7) for each in decoder.feed(stream[at : at + 7])]
    assert decoder.pending() == 0
    said = [each for each in found if not isinstance(each, Damage)]
    assert len(said) == len(found)
    again = b"".join(
        codec.encode(each, each.message_id)
        if type(each) in codec.SAYABLE
        else each.to_bytes(each.message_id)
        for each in said
    )
    assert again == stream
    root = ET.fromstring((LTK / name).with_suffix(".xml").read_bytes())
    tags = [each.tag.rpartition("}")[2] for each in ([root] if len(said) == 1 else root)]
    names = [type(each).__name__ for each in said]
    for tag, ours in zip(tags, names, strict=True):
        # Another vendor's message is one of these, by any name.
        assert ours == tag or tag.startswith(("CUSTOM_MESSAGE", "IMPINJ_")), name
