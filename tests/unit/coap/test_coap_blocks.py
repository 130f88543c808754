from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.coap.blocks import (
    BAD_REQUEST,
    INCOMPLETE,
    TOO_LARGE,
    UNAVAILABLE,
    UPLOAD_S_MAX,
    UPLOADS_PER_SESSION_MAX,
    Block,
    Budget,
    Refused,
    Uploads,
)

BODY = bytes(range(256)) * 10


def upload(
    uploads: Uploads, body: bytes, exponent: int, key: str = "vitals", now_s: float = 0.0
) -> bytes | None:
    size = 1 << exponent + 4
    count = max(1, -(-len(body) // size))
    result = None
    for number in range(count):
        block = Block(number, number < count - 1, exponent)
        piece = body[number * size : (number + 1) * size]
        result = uploads.add(key, block, piece, None, now_s)
        assert (result is None) is block.more
    return result


@given(st.binary(max_size=4000), st.integers(0, 6))
def test_a_body_in_blocks_of_any_size_arrives_whole(body: bytes, exponent: int) -> None:
    budget = Budget()
    before = budget.left_bytes
    assert upload(Uploads(budget, 4096), body, exponent) == body
    assert budget.left_bytes == before


def test_a_first_block_begins_anew() -> None:
    uploads = Uploads(Budget(), 4096)
    uploads.add("vitals", Block(0, more=True, size_exponent=0), b"x" * 16, None, 0.0)
    assert upload(uploads, BODY, 4) == BODY


@pytest.mark.parametrize("number", [0, 2, 3])
def test_a_gap_or_an_overlap_ends_the_upload(number: int) -> None:
    budget = Budget()
    uploads = Uploads(budget, 4096)
    before = budget.left_bytes
    for n in range(2):
        uploads.add("vitals", Block(n, more=True, size_exponent=0), b"x" * 16, None, 0.0)
    if number == 0:
        uploads.add("vitals", Block(0, more=True, size_exponent=0), b"x" * 16, None, 0.0)
        number = 2
    else:
        number += 1
    with pytest.raises(Refused) as caught:
        uploads.add("vitals", Block(number, more=True, size_exponent=0), b"x" * 16, None, 0.0)
    assert caught.value.code == INCOMPLETE
    assert budget.left_bytes == before
    with pytest.raises(Refused):
        uploads.add("vitals", Block(2, more=False, size_exponent=0), b"x", None, 0.0)


def test_a_block_of_the_wrong_size_is_a_bad_request() -> None:
    uploads = Uploads(Budget(), 4096)
    for block, piece in (
        (Block(0, more=True, size_exponent=0), b"x" * 15),
        (Block(0, more=True, size_exponent=0), b"x" * 17),
        (Block(0, more=False, size_exponent=7), b"x"),
    ):
        with pytest.raises(Refused) as caught:
            uploads.add("vitals", block, piece, None, 0.0)
        assert caught.value.code == BAD_REQUEST


def test_a_body_too_large_is_refused_at_once_if_it_says_so() -> None:
    uploads = Uploads(Budget(), 64)
    with pytest.raises(Refused) as caught:
        uploads.add("vitals", Block(0, more=True, size_exponent=0), b"x" * 16, 65, 0.0)
    assert caught.value.code == TOO_LARGE
    for number in range(4):
        uploads.add("vitals", Block(number, more=True, size_exponent=0), b"x" * 16, None, 0.0)
    with pytest.raises(Refused) as caught:
        uploads.add("vitals", Block(4, more=False, size_exponent=0), b"x", None, 0.0)
    assert caught.value.code == TOO_LARGE


def test_all_sessions_share_one_budget() -> None:
    budget = Budget(40)
    first, second = Uploads(budget, 4096), Uploads(budget, 4096)
    block = Block(0, more=True, size_exponent=0)
    first.add("vitals", block, b"x" * 16, None, 0.0)
    second.add("vitals", block, b"x" * 16, None, 0.0)
    with pytest.raises(Refused) as caught:
        second.add("drip", block, b"x" * 16, None, 0.0)
    assert caught.value.code == UNAVAILABLE
    first.clear()
    second.add("drip", block, b"x" * 16, None, 0.0)
    second.clear()
    assert budget.left_bytes == 40


def test_few_uploads_at_once_and_the_oldest_gives_way() -> None:
    budget = Budget()
    before = budget.left_bytes
    uploads = Uploads(budget, 4096)
    block = Block(0, more=True, size_exponent=0)
    for n in range(UPLOADS_PER_SESSION_MAX + 3):
        uploads.add(n, block, b"x" * 16, None, float(n))
    assert before - budget.left_bytes == 16 * UPLOADS_PER_SESSION_MAX
    newest = UPLOADS_PER_SESSION_MAX + 2
    last = Block(1, more=False, size_exponent=0)
    assert uploads.add(newest, last, b"y", None, 9.0) == b"x" * 16 + b"y"


def test_an_unfinished_upload_ends_in_time() -> None:
    budget = Budget()
    before = budget.left_bytes
    uploads = Uploads(budget, 4096)
    uploads.add("vitals", Block(0, more=True, size_exponent=0), b"x" * 16, None, 0.0)
    last = Block(1, more=False, size_exponent=0)
    with pytest.raises(Refused) as caught:
        uploads.add("vitals", last, b"y", None, UPLOAD_S_MAX + 1)
    assert caught.value.code == INCOMPLETE
    assert budget.left_bytes == before


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["vitals", "drip", "status"]),
            st.integers(0, 6),
            st.booleans(),
            st.integers(0, 7),
            st.binary(max_size=40),
            st.integers(0, 100),
        ),
        max_size=40,
    )
)
def test_any_row_of_blocks_keeps_to_the_bounds(
    steps: list[tuple[str, int, bool, int, bytes, int]],
) -> None:
    budget = Budget(200)
    uploads = Uploads(budget, 100)
    now_s = 0.0
    for key, number, more, exponent, payload, wait_s in steps:
        now_s += wait_s
        try:
            body = uploads.add(key, Block(number, more, exponent), payload, None, now_s)
        except Refused:
            continue
        assert body is None or len(body) <= 100
        assert 0 <= budget.left_bytes <= 200
    uploads.clear()
    assert budget.left_bytes == 200
