from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from drivers.transport.dtls.association import (
    TRANSITIONS,
    Association,
    Event,
    HandshakeError,
    State,
)
from drivers.transport.dtls.handshakes import ServerLimits
from drivers.transport.dtls.records import read_headers
from gateway.domain.ports import Carrier
from security import tls
from tests.fakes import FakeTap
from tests.unit.coap.test_dtls_records import client_hello
from tests.unit.coap.wire import HOME, Bench, Peer, leave_half_open
from tests.ward_pki import Holder, WardPki

ELSEWHERE = ("192.0.2.2", 40000)


@pytest.fixture(scope="module")
def monitor(ward: WardPki) -> Holder:
    return ward.device("monitor-1")


@pytest.fixture(scope="module")
def drip(ward: WardPki) -> Holder:
    return ward.device("drip-1")


async def test_a_device_connects_talks_and_leaves(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor)
    peer = bench.connect(monitor)
    assert peer.association.established
    assert [each.device.device_id for each in bench.owner.live] == ["monitor-1"]
    assert len(bench.admission.live) == 1
    peer.say(b"hello")
    assert bench.owner.heard == [("monitor-1", b"hello")]
    bench.owner.live[0].send(b"answer")
    peer.read()
    assert peer.heard == [b"answer"]
    peer.association.close()
    peer.run()
    assert bench.owner.ended == [("monitor-1", "closed")]
    assert not bench.admission.live
    assert bench.server.sessions == 0


async def test_a_tap_is_told_of_plaintexts_while_it_is_there(
    ward: WardPki, monitor: Holder
) -> None:
    bench = Bench(ward, monitor)
    peer = bench.connect(monitor)
    (session,) = bench.owner.live
    tap = FakeTap()
    peer.say(b"before")
    assert session.use_tap(tap) == (Carrier.DATAGRAMS, False)
    peer.say(b"hello")
    session.send(b"answer")
    session.use_tap(None)
    peer.say(b"after")
    assert tap.told == [("received", b"hello"), ("sent", b"answer")]
    assert [plaintext for _, plaintext in bench.owner.heard] == [b"before", b"hello", b"after"]


async def test_no_state_before_the_cookie_comes_back(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor)
    for port in range(1000):
        bench.put(client_hello(random=port.to_bytes(32, "big")), ("198.51.100.7", port))
    assert bench.server.half_open == 0
    assert all(len(sent) == 1 for sent in bench.wire.sent.values())
    sent = sum(len(datagram) for each in bench.wire.sent.values() for datagram in each)
    assert sent < 1000 * len(client_hello())


async def test_a_cookie_of_another_address_opens_nothing(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor)
    peer = Peer(bench, monitor, HOME)
    peer.association.start()
    for datagram in peer.association.outgoing():
        bench.put(datagram)
    peer.read()
    (with_cookie,) = peer.association.outgoing()
    bench.put(with_cookie, ELSEWHERE)
    assert bench.server.half_open == 0
    assert len(bench.wire.take(ELSEWHERE)) == 1  # a cookie of its own, and no more
    bench.put(with_cookie, HOME)
    assert bench.server.half_open == 1


async def test_a_repeated_hello_belongs_to_its_handshake(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor)
    peer = Peer(bench, monitor, HOME)
    peer.association.start()
    (first,) = peer.association.outgoing()
    bench.put(first)
    peer.read()
    (with_cookie,) = peer.association.outgoing()
    bench.put(with_cookie)
    flight = bench.wire.take(HOME)
    assert flight
    bench.put(with_cookie)  # the network's duplicate: one handshake, not two
    assert bench.server.half_open == 1
    for datagram in flight:
        peer.association.receive(datagram, len(read_headers(datagram)))
    peer.run()
    assert peer.association.established
    bench.put(with_cookie)  # and late, when all is done
    assert bench.server.half_open == 0
    assert bench.server.sessions == 1
    peer.say(b"still here")
    assert bench.owner.heard == [("monitor-1", b"still here")]


@pytest.mark.parametrize("lost", range(4))
async def test_a_lost_flight_is_repeated(ward: WardPki, monitor: Holder, lost: int) -> None:
    """Lose the server's datagram number ``lost``: the timers of both sides repair it."""
    bench = Bench(ward, monitor)
    peer = Peer(bench, monitor, HOME)
    peer.association.start()
    # DTLS's first timer is one second; a fake clock can't hurry OpenSSL, so both sides are
    # asked to repeat by hand, as a due timer would.
    seen = 0
    for _ in range(40):
        for datagram in peer.association.outgoing():
            bench.put(datagram)
        for datagram in bench.wire.take(HOME):
            seen += 1
            if seen - 1 != lost:
                peer.association.receive(datagram, len(read_headers(datagram)))
        if peer.association.established and bench.server.sessions:
            break
        if not bench.wire.sent and peer.association.state is State.HANDSHAKING:
            wait_s = peer.association.timeout_s()
            if wait_s is not None:
                await asyncio.sleep(min(wait_s, 0.3))
            peer.association.on_timeout()
    assert bench.server.sessions == 1
    assert peer.association.established


@pytest.mark.parametrize(
    ("who", "reason"),
    [("stranger", "untrusted"), ("expired", "expired"), ("gateway", "unknown_device")],
)
async def test_who_is_refused_and_why(
    ward: WardPki, monitor: Holder, who: str, reason: str
) -> None:
    bench = Bench(ward, monitor)
    holder = {
        "stranger": ward.stranger("monitor-1"),
        "expired": ward.expired("monitor-1"),
        "gateway": ward.gateway,
    }[who]
    peer = Peer(bench, holder, HOME)
    peer.association.start()
    with suppress(HandshakeError):
        peer.run()
    assert not bench.owner.live
    assert not bench.owner.heard
    assert bench.server.half_open == bench.server.sessions == 0
    assert bench.failed(reason) == 1
    assert [each[0] for each in bench.admission.refusals] == [reason]
    assert not peer.association.established


async def test_without_a_certificate_there_is_no_session(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor)
    context = SSL.Context(SSL.DTLS_CLIENT_METHOD)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    peer = Peer(bench, monitor, HOME)
    peer.association = Association(context, server=False)
    peer.association.start()
    with pytest.raises(HandshakeError):
        peer.run()
    assert bench.failed("no_certificate") == 1
    assert [each[0] for each in bench.admission.refusals] == ["no_certificate"]
    assert not bench.owner.live


async def test_revocation_kills_a_live_session(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor)
    peer = bench.connect(monitor)
    (session,) = bench.admission.live
    session.kill("revoked")
    session.kill("revoked")
    assert bench.owner.ended == [("monitor-1", "revoked")]
    peer.read()
    assert peer.association.state is State.CLOSED  # it heard close_notify
    bench.owner.heard.clear()
    bench.admission.devices.clear()
    again = bench.connect(monitor)
    assert not again.association.established
    assert not bench.owner.heard


async def test_a_new_handshake_replaces_only_when_it_is_complete(
    ward: WardPki, monitor: Holder, drip: Holder
) -> None:
    bench = Bench(ward, monitor, drip)
    old = bench.connect(monitor)
    new = Peer(bench, drip, HOME)
    new.association.start()
    (first,) = new.association.outgoing()
    bench.put(first)
    new.read()
    (with_cookie,) = new.association.outgoing()
    bench.put(with_cookie)
    old.say(b"during")
    assert bench.owner.heard == [("monitor-1", b"during")]
    new.run()
    assert new.association.established
    assert bench.owner.ended == [("monitor-1", "replaced")]
    assert [each.device.device_id for each in bench.owner.live] == ["drip-1"]
    assert bench.server.sessions == 1


async def test_a_failed_new_handshake_leaves_the_session_alone(
    ward: WardPki, monitor: Holder
) -> None:
    bench = Bench(ward, monitor)
    old = bench.connect(monitor)
    thief = Peer(bench, ward.stranger("monitor-1"), HOME)
    thief.association.start()
    with pytest.raises(HandshakeError):
        thief.run()
    old.say(b"unmoved")
    assert bench.owner.heard == [("monitor-1", b"unmoved")]


async def test_half_open_handshakes_are_bounded(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor, limits=ServerLimits(half_open_max=3))
    for port in range(5):
        leave_half_open(bench, monitor, ("192.0.2.9", port))
    assert bench.server.half_open == 3
    assert bench.failed("overloaded") == 2


async def test_no_host_takes_all_the_places(ward: WardPki, monitor: Holder) -> None:
    limits = ServerLimits(half_open_max=10, half_open_per_host_max=3)
    bench = Bench(ward, monitor, limits=limits)
    for port in range(5):
        leave_half_open(bench, monitor, ("192.0.2.9", port))
    assert bench.server.half_open == 3
    assert bench.connect(monitor, ("192.0.2.10", 1)).association.established
    for handshake in bench.server._handshakes:
        bench.server._handshakes.remove(handshake)
        bench.server._handshakes.remove(handshake)
    assert bench.connect(monitor, ("192.0.2.9", 6)).association.established


async def test_handshakes_of_one_host_are_bounded(ward: WardPki, monitor: Holder) -> None:
    limits = ServerLimits(handshakes_per_host=2, handshakes_per_host_s=1.0)
    bench = Bench(ward, monitor, limits=limits)
    peers = [bench.connect(monitor, ("192.0.2.9", port)) for port in range(3)]
    assert [each.association.established for each in peers] == [True, True, False]
    assert bench.connect(monitor, ("192.0.2.10", 1)).association.established
    bench.clock.advance(1.0)
    assert bench.connect(monitor, ("192.0.2.9", 4)).association.established


async def test_a_stalled_handshake_ends_in_time(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor, limits=ServerLimits(handshake_s_max=5.0))
    leave_half_open(bench, monitor, HOME)
    (handshake,) = bench.server._handshakes
    bench.clock.advance(6.0)
    bench.server._on_timer(handshake)
    assert bench.server.half_open == 0
    assert bench.failed("timeout") == 1
    assert not bench.admission.refusals


async def test_the_longest_idle_session_makes_room(
    ward: WardPki, monitor: Holder, drip: Holder
) -> None:
    limits = ServerLimits(sessions_max=2, evict_idle_s_min=60.0)
    bench = Bench(ward, monitor, drip, limits=limits)
    first = bench.connect(monitor, ("192.0.2.1", 1))
    bench.connect(monitor, ("192.0.2.1", 2))
    bench.clock.advance(30.0)
    assert not bench.connect(drip, ("192.0.2.1", 3)).association.established
    assert bench.failed("overloaded") == 1
    bench.clock.advance(31.0)
    first.say(b"awake")
    assert bench.connect(drip, ("192.0.2.1", 4)).association.established
    assert bench.owner.ended == [("monitor-1", "idle")]
    first.say(b"still awake")
    assert bench.owner.heard[-1] == ("monitor-1", b"still awake")


async def test_idle_sessions_end(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor, limits=ServerLimits(idle_s_max=100.0))
    bench.connect(monitor)
    bench.clock.advance(99.0)
    bench.server._sweep()
    assert bench.server.sessions == 1
    bench.clock.advance(2.0)
    bench.server._sweep()
    assert bench.owner.ended == [("monitor-1", "idle")]
    bench.server.stop()


async def test_a_device_has_few_sessions_at_once(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor, limits=ServerLimits(sessions_per_device_max=2))
    peers = [bench.connect(monitor, ("192.0.2.1", port)) for port in range(3)]
    assert bench.server.sessions == 2
    assert bench.owner.ended == [("monitor-1", "taken_over")]
    peers[0].read()
    assert peers[0].association.state is State.CLOSED


async def test_a_forged_datagram_moves_nothing(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor)
    peer = bench.connect(monitor)
    idle_since_s = bench.owner.live[0].active_s
    bench.clock.advance(10.0)
    good = peer.association.seal(b"good")
    forged = good[:-1] + bytes([good[-1] ^ 1])
    alert = b"\x15\xfe\xfd\0\0\0\0\0\0\0\x09\0\2\2\x28"
    for datagram in (forged, alert, client_hello(), good[:20]):
        bench.put(datagram)
    assert bench.owner.live
    assert bench.owner.live[0].active_s == idle_since_s
    bench.put(good)
    bench.put(good)  # a replay
    assert bench.owner.heard == [("monitor-1", b"good")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["random", "hello", "bent", "cut", "replay"]),
            st.binary(max_size=200),
            st.integers(0, 2**16),
        ),
        max_size=40,
    )
)
async def test_a_storm_of_garbage_is_bounded_and_harms_no_session(
    ward: WardPki, monitor: Holder, storm: list[tuple[str, bytes, int]]
) -> None:
    bench = Bench(ward, monitor)
    peer = bench.connect(monitor)
    good = peer.association.seal(b"first")
    for kind, noise, number in storm:
        match kind:
            case "random":
                datagram = noise
            case "hello":
                datagram = client_hello(cookie=noise[:32], random=noise[:32].ljust(32, b"\0"))
            case "bent":
                bent = bytearray(good)
                bent[number % len(bent)] ^= 1 + number % 255
                datagram = bytes(bent)
            case "cut":
                datagram = good[: number % len(good)]
            case _:
                datagram = good
        for address in (HOME, ELSEWHERE):
            bench.put(datagram, address)
    assert bench.server.half_open == 0
    assert bench.server.sessions == 1
    assert bench.owner.heard in ([], [("monitor-1", b"first")])
    bench.owner.heard.clear()
    peer.say(b"after the storm")
    assert bench.owner.heard == [("monitor-1", b"after the storm")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1500), st.integers(1, 255))))
async def test_a_bent_handshake_fails_or_is_ignored(
    ward: WardPki, monitor: Holder, bends: list[tuple[int, int, int]]
) -> None:
    """A peer whose cookie is good sends any of its later datagrams with any byte changed."""
    bench = Bench(ward, monitor)
    peer = Peer(bench, monitor, HOME)
    peer.association.start()
    for datagram in peer.association.outgoing():
        bench.put(datagram)
    peer.read()
    sent = 0
    for _ in range(6):
        for datagram in peer.association.outgoing():
            bent = bytearray(datagram)
            for number, at, flip in bends:
                if number == sent:
                    bent[at % len(bent)] ^= flip
            sent += 1
            bench.put(bytes(bent))
        with suppress(HandshakeError):
            peer.read()
    assert bench.server.half_open + bench.server.sessions <= 1
    assert not bench.owner.heard
    if not bends:
        assert bench.server.sessions == 1
    assert bench.connect(monitor, ELSEWHERE).association.established
    bench.server.stop()


async def test_a_new_certificate_is_used_at_the_next_handshake(
    ward: WardPki, monitor: Holder
) -> None:
    bench = Bench(ward, monitor)
    old = bench.connect(monitor)
    bench.context = tls.dtls_server_context(ward.gateway.files)
    assert bench.connect(monitor, ELSEWHERE).association.established
    old.say(b"kept")
    assert bench.owner.heard == [("monitor-1", b"kept")]


async def test_stopping_says_goodbye(ward: WardPki, monitor: Holder) -> None:
    bench = Bench(ward, monitor)
    peer = bench.connect(monitor)
    leave_half_open(bench, monitor, ELSEWHERE)
    bench.server.stop()
    bench.server.stop()
    peer.read()
    assert peer.association.state is State.CLOSED
    assert bench.server.half_open == bench.server.sessions == 0
    assert bench.wire.closed


def test_every_state_and_event_is_decided() -> None:
    for state, event in itertools.product(State, Event):
        after = TRANSITIONS.get((state, event))
        if state is State.CLOSED:
            assert after in (None, State.CLOSED)
        elif event is Event.FINISHED:
            assert after is (State.ESTABLISHED if state is State.HANDSHAKING else None)
        else:
            assert after is State.CLOSED


async def test_nothing_is_sealed_before_the_handshake_or_beyond_the_mtu(
    ward: WardPki, monitor: Holder
) -> None:
    bench = Bench(ward, monitor)
    fresh = Peer(bench, monitor, HOME)
    with pytest.raises(ValueError, match="handshaking"):
        fresh.association.seal(b"early")
    peer = bench.connect(monitor)
    longest = peer.association.plaintext_bytes_max
    assert len(peer.association.seal(bytes(longest))) <= 1232
    with pytest.raises(ValueError, match="can't seal"):
        peer.association.seal(bytes(longest + 1))
