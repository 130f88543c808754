import math

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.bedside import codec
from drivers.bedside.codec import (
    KINDS,
    PAYLOAD_SIZE_BYTES_MAX,
    REASONS,
    Drip,
    Status,
    Vitals,
    decode_cbor,
    decode_json,
    encode_cbor,
    encode_json,
)
from gateway.domain.errors import MalformedError

DEEP = b"[" * 8000
"""Python's stack ends before it does."""
CASES = [
    ("waveform", b'{"v":1}', codec.UNKNOWN_KIND),
    ("vitals", b"", codec.NOT_JSON),
    ("vitals", b'{"v":1', codec.NOT_JSON),
    ("vitals", b'{"v":1} {}', codec.NOT_JSON),
    ("vitals", b'{"v":1,"hr":NaN}', codec.NOT_JSON),
    ("vitals", b'{"v":3,"hr":"72",', codec.NOT_JSON),
    ("vitals", b'{"v":1,"x":1,"hr"', codec.NOT_JSON),
    ("vitals", b'{"v":1,"hr":Infinity}', codec.NOT_JSON),
    ("drip", b'{"v":1,"drug":"\xff"}', codec.NOT_JSON),
    ("vitals", b'{"hr":' + DEEP, codec.NOT_JSON),
    ("vitals", b'{"v":1,"x":1,"y":' + DEEP, codec.NOT_JSON),
    ("drip", b'{"v":1,"alarms":[{"x":' + DEEP, codec.NOT_JSON),
    ("vitals", b'{"v":1,"boot":"' + b"a" * PAYLOAD_SIZE_BYTES_MAX + b'"}', codec.TOO_LONG),
    ("vitals", b"[1]", codec.NOT_AN_OBJECT),
    ("vitals", b"17", codec.NOT_AN_OBJECT),
    ("vitals", b"{}", codec.WRONG_VERSION),
    ("vitals", b'{"v":3,"hr":72}', codec.WRONG_VERSION),
    ("vitals", b'{"v":3,"lactate":1.1}', codec.WRONG_VERSION),
    ("vitals", b'{"v":"1"}', codec.WRONG_VERSION),
    ("vitals", b'{"v":1,"lactate":1.1}', codec.UNKNOWN_FIELD),
    ("vitals", b'{"v":1,"device_id":"other"}', codec.UNKNOWN_FIELD),
    ("vitals", b'{"v":1,"hr":"72"}', codec.WRONG_TYPE),
    ("vitals", b'{"v":1,"hr":true}', codec.WRONG_TYPE),
    ("vitals", b'{"v":1,"boot":"a","n":1.5}', codec.WRONG_TYPE),
    ("vitals", b'{"v":1,"hr":1e400}', codec.OUT_OF_BOUNDS),
    ("vitals", b'{"v":1,"hr":-1e10}', codec.OUT_OF_BOUNDS),
    ("vitals", b'{"v":1,"boot":"a","n":-1}', codec.OUT_OF_BOUNDS),
    ("vitals", b'{"v":1,"boot":"a","n":9007199254740992}', codec.OUT_OF_BOUNDS),
    ("vitals", b'{"v":1,"t":253402300800000}', codec.OUT_OF_BOUNDS),
    ("vitals", b'{"v":1,"boot":"","n":1}', codec.OUT_OF_BOUNDS),
    ("vitals", b'{"v":1,"boot":"' + b"a" * 37 + b'","n":1}', codec.OUT_OF_BOUNDS),
    ("drip", b'{"v":1,"factor":0}', codec.OUT_OF_BOUNDS),
    ("drip", b'{"v":1,"factor":101}', codec.OUT_OF_BOUNDS),
    ("drip", b'{"v":1,"alarms":[' + b",".join([b'"bubble"'] * 17) + b"]}", codec.OUT_OF_BOUNDS),
    ("drip", b'{"v":1,"alarms":["fire"]}', codec.UNKNOWN_WORD),
    ("drip", b'{"v":1,"clamp":"half"}', codec.UNKNOWN_WORD),
    ("vitals", b'{"v":1,"boot":"a"}', codec.HALF_ID),
    ("vitals", b'{"v":1,"n":1}', codec.HALF_ID),
    ("drip", b'{"v":1,"bag":2}', codec.UNKNOWN_FIELD),
    ("drip", b'{"v":1,"tare_g":0}', codec.UNKNOWN_FIELD),
    ("vitals", b'{"v":2,"bag":2}', codec.UNKNOWN_FIELD),
    ("drip", b'{"v":2,"density_g_ml":0.4}', codec.OUT_OF_BOUNDS),
    ("drip", b'{"v":2,"bag":1.5}', codec.WRONG_TYPE),
    ("vitals", b'{"v":1,"boot":"a:1","n":1}', codec.BAD_TEXT),
    ("vitals", b'{"v":1,"boot":"a b","n":1}', codec.BAD_TEXT),
    ("vitals", '{"v":1,"boot":"\u00e9","n":1}'.encode(), codec.BAD_TEXT),
    ("drip", b'{"v":1,"drug":"a\\u0000"}', codec.BAD_TEXT),
    ("drip", b'{"v":1,"bed":"4\\n"}', codec.BAD_TEXT),
    ("status", b'{"v":1,"firmware":"\\u001b[2J"}', codec.BAD_TEXT),
]


@pytest.mark.parametrize(("kind", "payload", "reason"), CASES)
def test_json_is_refused_with_its_reason(kind, payload, reason):
    with pytest.raises(MalformedError) as caught:
        decode_json(kind, payload)
    assert caught.value.reason == reason


@pytest.mark.parametrize("boot", ["5f3a", "0b9d7f0e-6a1c-4b1e-9a53-3f0c2d4e5a6b", "pump_7.2-b"])
def test_a_boot_may_be_a_uuid_or_a_name(boot):
    message = decode_json("vitals", f'{{"v":1,"boot":"{boot}","n":1}}'.encode())
    assert (message.boot, message.n) == (boot, 1)


def test_every_reason_of_json_has_a_case():
    assert {reason for _, _, reason in CASES} == set(REASONS) - {codec.NOT_CBOR}


def test_a_refusal_quotes_nothing_of_the_payload():
    for payload in (b'{"v":1,"secret":1}', b'{"v":1,"clamp":"secret"}', b'{"v":1,"hr":"secret"}'):
        with pytest.raises(MalformedError) as caught:
            decode_json("drip", payload)
        assert "secret" not in str(caught.value)


def test_a_refusal_names_the_field_when_it_is_one_of_ours():
    with pytest.raises(MalformedError) as caught:
        decode_json("drip", b'{"v":1,"alarms":["fire"]}')
    assert caught.value.detail == "alarms"


CBOR_CASES = [
    (b"", codec.NOT_CBOR),
    (b"\xa1", codec.NOT_CBOR),
    (cbor2.dumps({"v": 1}) + b"\x00", codec.NOT_CBOR),
    (b"\xa2\x61v\x01\x61v\x01", codec.NOT_CBOR),  # a key twice
    (b"\xa1\x80\x01", codec.NOT_CBOR),  # a list as key
    (b"\x81" * 4000, codec.NOT_CBOR),
    (cbor2.dumps({"v": 1, "hr": 2**70}), codec.NOT_CBOR),  # a bignum is a tag
    (b"\xa2\x61v\x01\x62hr\xd9\x01\x02\x80", codec.NOT_CBOR),  # tag 258, a set
    (b"\xa2\x61v\x01\x62hr\xd8\x4d\x01", codec.NOT_CBOR),  # a tag that nobody knows
    (cbor2.dumps({"v": 1, "hr": b"72"}), codec.WRONG_TYPE),
    (cbor2.dumps({"v": 1, 7: 1}), codec.NOT_CBOR),
    (cbor2.dumps({"v": 1, "hr": math.nan}), codec.OUT_OF_BOUNDS),
    (cbor2.dumps({"v": 1, "hr": math.inf}), codec.OUT_OF_BOUNDS),
    (cbor2.dumps({"v": 1, "hr": -math.inf}), codec.OUT_OF_BOUNDS),
    (cbor2.dumps({"v": 3}), codec.WRONG_VERSION),
    (cbor2.dumps([1]), codec.NOT_AN_OBJECT),
    (cbor2.dumps({"v": 1, "lactate": 1}), codec.UNKNOWN_FIELD),
    (b"\x00" * (PAYLOAD_SIZE_BYTES_MAX + 1), codec.TOO_LONG),
]


@pytest.mark.parametrize(("payload", "reason"), CBOR_CASES)
def test_cbor_is_refused_with_its_reason(payload, reason):
    with pytest.raises(MalformedError) as caught:
        decode_cbor("vitals", payload)
    assert caught.value.reason == reason


def test_cbor_of_an_unknown_kind():
    with pytest.raises(MalformedError) as caught:
        decode_cbor("waveform", cbor2.dumps({"v": 1}))
    assert caught.value.reason == codec.UNKNOWN_KIND


def test_null_is_absent():
    assert decode_json("vitals", b'{"v":1,"hr":null}') == Vitals(v=1)


def test_implausible_is_kept():
    assert decode_json("vitals", b'{"v":1,"spo2":0,"hr":-7}') == Vitals(v=1, spo2=0.0, hr=-7.0)


def test_absent_is_left_out():
    assert encode_json(Vitals(v=1, hr=72.0)) == b'{"v":1,"hr":72.0}'


numbers = st.none() | st.floats(-codec.NUMBER_MAX, codec.NUMBER_MAX)
texts = st.text(st.characters(categories=("L", "N", "P", "S")), max_size=20)
ids = st.just((None, None)) | st.tuples(
    st.text("abc123", min_size=1, max_size=36), st.integers(0, codec.SEQUENCE_MAX)
)
SPECIAL = {
    "bag": st.none() | st.integers(0, codec.SEQUENCE_MAX),
    "density_g_ml": st.none() | st.floats(0.5, 2.0),
    "t": st.none() | st.integers(0, codec.UNIX_MS_MAX),
    "finish": st.none() | st.integers(0, codec.UNIX_MS_MAX),
    "bed": texts,
    "drug": texts,
    "firmware": texts,
    "factor": st.none() | st.integers(1, 100),
    "clamp": st.sampled_from([None, "open", "partial", "closed"]),
    "alarms": st.lists(st.sampled_from(["bubble", "stopped", "finished"]), max_size=16).map(tuple),
}


@st.composite
def messages(draw):
    kind = draw(st.sampled_from(sorted(KINDS)))
    fields = [f for f in KINDS[kind].__struct_fields__ if f not in {"v", "boot", "n"}]
    values = {field: draw(SPECIAL.get(field, numbers)) for field in fields}
    version = draw(st.sampled_from(codec.VERSIONS))
    values["v"] = version
    if version == 1:
        values |= dict.fromkeys(codec.SINCE_2 if kind == "drip" else ())
    boot, n = draw(ids)
    return kind, KINDS[kind](boot=boot, n=n, **values)


@given(messages())
def test_what_is_encoded_decodes_to_the_same(case):
    kind, message = case
    assert decode_json(kind, encode_json(message)) == message
    assert decode_cbor(kind, encode_cbor(message)) == message


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["v", "hr", "n", "boot", "alarms", "x"]), inner, max_size=4
        )
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=60) | JSON_LIKE)
def test_garbage_gives_only_the_typed_error(kind, garbage):
    for decode, encode in ((decode_json, msgspec.json.encode), (decode_cbor, cbor2.dumps)):
        payload = garbage if isinstance(garbage, bytes) else encode(garbage)
        try:
            message = decode(kind, payload)
        except MalformedError as error:
            assert error.reason in REASONS  # noqa: PT017 - an error is one of two right answers
        else:
            assert isinstance(message, KINDS[kind])


def test_messages_are_frozen():
    for message in (Vitals(v=1), Drip(v=1), Status(v=1)):
        with pytest.raises(AttributeError):
            message.v = 1  # type: ignore[misc]
