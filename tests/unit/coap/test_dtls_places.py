"""Half-open handshakes: how many there may be, and who makes room for whom."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.transport.dtls import arrival
from drivers.transport.dtls.association import Association, HandshakeError, State
from drivers.transport.dtls.cookies import Address
from drivers.transport.dtls.handshakes import Handshake, Handshakes, ServerLimits
from drivers.transport.dtls.records import read_headers
from gateway.clock import SystemClock
from security import tls
from tests.unit.coap.wire import Bench, Peer, leave_half_open
from tests.ward_pki import Holder, WardPki


@pytest.fixture(scope="module")
def monitor(ward: WardPki) -> Holder:
    return ward.device("monitor-1")


async def test_silent_peers_make_room_for_a_newcomer(ward: WardPki, monitor: Holder) -> None:
    limits = ServerLimits(half_open_per_host_max=3, silent_s_max=1.5)
    bench = Bench(ward, monitor, limits=limits)
    left = [leave_half_open(bench, monitor, ("192.0.2.9", port)) for port in range(3)]
    assert not bench.connect(monitor, ("192.0.2.9", 3)).association.established
    bench.clock.advance(1.4)
    assert not bench.connect(monitor, ("192.0.2.9", 4)).association.established
    bench.clock.advance(0.2)
    assert bench.connect(monitor, ("192.0.2.9", 5)).association.established
    assert bench.server.half_open == 2
    assert bench.failed("overdue") == 1
    with pytest.raises(HandshakeError):  # it hears that nobody waits for it any more
        left[0].read()
    assert left[0].association.state is State.CLOSED
    left[1].run()
    assert left[1].association.established


async def test_silent_peers_of_anybody_make_room_in_a_full_table(
    ward: WardPki, monitor: Holder
) -> None:
    bench = Bench(ward, monitor, limits=ServerLimits(half_open_max=3))
    for number in range(3):
        leave_half_open(bench, monitor, (f"192.0.2.{number}", 1))
    assert not bench.connect(monitor, ("192.0.2.9", 1)).association.established
    bench.clock.advance(1.6)
    assert bench.connect(monitor, ("192.0.2.9", 2)).association.established
    assert [each.address[0] for each in bench.server._handshakes] == ["192.0.2.1", "192.0.2.2"]


async def test_a_slow_handshake_that_goes_on_keeps_its_place(
    ward: WardPki, monitor: Holder
) -> None:
    """A flight is lost, then its repetition: the peer repeats itself after 1 and 2 s."""
    limits = ServerLimits(half_open_per_host_max=2, silent_s_max=1.5)
    bench = Bench(ward, monitor, limits=limits)
    slow = Peer(bench, monitor, ("192.0.2.9", 1))
    hello = slow.greet()
    lost = bench.wire.take(slow.address)
    bench.clock.advance(0.5)
    leave_half_open(bench, monitor, ("192.0.2.9", 2))
    bench.clock.advance(0.5)
    bench.put(hello, slow.address)
    bench.clock.advance(1.1)
    assert bench.connect(monitor, ("192.0.2.9", 3)).association.established
    assert [each.address[1] for each in bench.server._handshakes] == [1]
    for datagram in lost:
        slow.association.receive(datagram, len(read_headers(datagram)))
    slow.run()
    assert slow.association.established


async def test_talking_on_keeps_no_place_for_long(ward: WardPki, monitor: Holder) -> None:
    limits = ServerLimits(half_open_per_host_max=1, overdue_s=8.0)
    bench = Bench(ward, monitor, limits=limits)
    talker = Peer(bench, monitor, ("192.0.2.9", 1))
    hello = talker.greet()
    for _ in range(8):
        bench.clock.advance(1.0)
        bench.put(hello, talker.address)
        assert not bench.connect(monitor, ("192.0.2.9", 2)).association.established
    bench.clock.advance(0.1)
    assert bench.connect(monitor, ("192.0.2.9", 2)).association.established


async def test_nobody_makes_room_for_who_is_over_its_rate(ward: WardPki, monitor: Holder) -> None:
    limits = ServerLimits(
        half_open_per_host_max=1, handshakes_per_host=1, handshakes_per_host_s=0.01
    )
    bench = Bench(ward, monitor, limits=limits)
    left = leave_half_open(bench, monitor, ("192.0.2.9", 1))
    bench.clock.advance(2.0)
    assert not bench.connect(monitor, ("192.0.2.9", 2)).association.established
    left.run()
    assert left.association.established


async def test_who_waits_in_our_own_socket_is_not_silent(ward: WardPki, monitor: Holder) -> None:
    """The newcomer's hello had waited as long as the other's flight, which lies behind it."""
    places = Handshakes(ServerLimits(half_open_per_host_max=1))
    first, second = ("192.0.2.9", 1), ("192.0.2.9", 2)
    context = tls.dtls_server_context(ward.gateway.files)
    one = Handshake(Association(context, server=True), first, b"", 10.0, 40.0)
    places.add(one)
    assert places.room_for(second, 15.0, waited_s=4.9) is None
    assert places.room_for(second, 15.0, waited_s=3.4) == (one,)
    assert places.room_for(first, 15.0) == (one,)  # it begins anew in its own place


async def test_the_kernel_tells_how_long_a_datagram_waited() -> None:
    clock = SystemClock()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there,
    ):
        here.bind(("127.0.0.1", 0))
        arrival.watch(here)
        waited_s = 0.0
        for _ in range(30):  # the kernel begins to look at the clock a moment after it is asked
            there.sendto(b"word", here.getsockname())
            await asyncio.sleep(0.3)
            here.recv(16)
            waited_s = arrival.waited_s(here.fileno(), clock.now_us())
            if waited_s > 0.2:  # its clock may be slowed down meanwhile
                break
        assert waited_s > 0.2
        assert arrival.waited_s(there.fileno(), clock.now_us()) == 0.0  # it never read any


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["come", "talk", "end"]), st.integers(0, 11), st.floats(0.0, 4.0)
        ),
        max_size=60,
    )
)
def test_places_are_bounded_whoever_comes_talks_and_ends(
    moves: list[tuple[str, int, float]],
) -> None:
    limits = ServerLimits(half_open_max=5, half_open_per_host_max=2)
    places, now_s = Handshakes(limits), 1000.0
    heard: dict[Address, float] = {}
    for move, who, pause_s in moves:
        now_s += pause_s
        address = (f"192.0.2.{who % 4}", who)
        present = places.get(address)
        if move == "come":
            leaving = places.room_for(address, now_s)
            if leaving is None:
                continue
            for each in leaving:
                assert each is present or (
                    now_s - heard[each.address] > limits.silent_s_max
                    or now_s - each.began_s > limits.overdue_s
                )
                places.remove(each)
            places.add(Handshake(None, address, b"", now_s, now_s + 30))  # type: ignore[arg-type]
            heard[address] = now_s
        elif present is not None and move == "talk":
            places.heard(present, now_s)
            heard[address] = now_s
        elif present is not None:
            places.remove(present)
            places.remove(present)
        hosts = Counter(each.host for each in places)
        assert len(places) <= limits.half_open_max
        assert all(count <= limits.half_open_per_host_max for count in hosts.values())
