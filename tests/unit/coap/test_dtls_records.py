from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.transport.dtls import records
from gateway.domain.errors import MalformedError


def record(content: bytes, kind: int = 23, epoch: int = 1, sequence: int = 7) -> bytes:
    return (
        bytes([kind])
        + b"\xfe\xfd"
        + epoch.to_bytes(2, "big")
        + sequence.to_bytes(6, "big")
        + len(content).to_bytes(2, "big")
        + content
    )


def client_hello(cookie: bytes = b"", session_id: bytes = b"", random: bytes = bytes(32)) -> bytes:
    body = (
        b"\xfe\xfd"
        + random
        + bytes([len(session_id)])
        + session_id
        + bytes([len(cookie)])
        + cookie
        + b"\0\2\xc0\x2b\1\0"
    )
    size = len(body).to_bytes(3, "big")
    return record(b"\1" + size + b"\0\0" + b"\0\0\0" + size + body, kind=22, epoch=0)


def test_headers_of_a_glued_datagram() -> None:
    datagram = record(b"abc") + record(b"", kind=20, epoch=0) + record(b"x" * 300, kind=22)
    assert [tuple(each) for each in records.read_headers(datagram)] == [
        (23, 1, 3),
        (20, 0, 0),
        (22, 1, 300),
    ]


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "truncated"),
        (record(b"abc")[:-1], "truncated"),
        (record(b"abc") + b"\x17", "truncated"),
        (record(b"", kind=19), "not_dtls"),
        (record(b"", kind=24), "not_dtls"),
        (b"\x17\x03\x03" + record(b"")[3:], "not_dtls"),
        (record(b"x" * 4096), "too_long"),
        (record(b"") * 33, "too_many_records"),
    ],
)
def test_what_is_no_row_of_records_is_refused_as_a_whole(datagram: bytes, reason: str) -> None:
    with pytest.raises(MalformedError) as caught:
        records.read_headers(datagram)
    assert caught.value.reason == reason


@given(st.binary(max_size=400))
def test_garbage_gives_headers_or_the_typed_error(datagram: bytes) -> None:
    try:
        headers = records.read_headers(datagram)
    except MalformedError:
        return
    assert sum(13 + each.length_bytes for each in headers) == len(datagram)


@given(
    st.lists(st.binary(max_size=400), max_size=30),
    st.integers(min_value=13, max_value=1500),
)
def test_packing_keeps_every_record_whole_and_in_order(contents: list[bytes], mtu: int) -> None:
    glued = [record(content, sequence=n) for n, content in enumerate(contents)]
    datagrams = records.pack(b"".join(glued), mtu)
    assert b"".join(datagrams) == b"".join(glued)
    for datagram in datagrams:
        count = len(records.read_headers(datagram)) if len(datagram) < 4096 else 1
        assert len(datagram) <= mtu or count == 1
    # As few as possible: no datagram's first record would have fitted into the one before.
    for left, right in itertools.pairwise(datagrams):
        first = 13 + records.read_headers(right)[0].length_bytes
        assert len(left) + first > mtu


def test_a_torn_stream_is_not_packed() -> None:
    with pytest.raises(MalformedError):
        records.pack(record(b"abc")[:-1], 1232)
    with pytest.raises(MalformedError):
        records.pack(record(b"abc") + b"\x17", 1232)


def test_a_client_hello_is_read_to_its_cookie() -> None:
    random = bytes(range(32))
    hello = records.read_client_hello(client_hello(b"biscuit", b"session", random))
    assert hello is not None
    assert hello.random == random
    assert hello.cookie == b"biscuit"
    assert hello.sequence == b"\0\0\0\0\0\0\0\7"


@given(st.data())
def test_a_cut_or_bent_client_hello_never_raises(data: st.DataObject) -> None:
    whole = bytearray(client_hello(b"c" * 20, b"s" * 8))
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    hello = records.read_client_hello(cut)
    assert hello is None or (len(hello.random) == 32 and len(hello.cookie) <= 255)


@pytest.mark.parametrize(
    "datagram",
    [
        record(b"\1" + bytes(80), kind=23, epoch=0),  # application data
        record(b"\1" + bytes(80), kind=22, epoch=1),  # encrypted
        record(b"\2" + bytes(80), kind=22, epoch=0),  # a ServerHello
        client_hello()[:13] + b"\1\0\0\x50" + client_hello()[17:],  # a fragment
    ],
)
def test_only_a_whole_plain_client_hello_counts(datagram: bytes) -> None:
    assert records.read_client_hello(datagram) is None


def test_hello_verify_request_as_rfc_6347_lays_it_out() -> None:
    hello = records.read_client_hello(client_hello())
    assert hello is not None
    answer = records.hello_verify_request(hello, b"\xaa" * 32)
    assert (
        answer
        == (
            b"\x16\xfe\xff" + hello.sequence + b"\0\x2f"  # the hello's own sequence number
            b"\x03\0\0\x23\0\0\0\0\0\0\0\x23"  # type 3, 35 bytes, one fragment
            b"\xfe\xff\x20" + b"\xaa" * 32
        )
    )
    assert len(answer) < len(client_hello())
