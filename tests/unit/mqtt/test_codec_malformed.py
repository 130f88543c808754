"""Every rule of the codec, in every version that has it, by at least one vector.

A vector is what the peer sends after the connection stands (CONNECT and CONNACK exchanged),
or, where it begins with ``!``, as the very first bytes. ``S`` vectors are read by a server,
``C`` vectors by a client. Bytes are hexadecimal, with ``'text'`` for ASCII.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from drivers.mqtt.codec import errors
from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.errors import RULES, Rule
from drivers.mqtt.codec.packets import Connack, Connect, Role, Version
from drivers.mqtt.codec.properties import Properties

SIZE_MAX = 1024
ALIAS_MAX = 4


class Case(NamedTuple):
    rule: Rule
    versions: str
    """``"4"``, ``"5"`` or ``"45"``."""
    side: str
    vector: str


_C4 = "! 10 {} 0004'MQTT'04"
_C5 = "! 10 {} 0004'MQTT'05"

CASES = [
    # Framing
    Case(errors.TYPE_RESERVED, "45", "S", "00 00"),
    Case(errors.TYPE_RESERVED, "45", "C", "00 00"),
    Case(errors.TYPE_RESERVED, "4", "S", "F0 00"),
    Case(errors.FLAGS_RESERVED, "45", "S", "C1 00"),
    Case(errors.FLAGS_RESERVED, "45", "S", "41 02 0001"),
    Case(errors.FLAGS_RESERVED, "45", "C", "D8 00"),
    Case(errors.FLAGS_RESERVED, "45", "S", "!11 00"),
    Case(errors.LENGTH_OVERLONG, "45", "S", "C0 80 00"),
    Case(errors.LENGTH_OVERLONG, "45", "S", "30 83 80 00 0001 'a'"),
    Case(errors.LENGTH_OVERLONG, "5", "S", "30 05 0001 'a' 80 00"),
    Case(errors.LENGTH_UNENDING, "45", "S", "30 FF FF FF FF"),
    Case(errors.LENGTH_UNENDING, "45", "S", "30 80 80 80 80 01"),
    Case(errors.PACKET_TOO_LARGE, "45", "S", "30 FE 07"),
    Case(errors.PACKET_TOO_LARGE, "45", "S", "30 FF FF FF 7F"),
    Case(errors.PACKET_TOO_LARGE, "45", "C", "30 FE 07"),
    Case(errors.TRUNCATED, "45", "S", "30 01 00"),
    Case(errors.TRUNCATED, "45", "S", "30 00"),
    Case(errors.TRUNCATED, "45", "S", "30 03 0002 'a'"),
    Case(errors.TRUNCATED, "45", "S", "32 04 0001 'a' 00"),
    Case(errors.TRUNCATED, "5", "S", "30 03 0001 'a'"),
    Case(errors.TRUNCATED, "5", "S", "30 05 0001 'a' 02 01"),
    Case(errors.TRUNCATED, "45", "S", "40 01 00"),
    Case(errors.TRUNCATED, "45", "S", "40 00"),
    Case(errors.TRUNCATED, "4", "S", "82 05 0001 0001 'a'"),
    Case(errors.TRUNCATED, "5", "S", "82 06 0001 00 0001 'a'"),
    Case(errors.TRUNCATED, "4", "S", _C4.format("0C") + "02 0000 0001"),
    Case(errors.TRUNCATED, "5", "S", _C5.format("0B") + "02 0000 05"),
    Case(errors.TRAILING, "45", "S", "C0 01 00"),
    Case(errors.TRAILING, "45", "C", "D0 01 00"),
    Case(errors.TRAILING, "4", "S", "40 03 0001 00"),
    Case(errors.TRAILING, "5", "S", "40 05 0001 00 00 00"),
    Case(errors.TRAILING, "4", "S", "E0 01 00"),
    Case(errors.TRAILING, "5", "S", "E0 03 00 00 00"),
    Case(errors.TRAILING, "4", "S", _C4.format("0E") + "02 0000 0001 'a' 00"),
    Case(errors.TRAILING, "4", "C", "B0 03 0001 00"),
    Case(errors.DIRECTION, "45", "S", "20 02 0000"),
    Case(errors.DIRECTION, "45", "S", "90 03 0001 00"),
    Case(errors.DIRECTION, "45", "S", "B0 02 0001"),
    Case(errors.DIRECTION, "45", "S", "D0 00"),
    Case(errors.DIRECTION, "45", "C", "10 00"),
    Case(errors.DIRECTION, "45", "C", "82 00"),
    Case(errors.DIRECTION, "45", "C", "A2 00"),
    Case(errors.DIRECTION, "45", "C", "C0 00"),
    Case(errors.DIRECTION, "4", "C", "E0 00"),
    # Data types: a lone continuation, a surrogate, overlong forms, beyond U+10FFFF, cut off
    Case(errors.STRING_UTF8, "45", "S", "30 05 0003 61 80 62"),
    Case(errors.STRING_UTF8, "45", "S", "30 05 0003 ED A0 80"),
    Case(errors.STRING_UTF8, "45", "S", "30 05 0003 ED BF BF"),
    Case(errors.STRING_UTF8, "45", "S", "30 04 0002 C0 80"),
    Case(errors.STRING_UTF8, "45", "S", "30 05 0003 E0 80 AF"),
    Case(errors.STRING_UTF8, "45", "S", "30 06 0004 F4 90 80 80"),
    Case(errors.STRING_UTF8, "45", "S", "30 04 0002 E2 82"),
    Case(errors.STRING_UTF8, "4", "S", "82 06 0001 0001 FF 00"),
    Case(errors.STRING_UTF8, "4", "S", "A2 05 0001 0001 FF"),
    Case(errors.STRING_UTF8, "5", "S", "A2 06 0001 00 0001 FF"),
    Case(errors.STRING_UTF8, "4", "S", _C4.format("0D") + "02 0000 0001 FF"),
    Case(errors.STRING_UTF8, "5", "S", _C5.format("0E") + "02 0000 00 0001 FF"),
    Case(errors.STRING_UTF8, "4", "S", _C4.format("12") + "06 0000 0001 'a' 0001 FF 0000"),
    Case(errors.STRING_UTF8, "5", "S", _C5.format("14") + "06 0000 00 0001 'a' 00 0001 FF 0000"),
    Case(errors.STRING_UTF8, "4", "S", _C4.format("10") + "82 0000 0001 'a' 0001 FF"),
    Case(errors.STRING_UTF8, "5", "S", "30 08 0001 'a' 04 03 0001 FF"),
    Case(errors.STRING_UTF8, "5", "S", "30 08 0001 'a' 04 08 0001 FF"),
    Case(errors.STRING_UTF8, "5", "S", "30 0B 0001 'a' 07 26 0001 'k' 0001 FF"),
    Case(errors.STRING_UTF8, "5", "S", "30 0B 0001 'a' 07 26 0001 FF 0001 'v'"),
    Case(errors.STRING_NUL, "45", "S", "30 05 0003 61 00 62"),
    Case(errors.STRING_NUL, "5", "S", "30 08 0001 'a' 04 03 0001 00"),
    Case(errors.STRING_NUL, "4", "S", "82 08 0001 0003 61 00 62 00"),
    Case(errors.PACKET_ID_ZERO, "45", "S", "32 05 0001 'a' 0000"),
    Case(errors.PACKET_ID_ZERO, "45", "S", "40 02 0000"),
    Case(errors.PACKET_ID_ZERO, "45", "S", "62 02 0000"),
    Case(errors.PACKET_ID_ZERO, "45", "S", "82 06 0000 0001 'a' 00"),
    Case(errors.PACKET_ID_ZERO, "45", "S", "A2 05 0000 0001 'a'"),
    Case(errors.PACKET_ID_ZERO, "45", "C", "90 03 0000 00"),
    Case(errors.TOPIC_WILDCARD, "45", "S", "30 03 0001 '+'"),
    Case(errors.TOPIC_WILDCARD, "45", "S", "30 05 0003 'a/#'"),
    Case(errors.TOPIC_WILDCARD, "4", "S", _C4.format("12") + "06 0000 0001 'a' 0001 '#' 0000"),
    Case(errors.TOPIC_EMPTY, "4", "S", "30 02 0000"),
    Case(errors.TOPIC_EMPTY, "5", "S", "30 03 0000 00"),
    Case(errors.TOPIC_EMPTY, "5", "S", "30 05 0000 02 01 00"),
    Case(errors.TOPIC_EMPTY, "4", "S", _C4.format("11") + "06 0000 0001 'a' 0000 0000"),
    Case(errors.FILTER_EMPTY, "4", "S", "82 05 0001 0000 00"),
    Case(errors.FILTER_EMPTY, "5", "S", "82 06 0001 00 0000 00"),
    Case(errors.FILTER_EMPTY, "4", "S", "A2 04 0001 0000"),
    *(
        Case(rule, version, "S", f"82 {head}{len(text) + 5 + extra:02x} 0001 {properties} {field}")
        for version, properties, extra, head in (("4", "", 0, ""), ("5", "00", 1, ""))
        for rule, text in (
            (errors.FILTER_MULTI_LEVEL, "a/#/b"),
            (errors.FILTER_MULTI_LEVEL, "a#"),
            (errors.FILTER_MULTI_LEVEL, "#a"),
            (errors.FILTER_MULTI_LEVEL, "##"),
            (errors.FILTER_SINGLE_LEVEL, "a+"),
            (errors.FILTER_SINGLE_LEVEL, "+a/b"),
            (errors.FILTER_SINGLE_LEVEL, "a/++"),
        )
        for field in (f"{len(text):04x} '{text}' 00",)
    ),
    Case(errors.SHARE_NAME_EMPTY, "5", "S", "82 0F 0001 00 0009 '$share//a' 00"),
    Case(errors.SHARE_NAME_INVALID, "5", "S", "82 0E 0001 00 0008 '$share/x' 00"),
    Case(errors.SHARE_NAME_INVALID, "5", "S", "82 0F 0001 00 0009 '$share/x/' 00"),
    Case(errors.SHARE_NAME_INVALID, "5", "S", "82 10 0001 00 000A '$share/+/a' 00"),
    Case(errors.SHARE_NAME_INVALID, "5", "S", "82 10 0001 00 000A '$share/#/a' 00"),
    # Properties
    Case(errors.PROPERTY_UNKNOWN, "5", "S", "30 05 0001 'a' 01 00"),
    Case(errors.PROPERTY_UNKNOWN, "5", "S", "30 06 0001 'a' 02 2B 00"),
    Case(errors.PROPERTY_UNKNOWN, "5", "S", "30 06 0001 'a' 02 81 01"),
    Case(errors.PROPERTY_MISPLACED, "5", "S", "30 09 0001 'a' 05 11 00000001"),
    Case(errors.PROPERTY_MISPLACED, "5", "S", "40 06 0001 00 02 01 00"),
    Case(errors.PROPERTY_MISPLACED, "5", "S", _C5.format("10") + "02 0000 02 01 00 0001 'a'"),
    Case(errors.PROPERTY_TWICE, "5", "S", "30 08 0001 'a' 04 01 00 01 00"),
    Case(errors.PROPERTY_TWICE, "5", "S", "82 0A 0001 04 0B 01 0B 02 0001 'a' 00"),
    Case(errors.PROPERTY_TWICE, "5", "S", "40 0C 0001 00 08 1F 0001 'a' 1F 0001 'a'"),
    Case(errors.PROPERTY_VALUE, "5", "S", "30 06 0001 'a' 02 01 02"),
    Case(errors.PROPERTY_VALUE, "5", "S", "82 08 0001 02 0B 00 0001 'a' 00"),
    Case(errors.PROPERTY_VALUE, "5", "S", _C5.format("11") + "02 0000 03 21 0000 0001 'a'"),
    Case(errors.PROPERTY_VALUE, "5", "S", _C5.format("13") + "02 0000 05 27 00000000 0001 'a'"),
    Case(errors.PROPERTY_VALUE, "5", "S", _C5.format("10") + "02 0000 02 17 02 0001 'a'"),
    Case(errors.PROPERTY_VALUE, "5", "S", _C5.format("10") + "02 0000 02 19 02 0001 'a'"),
    Case(errors.PROPERTY_VALUE, "5", "C", "! 20 05 00 00 02 24 02"),
    Case(errors.PROPERTY_VALUE, "5", "C", "! 20 05 00 00 02 25 02"),
    Case(errors.SUBSCRIPTION_ID_FROM_CLIENT, "5", "S", "30 06 0001 'a' 02 0B 01"),
    Case(errors.TOPIC_ALIAS_ZERO, "5", "S", "30 07 0001 'a' 03 23 0000"),
    Case(errors.TOPIC_ALIAS_TOO_HIGH, "5", "S", "30 07 0001 'a' 03 23 0005"),
    Case(errors.TOPIC_ALIAS_UNKNOWN, "5", "S", "30 06 0000 03 23 0004"),
    Case(errors.RESPONSE_TOPIC_WILDCARD, "5", "S", "30 08 0001 'a' 04 08 0001 '#'"),
    Case(
        errors.AUTH_DATA_WITHOUT_METHOD,
        "5",
        "S",
        _C5.format("12") + "02 0000 04 16 0001 00 0001 'a'",
    ),
    # CONNECT and CONNACK
    Case(errors.FIRST_NOT_CONNECT, "45", "S", "! 30 03 0001 'a'"),
    Case(errors.FIRST_NOT_CONNECT, "45", "S", "! C0 00"),
    Case(errors.FIRST_NOT_CONNECT, "45", "S", "! 20 02 0000"),
    Case(errors.SECOND_CONNECT, "4", "S", "10 0D 0004'MQTT'04 02 0000 0001 'a'"),
    Case(errors.SECOND_CONNECT, "5", "S", "10 0E 0004'MQTT'05 02 0000 00 0001 'a'"),
    Case(errors.PROTOCOL_NAME, "45", "S", "! 10 0F 0006'MQIsdp'03 02 0000 0001 'a'"),
    Case(errors.PROTOCOL_NAME, "45", "S", "! 10 0D 0004'mqtt'04 02 0000 0001 'a'"),
    Case(errors.PROTOCOL_VERSION, "4", "S", "! 10 0D 0004'MQTT'03 02 0000 0001 'a'"),
    Case(errors.PROTOCOL_VERSION, "5", "S", "! 10 0D 0004'MQTT'06 02 0000 0001 'a'"),
    Case(errors.CONNECT_FLAG_RESERVED, "4", "S", _C4.format("0D") + "03 0000 0001 'a'"),
    Case(errors.CONNECT_FLAG_RESERVED, "5", "S", _C5.format("0E") + "03 0000 00 0001 'a'"),
    Case(errors.WILL_QOS, "4", "S", _C4.format("12") + "1E 0000 0001 'a' 0001 'w' 0000"),
    Case(errors.WILL_QOS, "5", "S", _C5.format("14") + "1E 0000 00 0001 'a' 00 0001 'w' 0000"),
    Case(errors.WILL_QOS_WITHOUT_WILL, "4", "S", _C4.format("0D") + "0A 0000 0001 'a'"),
    Case(errors.WILL_QOS_WITHOUT_WILL, "5", "S", _C5.format("0E") + "0A 0000 00 0001 'a'"),
    Case(errors.WILL_RETAIN_WITHOUT_WILL, "4", "S", _C4.format("0D") + "22 0000 0001 'a'"),
    Case(errors.WILL_RETAIN_WITHOUT_WILL, "5", "S", _C5.format("0E") + "22 0000 00 0001 'a'"),
    Case(errors.PASSWORD_WITHOUT_USER, "4", "S", _C4.format("10") + "42 0000 0001 'a' 0001 'p'"),
    Case(errors.CLIENT_ID_EMPTY, "4", "S", _C4.format("0C") + "00 0000 0000"),
    Case(errors.FIRST_NOT_CONNACK, "45", "C", "! D0 00"),
    Case(errors.FIRST_NOT_CONNACK, "45", "C", "! 30 03 0001 'a'"),
    Case(errors.SECOND_CONNACK, "4", "C", "20 02 0000"),
    Case(errors.SECOND_CONNACK, "5", "C", "20 03 0000 00"),
    Case(errors.CONNACK_FLAGS, "4", "C", "! 20 02 0200"),
    Case(errors.CONNACK_FLAGS, "5", "C", "! 20 03 8000 00"),
    Case(errors.CONNACK_SESSION_PRESENT, "4", "C", "! 20 02 0105"),
    Case(errors.CONNACK_SESSION_PRESENT, "5", "C", "! 20 03 0187 00"),
    Case(errors.CONNACK_CODE, "4", "C", "! 20 02 0006"),
    Case(errors.CONNACK_CODE, "5", "C", "! 20 03 0001 00"),
    # PUBLISH and its acknowledgements
    Case(errors.PUBLISH_QOS, "45", "S", "36 05 0001 'a' 0001"),
    Case(errors.PUBLISH_QOS, "45", "S", "3E 05 0001 'a' 0001"),
    Case(errors.PUBLISH_QOS, "45", "C", "37 05 0001 'a' 0001"),
    Case(errors.PUBLISH_DUP, "45", "S", "38 03 0001 'a'"),
    Case(errors.PUBLISH_DUP, "45", "S", "39 03 0001 'a'"),
    Case(errors.PUBACK_CODE, "5", "S", "40 03 0001 01"),
    Case(errors.PUBREC_CODE, "5", "S", "50 03 0001 92"),
    Case(errors.PUBREL_FLAGS, "45", "S", "60 02 0001"),
    Case(errors.PUBREL_FLAGS, "45", "S", "63 02 0001"),
    Case(errors.PUBREL_CODE, "5", "S", "62 03 0001 80"),
    Case(errors.PUBCOMP_CODE, "5", "S", "70 03 0001 10"),
    # SUBSCRIBE and UNSUBSCRIBE
    Case(errors.SUBSCRIBE_FLAGS, "45", "S", "80 06 0001 0001 'a' 00"),
    Case(errors.SUBSCRIBE_EMPTY, "4", "S", "82 02 0001"),
    Case(errors.SUBSCRIBE_EMPTY, "5", "S", "82 03 0001 00"),
    Case(errors.SUBSCRIBE_OPTIONS_RESERVED, "4", "S", "82 06 0001 0001 'a' 04"),
    Case(errors.SUBSCRIBE_OPTIONS_RESERVED, "4", "S", "82 06 0001 0001 'a' 80"),
    Case(errors.SUBSCRIBE_OPTIONS_RESERVED, "5", "S", "82 07 0001 00 0001 'a' 40"),
    Case(errors.SUBSCRIBE_OPTIONS_RESERVED, "5", "S", "82 07 0001 00 0001 'a' 80"),
    Case(errors.SUBSCRIBE_QOS, "4", "S", "82 06 0001 0001 'a' 03"),
    Case(errors.SUBSCRIBE_QOS, "5", "S", "82 07 0001 00 0001 'a' 03"),
    Case(errors.SUBSCRIBE_RETAIN_HANDLING, "5", "S", "82 07 0001 00 0001 'a' 30"),
    Case(errors.SUBSCRIBE_NO_LOCAL_SHARED, "5", "S", "82 10 0001 00 000A '$share/x/a' 04"),
    Case(errors.SUBACK_CODE, "4", "C", "90 03 0001 03"),
    Case(errors.SUBACK_CODE, "4", "C", "90 03 0001 87"),
    Case(errors.SUBACK_CODE, "5", "C", "90 04 0001 00 03"),
    Case(errors.SUBACK_EMPTY, "4", "C", "90 02 0001"),
    Case(errors.SUBACK_EMPTY, "5", "C", "90 03 0001 00"),
    Case(errors.UNSUBSCRIBE_FLAGS, "45", "S", "A0 05 0001 0001 'a'"),
    Case(errors.UNSUBSCRIBE_EMPTY, "4", "S", "A2 02 0001"),
    Case(errors.UNSUBSCRIBE_EMPTY, "5", "S", "A2 03 0001 00"),
    Case(errors.UNSUBACK_CODE, "5", "C", "B0 04 0001 00 01"),
    Case(errors.UNSUBACK_EMPTY, "5", "C", "B0 03 0001 00"),
    # DISCONNECT and AUTH
    Case(errors.DISCONNECT_FLAGS, "45", "S", "E1 00"),
    Case(errors.DISCONNECT_CODE, "5", "S", "E0 01 8E"),
    Case(errors.DISCONNECT_CODE, "5", "C", "E0 01 04"),
    Case(errors.DISCONNECT_EXPIRY_BY_SERVER, "5", "C", "E0 07 00 05 11 00000001"),
    Case(errors.DISCONNECT_EXPIRY_RAISED, "5", "S", "E0 07 00 05 11 00000001"),
    Case(errors.AUTH_FLAGS, "5", "S", "F2 00"),
    Case(errors.AUTH_CODE, "5", "S", "F0 00"),
    Case(errors.AUTH_CODE, "5", "S", "F0 02 00 00"),
    Case(errors.AUTH_CODE, "5", "C", "F0 02 19 00"),
    Case(errors.AUTH_METHOD_MISSING, "5", "S", "F0 02 18 00"),
    Case(errors.AUTH_WITHOUT_METHOD, "5", "S", "F0 06 18 04 15 0001 'm'"),
    Case(errors.AUTH_METHOD_CHANGED, "5", "S", "auth F0 06 18 04 15 0001 'x'"),
]


def to_bytes(vector: str) -> bytes:
    """Hexadecimal with quoted ASCII to bytes."""
    out = b""
    for text, digits in re.findall(r"'([^']*)'|([0-9A-Fa-f]+)", vector):
        out += text.encode() if text else bytes.fromhex(digits)
    return out


def opened(version: Version, side: str, method: str | None) -> Decoder:
    """A decoder behind CONNECT, or behind CONNACK."""
    if side == "C":
        decoder = Decoder(Role.CLIENT, SIZE_MAX, version, ALIAS_MAX)
        assert decoder.feed(encode(Connack(), version))
        return decoder
    decoder = Decoder(Role.SERVER, SIZE_MAX, topic_alias_max=ALIAS_MAX)
    properties = Properties(authentication_method=method)
    connect = Connect("m-001", version, properties=properties)
    assert decoder.feed(encode(connect, version)) == [connect]
    return decoder


def expand() -> list[object]:
    """One parameter set for each case and version, named after the rule."""
    return [
        pytest.param(case, Version(int(digit)), id=f"{case.rule.reason}-v{digit}-{index}")
        for index, case in enumerate(CASES)
        for digit in case.versions
    ]


@pytest.mark.parametrize(("case", "version"), expand())
@pytest.mark.parametrize("whole", [True, False])
def test_refused(case: Case, version: Version, whole: bool) -> None:
    vector = case.vector
    if vector.startswith("!"):
        role = Role.SERVER if case.side == "S" else Role.CLIENT
        decoder = Decoder(role, SIZE_MAX, version, ALIAS_MAX)
        vector = vector[1:]
    else:
        method = "m" if vector.startswith("auth") else None
        decoder = opened(version, case.side, method)
        vector = vector.removeprefix("auth")
    raw = to_bytes(vector)
    chunks = [raw] if whole else [raw[i : i + 1] for i in range(len(raw))]
    for chunk in chunks:
        assert decoder.feed(chunk) == []
    failed = decoder.failed
    assert failed is not None
    assert failed.rule is case.rule
    assert failed.code is case.rule.code
    assert failed.reason == case.rule.reason
    assert failed.clause in (case.rule.v311, case.rule.v5)
    if not case.vector.startswith("!"):
        assert failed.clause == (case.rule.v5 if version is Version.V5 else case.rule.v311)
    assert failed.clause


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.reason)
def test_every_rule_has_a_vector_for_every_version_it_exists_in(rule: Rule) -> None:
    seen = {digit for case in CASES if case.rule is rule for digit in case.versions}
    assert seen == {digit for digit, clause in (("4", rule.v311), ("5", rule.v5)) if clause}


def test_reasons_are_distinct_words() -> None:
    assert len({rule.reason for rule in RULES}) == len(RULES)
    assert all(re.fullmatch(r"[a-z0-9_]+", rule.reason) for rule in RULES)
