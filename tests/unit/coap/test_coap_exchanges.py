from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.coap.exchanges import EXCHANGES_MAX, LIFETIME_S, Exchanges, Header, read_header


def test_a_header_as_rfc_7252_lays_it_out() -> None:
    assert read_header(b"\x42\x02\x12\x34\xaa\xbb") == Header(0, 2, 0x1234)
    assert read_header(b"\x60\x44\x00\x01") == Header(2, 0x44, 1)
    assert read_header(b"\x42\x02\x12\x34") == Header(0, 2, 0x1234)


def test_what_is_no_version_1_message_has_no_header() -> None:
    assert read_header(b"") is None
    assert read_header(b"\x40\x01\x00") is None
    assert read_header(b"\x80\x01\x00\x00") is None
    assert read_header(b"\x49\x01\x00\x00" + bytes(9)) is None  # token lengths 9-15 are reserved


def test_requests_are_told_from_answers() -> None:
    assert Header(0, 1, 0).is_request
    assert Header(0, 31, 0).is_request
    assert not Header(0, 0, 0).is_request
    assert not Header(2, 0x44, 0).is_request


def test_a_repetition_gets_the_first_reply_again() -> None:
    exchanges = Exchanges()
    assert exchanges.seen(7, 0.0) is None
    assert exchanges.seen(7, 1.0) == b""  # under way
    exchanges.replied(7, b"reply")
    assert exchanges.seen(7, 2.0) == b"reply"
    assert exchanges.seen(8, 2.0) is None


def test_a_number_may_be_used_anew_after_its_lifetime() -> None:
    exchanges = Exchanges()
    exchanges.seen(7, 0.0)
    exchanges.replied(7, b"reply")
    assert exchanges.seen(7, LIFETIME_S - 1) == b"reply"
    assert exchanges.seen(7, LIFETIME_S) is None
    assert exchanges.seen(7, LIFETIME_S + 1) == b""


def test_a_reply_to_a_forgotten_request_is_not_kept() -> None:
    exchanges = Exchanges()
    exchanges.replied(7, b"reply")
    assert len(exchanges) == 0


@given(st.lists(st.integers(0, 0xFFFF), max_size=200))
def test_memory_is_bounded_and_the_last_are_remembered(message_ids: list[int]) -> None:
    exchanges = Exchanges()
    order: list[int] = []
    for message_id in message_ids:
        exchanges.seen(message_id, 0.0)
        if message_id not in order[-EXCHANGES_MAX:]:
            order.append(message_id)
    assert len(exchanges) <= EXCHANGES_MAX
    for message_id in order[-EXCHANGES_MAX:]:
        assert exchanges.seen(message_id, 0.0) == b""
