"""Audit messages: the structure of DICOM PS3.15, A.5.1, for every event and any words."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.audit import atna
from security.audit.atna import HOUSEKEEPING, KINDS, document, frame, message

# Element: its attributes (a pattern each; ? may be absent), and its children in order (* any
# number, ? at most one). As the RELAX NG schema of A.5.1 has them, without what only images need.
CODED = {
    "csd-code": r"\S+( \S+)*",
    "codeSystemName": r"\S+",
    "originalText": r"\S+( \S+)*",
    "displayName?": ".+",
}
PARTS = "EventIdentification ActiveParticipant+ AuditSourceIdentification"
SCHEMA: dict[str, tuple[dict[str, str], str]] = {
    "AuditMessage": (
        {},
        f"{PARTS} ParticipantObjectIdentification*",
    ),
    "EventIdentification": (
        {
            "EventActionCode?": "[CRUDE]",
            "EventDateTime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
            "EventOutcomeIndicator": "0|4|8|12",
        },
        "EventID EventTypeCode* EventOutcomeDescription?",
    ),
    "ActiveParticipant": (
        {
            "UserID": ".*",
            "AlternativeUserID?": ".*",
            "UserName?": ".*",
            "UserIsRequestor": "true|false",
            "NetworkAccessPointID?": r"\S+",
            "NetworkAccessPointTypeCode?": "[1-5]",
        },
        "RoleIDCode* MediaIdentifier?",
    ),
    "AuditSourceIdentification": (
        {"AuditEnterpriseSiteID?": ".+", "AuditSourceID": ".+"},
        "AuditSourceTypeCode*",
    ),
    "ParticipantObjectIdentification": (
        {
            "ParticipantObjectID": r"\S+",
            "ParticipantObjectTypeCode?": "[1-4]",
            "ParticipantObjectTypeCodeRole?": r"\d+",
            "ParticipantObjectDataLifeCycle?": r"[1-9]|1[0-5]",
            "ParticipantObjectSensitivity?": r"\S+",
        },
        "ParticipantObjectIDTypeCode ParticipantObjectName ParticipantObjectDetail*",
    ),
    "ParticipantObjectDetail": ({"type": r"\S+", "value": r"[A-Za-z0-9+/]*={0,2}"}, ""),
    "ParticipantObjectName": ({}, ""),
    **dict.fromkeys(
        ("EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode"), (CODED, "")
    ),
}


def check(element):
    """Raise AssertionError where it is not what the schema allows."""
    attributes, children = SCHEMA[element.tag]
    known = {name.rstrip("?"): pattern for name, pattern in attributes.items()}
    assert set(element.attrib) <= set(known), element.tag
    for name in attributes:
        if not name.endswith("?"):
            assert name in element.attrib, f"{element.tag} lacks {name}"
    for name, value in element.attrib.items():
        assert re.fullmatch(known[name], value, re.DOTALL), f"{element.tag} {name}={value!r}"
    pattern = "".join(
        f"({each.rstrip('+*?')} ){each[len(each.rstrip('+*?')) :]}" for each in children.split()
    )
    assert re.fullmatch(pattern, "".join(f"{each.tag} " for each in element)), element.tag
    for each in element:
        check(each)


ENTRY: dict[str, str | int] = {"n": 7, "us": 1_790_000_000_123_456}


@pytest.mark.parametrize("event", [*KINDS, "device_added"])
def test_every_event_is_a_message(event):
    fields = {
        **ENTRY,
        "event": event,
        "destination": "core",
        "device": "mon-1",
        "peer": "10.1.2.3:55",
        "level": 4,
        "treatment": "mask",
    }
    root = ET.fromstring(document(fields, "gateway/edge-1", "ab"))
    check(root)
    types = [each.get("csd-code") for each in root.iter("EventTypeCode")]
    assert types[-1] == event
    details = {
        each.get("type"): base64.b64decode(each.get("value") or "").decode()
        for each in root.iter("ParticipantObjectDetail")
    }
    assert details == {key: str(value) for key, value in fields.items()}


def test_a_release_says_from_whom_to_whom_and_how_sensitive():
    fields = {**ENTRY, "event": "released", "destination": "vendor", "level": 3}
    root = ET.fromstring(document({**fields, "treatment": "pseudonymise"}, "gateway/edge-1", "ab"))
    check(root)
    event = root.find("EventIdentification/EventID")
    assert event is not None
    assert event.get("csd-code") == "110106"
    roles = {
        participant.get("UserID"): [role.get("csd-code") for role in participant]
        for participant in root.iter("ActiveParticipant")
    }
    assert roles == {"gateway/edge-1": ["110153"], "vendor": ["110152"]}
    entry = root.find("ParticipantObjectIdentification")
    assert entry is not None
    assert (entry.get("ParticipantObjectID"), entry.get("ParticipantObjectSensitivity")) == (
        "ab/7",
        "3",
    )
    assert entry.get("ParticipantObjectDataLifeCycle") == "7"


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"event": "policy", "result": "in force"}, "0"),
        ({"event": "policy", "result": "refused"}, "4"),
        ({"event": "refused"}, "4"),
        ({"event": "damaged"}, "12"),
        ({"event": "dropped", "early": 0}, "0"),
        ({"event": "dropped", "early": 2}, "4"),
    ],
)
def test_failures_are_failures(fields, outcome):
    root = ET.fromstring(document({**ENTRY, **fields}, "fleet", "ab"))
    told = root.find("EventIdentification")
    assert told is not None
    assert told.get("EventOutcomeIndicator") == outcome
    assert message({**ENTRY, **fields}, "fleet", "ab").startswith(
        b"<85>1 " if outcome == "0" else b"<84>1 "
    )


@given(st.dictionaries(st.sampled_from(["by", "device", "peer", "reason"]), st.text(), max_size=4))
def test_any_words_make_a_good_message(words):
    fields = {**ENTRY, "event": "refused", **words}
    whole = message(fields, "gateway/edge-1", "ab")
    header, bom, body = whole.partition(b"\xef\xbb\xbf")
    assert bom
    assert re.fullmatch(
        rb"<8[45]>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z edge-1 wardgate - DICOM\+RFC3881"
        rb' \[meta sequenceId="7"\] ',
        header,
    )
    assert b"\n" not in header
    root = ET.fromstring(body)
    for element in root.iter():
        assert set(element.attrib) <= {name.rstrip("?") for name in SCHEMA[element.tag][0]}
    assert frame(whole) == f"{len(whole)} ".encode() + whole


def test_the_sequence_wraps_where_the_standard_says():
    fields: dict[str, str | int] = {**ENTRY, "event": "refused", "n": atna.SEQUENCE_MAX + 1}
    assert b'sequenceId="1"' in message(fields, "x", "ab")
    assert not HOUSEKEEPING & set(KINDS)


def test_every_event_of_the_table_is_one_that_somebody_records():
    root = Path(__file__).parents[3]
    sources = [
        path.read_text()
        for part in ("core", "fleet", "gateway", "security")
        for path in (root / part).rglob("*.py")
        if path.name != "atna.py"
    ]
    assert [kind for kind in KINDS if not any(f'"{kind}"' in text for text in sources)] == []
