"""Disconnect-Messages: what is sent, and which answers count."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.radius.codec import Answer, Attribute, Code, Target, answer, request
from gateway.domain.errors import MalformedError

SECRET = b"s3cret"
SENT = request(Target("SESSION-1", "user", "10.0.0.7"), 9, 1_800_000_000, SECRET)


def attribute(kind, value):
    return bytes((kind, len(value) + 2)) + value


def reply(code=41, identifier=9, body=b"", secret=SECRET, sent=SENT, *, signed=False):
    """An answer as another implementation makes it."""
    if signed:
        body += attribute(80, bytes(16))
    head = bytes((code, identifier)) + (20 + len(body)).to_bytes(2, "big")
    if signed:
        proof = hmac.new(secret, head + sent[4:20] + body, "md5").digest()
        body = body[:-16] + proof
    return head + hashlib.md5(head + sent[4:20] + body + secret).digest() + body


def test_a_request_has_what_names_the_session_and_two_proofs():
    assert SENT[:4] == bytes((40, 9)) + len(SENT).to_bytes(2, "big")
    names = attribute(44, b"SESSION-1") + attribute(1, b"user") + attribute(8, bytes((10, 0, 0, 7)))
    assert SENT[20:].startswith(names + attribute(55, (1_800_000_000).to_bytes(4, "big")))
    blank = SENT[:4] + bytes(16) + SENT[20:]
    assert hashlib.md5(blank + SECRET).digest() == SENT[4:20]
    assert hmac.new(SECRET, blank[:-16] + bytes(16), "md5").digest() == SENT[-16:]


def test_an_address_that_is_none_of_version_4_is_left_out():
    for framed_ip in ("", "2001:db8::/64", "2001:db8::1", "rubbish"):
        sent = request(Target("S", framed_ip=framed_ip), 1, 1, SECRET)
        assert len(sent) == 20 + 3 + 6 + 18


def test_a_name_that_no_attribute_can_carry_is_refused():
    with pytest.raises(ValueError, match="44"):
        request(Target("x" * 254), 1, 1, SECRET)


@pytest.mark.parametrize("signed", [False, True])
def test_answers_count(signed):
    assert answer(reply(signed=signed), SENT, SECRET) == Answer(Code.DISCONNECT_ACK)
    cause = attribute(101, (503).to_bytes(4, "big"))
    gone = answer(reply(42, body=cause, signed=signed), SENT, SECRET)
    assert gone == Answer(Code.DISCONNECT_NAK, 503)
    assert gone.over
    refused = answer(reply(42, signed=signed), SENT, SECRET)
    assert not refused.over
    assert answer(reply(signed=signed) + b"padding", SENT, SECRET).over


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (reply()[:19], "truncated"),
        (reply()[:2] + b"\xff\xff" + reply()[4:], "truncated"),
        (reply(code=44), "code"),
        (reply(identifier=8), "identifier"),
        (reply(secret=b"other"), "authenticator"),
        (reply(sent=SENT[:4] + bytes(16)), "authenticator"),
        (reply(body=attribute(80, bytes(16))), "message_authenticator"),
        (reply(body=b"\x65\x06\x00"), "attribute"),
        (reply(body=b"\x65\x01"), "attribute"),
        (reply(body=b"\x65"), "attribute"),
        (reply(body=attribute(101, b"\x01")), "attribute"),
    ],
    ids=range(12),
)
def test_what_is_no_answer_is_left(data, reason):
    with pytest.raises(MalformedError) as wrong:
        answer(data, SENT, SECRET)
    assert wrong.value.reason == reason


@given(st.binary(max_size=64), st.integers(0, 63))
def test_any_bytes_are_an_answer_only_if_the_secret_made_them(noise, at):
    with pytest.raises(MalformedError):
        answer(noise, SENT, SECRET)
    good = bytearray(reply(42, body=attribute(101, (503).to_bytes(4, "big")), signed=True))
    good[at % len(good)] ^= 1
    with pytest.raises(MalformedError):
        answer(bytes(good), SENT, SECRET)


@given(st.binary(max_size=80))
def test_attributes_of_any_form_are_read_or_refused(body):
    try:
        found = answer(reply(42, body=body), SENT, SECRET)
    except MalformedError as error:
        assert error.reason in {"attribute", "message_authenticator"}  # noqa: PT017
    else:
        assert found.code is Code.DISCONNECT_NAK
        assert Attribute.ERROR_CAUSE in body or not found.error_cause
