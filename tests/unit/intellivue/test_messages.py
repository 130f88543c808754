"""Messages: what a monitor encodes decodes to the same; damage gives only the typed error."""

import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.intellivue import association, attributes, messages, requests
from drivers.intellivue.attributes import (
    AbsoluteTime,
    AlarmEntry,
    EnumerationValue,
    ManagedObject,
    NumericValue,
)
from drivers.intellivue.messages import (
    FIRST,
    LAST,
    MIDDLE,
    Abort,
    AssociationAccept,
    AssociationRefuse,
    AssociationRequest,
    CreateConfirmation,
    CreateEvent,
    Linker,
    PollReply,
    PollRequest,
    PollResult,
    ReleaseRequest,
    ReleaseResponse,
    RemoteError,
)
from drivers.intellivue.nomenclature import Attribute, Group, ObjectClass
from drivers.intellivue.primitives import float_value
from drivers.intellivue.session import OPTIONS
from firmware_sim.intellivue import encode
from firmware_sim.intellivue.encode import ReplyHead, SimObject
from gateway.domain.errors import MalformedError
from tests.unit.intellivue.capture import datagrams, needs_capture

words = st.integers(0, 0xFFFF)
decimals = st.tuples(st.integers(-99999, 99999), st.integers(0, 3)).map(
    lambda pair: round(pair[0] / 10 ** pair[1], pair[1])
)
values = st.builds(NumericValue, words, words, words, decimals)
texts = st.text(
    st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\0"), max_size=20
).map(str.strip)
alarm_entries = st.builds(
    AlarmEntry,
    words,
    words,
    words,
    words,
    st.builds(ManagedObject, words, words, words),
    words,
    st.integers(0, 0xFFFFFFFF),
    words,
    words,
    texts,
)
HEAD = ReplyHead(7, 7, True, 3, 1234, ObjectClass.NUMERIC, Group.OBSERVED_VALUES)


def add(linker, message):
    return linker.add(message)


def joined(payloads):
    linker = Linker()
    found = [add(linker, messages.decode(payload)) for payload in payloads]
    return [reply for reply in found if reply is not None], linker


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (0x0000005B, 91.0),
        (0xFF0003B6, 95.0),
        (0xFF000064, 10.0),
        (0xFE000172, 3.7),
        (0x02000003, 300.0),
        (0x00FFFFFF, -1.0),
        (0xFFFFFF85, -12.3),
        (0x007FFFFE, math.inf),
        (0x00800002, -math.inf),
    ],
)
def test_float(word, value):
    assert float_value(word) == value


@pytest.mark.parametrize("word", [0x007FFFFF, 0x00800000, 0xFF7FFFFF])
def test_float_without_a_number(word):
    assert math.isnan(float_value(word))


@given(decimals)
def test_float_round_trip(value):
    assert float_value(encode.float_word(value, encode.decimals_of(value))) == value


@given(st.integers(0, 0xFFFFFFFF))
def test_every_float_word_is_a_number_or_nan(word):
    assert isinstance(float_value(word), float)


@given(st.lists(st.lists(values, min_size=1, max_size=4), max_size=12), st.integers(1, 5))
def test_numerics_round_trip_in_any_number_of_parts(compounds, parts):
    objects = [
        SimObject(handle, {Attribute.COMPOUND_VALUE: encode.compound(numbers)})
        for handle, numbers in enumerate(compounds, 0x8000)
    ]
    parts = min(parts, len(objects))
    (reply,), linker = joined(encode.poll_reply(HEAD, objects, parts))
    assert [list(o.attributes[Attribute.COMPOUND_VALUE]) for o in reply.objects] == compounds
    assert [o.handle for o in reply.objects] == [o.handle for o in objects]
    assert (reply.sequence, reply.relative_time, reply.absolute_time) == (3, 1234, None)
    assert linker.incomplete == 0


@given(st.lists(alarm_entries, max_size=6))
def test_alarm_lists_round_trip(entries):
    objects = [SimObject(1, {Attribute.P_ALARM_LIST: encode.alarms(entries)})]
    (reply,), _ = joined(encode.poll_reply(HEAD, objects))
    assert reply.objects[0].attributes[Attribute.P_ALARM_LIST] == tuple(entries)


def test_an_alarm_without_a_text_and_one_of_an_unknown_kind():
    general = struct.pack(">HHHHHHHHHHIHH", 0x4182, 40, 1024, 0, 6, 0, 9, 513, 10, 1, 2, 3, 4)
    unknown = struct.pack(">HHHHHHHHHI", 0x4182, 62, 512, 0, 6, 0, 9, 999, 4, 0)
    raw = struct.pack(">HH", 2, len(general + unknown)) + general + unknown
    listed = encode.attribute_list({Attribute.T_ALARM_LIST: raw})
    decoded: dict[int, Any] = attributes.attribute_list(listed, 0, len(listed))[0]
    first, second = decoded[Attribute.T_ALARM_LIST]
    assert (first.instance, first.text_id, first.priority, first.flags) == (1, 2, 3, 4)
    assert (second.code, second.text) == (62, "")


def test_enumerations_of_both_choices():
    plain = encode.enumeration(0xD007, 0, 16402)
    with_number = struct.pack(">HHHHHIH", 0xD007, 0, 4, 8, 16402, 0xFF00000F, 0x0220)
    for raw, expected in (
        (plain, EnumerationValue(0xD007, 0, 16402)),
        (with_number, EnumerationValue(0xD007, 0, 16402, 1.5, 0x0220)),
        (struct.pack(">HHHH", 1, 2, 9, 0), EnumerationValue(1, 2, 0)),
    ):
        decoded, _ = attributes.attribute_list(
            encode.attribute_list({Attribute.ENUMERATION_VALUE: raw}), 0, len(raw) + 8
        )
        found = decoded[Attribute.ENUMERATION_VALUE]
        assert isinstance(found, EnumerationValue)
        assert found[:3] == expected[:3]
        assert found.number == expected.number or math.isnan(found.number)


def test_what_a_client_says():
    assert messages.decode(requests.associate(8000, OPTIONS)) == AssociationRequest(
        association.UserInformation(0x80000000, 0x20000000, 8000, 1364, 1364, 0x8C000000)
    )
    assert messages.decode(requests.release()) == ReleaseRequest()
    assert messages.decode(requests.released()) == ReleaseResponse()
    event = CreateEvent(1, 0, 0x0D58B800, {})
    assert messages.decode(requests.confirm_create(event)) == CreateConfirmation(1)
    assert messages.decode(
        requests.single_poll(1001, 1, ObjectClass.MDS, Group.ALL)
    ) == PollRequest(1001, 1, ObjectClass.MDS, 0)
    assert messages.decode(
        requests.extended_poll(3, 3, ObjectClass.ALERT_MONITOR, Group.ALERT_MONITOR, 480000)
    ) == PollRequest(3, 3, ObjectClass.ALERT_MONITOR, 0x0801, True, 480000)


@needs_capture
def test_requests_are_byte_for_byte_those_that_the_real_monitor_answered():
    said = {d.payload for d in datagrams()}
    assert requests.release() in said
    assert requests.single_poll(0x3E9, 0, ObjectClass.MDS, Group.ALL) in said
    assert (
        requests.single_poll(0x3FA, 0, ObjectClass.MDS, Group.SYSTEM_APPLICATION).hex()
        == "e10000020001001c03fa00070016002100000000000000000c160008000000010021080a"
    )
    # The recorded client numbered all of its polls 0.
    assert (
        requests.extended_poll(2, 0, ObjectClass.NUMERIC, Group.OBSERVED_VALUES, 0x15F900) in said
    )
    assert (
        requests.extended_poll(3, 0, ObjectClass.ALERT_MONITOR, Group.ALERT_MONITOR, 0x15F900)
        in said
    )


@needs_capture
def test_the_association_request_is_the_one_that_was_accepted_but_for_its_sizes():
    (recorded,) = {d.payload for d in datagrams() if d.payload[0] == association.CONNECT}
    ours = struct.pack(">II", association.MESSAGE_BYTES_MAX, association.MESSAGE_BYTES_MAX)
    theirs = struct.pack(">II", 0x3000, 0x3000)
    assert recorded.count(theirs) == 1
    assert requests.associate(40 * 8000, OPTIONS) == recorded.replace(theirs, ours)


def test_a_short_vector_of_each_fixed_message():
    event = CreateEvent(1, 0, 0, {})
    assert requests.confirm_create(event).hex() == (
        "e10000020002001400010001000e002100000000000000000d060000"
    )
    assert requests.release().hex() == "0918c11661803080020101a08062808001000000000000000000"
    assert messages.decode(encode.REFUSE) == AssociationRefuse()
    assert messages.decode(encode.ABORT) == Abort()
    assert messages.decode(encode.remote_error(9, 2)) == RemoteError(9, 2)


def test_accept_round_trip():
    assert messages.decode(encode.accept(8000, 0x8C000000)) == AssociationAccept(
        association.UserInformation(0x00800000, 0x80000000, 8000, 1364, 1364, 0x8C000000)
    )


SAMPLES = [
    encode.accept(8000, 0x8C000000),
    requests.associate(8000, OPTIONS),
    encode.create_event(
        1, 99, encode.mds_attributes(99, AbsoluteTime(2026, 1, 2, 3, 4, 5, 0), "b")
    ),
    requests.extended_poll(3, 3, ObjectClass.NUMERIC, Group.ALL, 8),
    *encode.poll_reply(
        HEAD,
        [
            SimObject(1, {Attribute.COMPOUND_VALUE: encode.compound([NumericValue(1, 2, 3, 4)])}),
            SimObject(2, {Attribute.ENUMERATION_VALUE: encode.enumeration(1, 2, 3)}),
            SimObject(
                3,
                {
                    Attribute.T_ALARM_LIST: encode.alarms(
                        [AlarmEntry(1, 2, 3, 4, ManagedObject(5, 6, 7), 8, 9, 10, 11, "text")]
                    )
                },
            ),
        ],
        2,
    ),
]


def refusal(payload):
    """Why a payload is refused; "" when it decodes. Anything else than the typed error escapes."""
    try:
        messages.decode(payload)
    except MalformedError as error:
        return error.reason
    return ""


OUTCOMES = {"", *messages.REASONS}


@settings(max_examples=300)
@given(st.sampled_from(SAMPLES), st.integers(0, 5000), st.integers(0, 255), st.integers(0, 400))
def test_a_changed_byte_or_a_cut_gives_only_the_typed_error(sample, place, byte, cut):
    changed = bytearray(sample)
    changed[place % len(changed)] = byte
    assert refusal(bytes(changed)) in OUTCOMES
    assert refusal(bytes(changed[:cut])) in OUTCOMES


@given(st.sampled_from([b"", messages.DATA, messages.DATA + b"\0\1", b"\x0e\xff"]), st.binary())
def test_garbage_gives_only_the_typed_error(head, garbage):
    assert refusal(head + garbage) in OUTCOMES


def test_every_cut_of_every_sample_is_refused():
    for sample in SAMPLES:
        assert messages.decode(sample)
        assert {refusal(sample[:length]) for length in range(len(sample))} <= OUTCOMES


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x42",
        b"\x0e",
        b"\x0e\x00",
        b"\x0e\x04\xc1\x02\x31\x80",
        b"\x0e\x40\xc1\x30" + b"\x31\x80" * 24,
        messages.DATA + b"\x00\x07\x00\x06" + bytes(6),
    ],
)
def test_malformed(payload):
    with pytest.raises(MalformedError):
        messages.decode(payload)


def part(invoke_id, link, number, sequence=0, handle=0):
    objects = (messages.ObservedObject(0, handle, {}),) if link else ()
    reply = PollReply(1, sequence, 0, None, ObjectClass.NUMERIC, 0, objects)
    return PollResult(invoke_id, True, link, number, reply)


def test_parts_of_two_polls_interleave():
    linker = Linker()
    parts = [part(1, FIRST, 1), part(2, FIRST, 1), part(1, LAST, 2), part(2, LAST, 2)]
    assert [linker.add(p) for p in parts] == [None] * 4
    assert len(add(linker, part(2, 0, 0)).objects) == 2
    assert len(add(linker, part(1, 0, 0)).objects) == 2


@pytest.mark.parametrize("missing", range(4))
def test_a_reply_with_a_missing_part_is_dropped_and_counted(missing):
    linker = Linker()
    parts = [part(1, FIRST, 1), part(1, MIDDLE, 2), part(1, MIDDLE, 3), part(1, LAST, 4)]
    del parts[missing]
    for p in parts:
        assert linker.add(p) is None
    assert linker.add(part(1, 0, 0)) is None
    assert linker.incomplete == 1
    assert linker.add(part(1, 0, 0)) is not None  # and the next one is whole again


def test_a_lost_end_is_noticed_by_the_next_reply():
    linker = Linker()
    for p in (part(1, FIRST, 1, 5), part(1, LAST, 2, 5), part(1, FIRST, 1, 6), part(1, LAST, 2, 6)):
        assert linker.add(p) is None
    assert linker.incomplete == 1
    assert linker.add(part(1, 0, 0, 6)) is not None


@given(
    st.lists(
        st.builds(
            part, st.integers(0, 0xFFFF), st.integers(0, 3), st.integers(0, 40), st.integers(0, 3)
        ),
        max_size=80,
    )
)
def test_the_linker_is_bounded(parts):
    linker = Linker()
    for p in parts:
        linker.add(p)
    assert len(linker._open) <= Linker.REPLIES_MAX
    assert all(len(held) <= Linker.PARTS_MAX for held in linker._open.values())
