import asyncio
import contextlib
import errno
import socket
import ssl

import pytest
import uvloop

from drivers.transport import tls
from drivers.transport.addresses import SAME_PORT_ATTEMPTS_MAX, bind_stream, parse_address
from drivers.transport.tls import ListenerLimits, TlsListener, peer_of
from gateway.domain.errors import ConfigError
from security.tls import server_context
from tests.fakes import FakeAdmission, FakeCounters
from tests.ward_pki import WardPki

PATIENCE_S = 60
"""So that what goes wrong fails: the loops of these tests would outlive pytest's own timeout."""


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    return WardPki(tmp_path_factory.mktemp("identities"))


def client_context(pki, holder):
    """A client that trusts the gateway and shows ``holder``'s certificate, or none."""
    context = ssl.create_default_context(cafile=str(pki.gateway.files.trust))
    context.check_hostname = False
    if holder is not None:
        context.load_cert_chain(holder.files.cert, holder.files.key)
    return context


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=sorted(LOOPS))
def run(request):
    """Runs a coroutine on either loop; a fault that the loop reports fails the test."""

    def run_on_loop(coroutine):
        reported = []
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: reported.append(context))
            result = runner.run(coroutine)
        assert reported == []
        return result

    return run_on_loop


class Echo(asyncio.Protocol):
    """Answers what it gets; knows its peer."""

    made: list["Echo"]

    def __init__(self, ward, release):
        self.release = release
        self.ward = ward
        self.peer = None

        ward.changed.set()

    def connection_made(self, transport):
        self.transport = transport
        self.peer = peer_of(transport)
        self.ward.echoes.append(self)

    def data_received(self, data):
        self.transport.write(data)

    def connection_lost(self, exc):
        self.release()
        self.ward.changed.set()


class Ward:
    """A listener with everything around it."""

    def __init__(self, identities, **limits):
        self.identities = identities
        self.echoes = []
        self.admission = FakeAdmission()
        self.counters = Counted()
        self.changed = self.counters.changed
        self.context = server_context(identities.gateway.files)
        self.listener = TlsListener(
            "mqtt",
            lambda release: Echo(self, release),
            lambda: self.context,
            self.admission,
            self.counters,
            ListenerLimits(**{"connections_max": 100, **limits}),
        )

    async def __aenter__(self):
        await self.listener.start([("127.0.0.1", 0)])
        [(self.host, self.port)] = self.listener.addresses()
        return self

    async def __aexit__(self, *_):
        for echo in self.echoes:
            echo.transport.abort()
        await self.listener.stop()
        # The loop hands out connection_lost after abort.
        await self.until(lambda: self.listener.connections == 0)

    async def connect(self, holder):
        return await asyncio.open_connection(
            self.host, self.port, ssl=client_context(self.identities, holder)
        )

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def until_failed(self, reason, count=1):
        key = ("handshakes_failed", "mqtt", reason)
        await self.until(lambda: self.counters.counts[key] >= count)


class Counted(FakeCounters):
    def __init__(self):
        super().__init__()
        self.changed = asyncio.Event()

    def add(self, name, *labels, n=1):
        super().add(name, *labels, n=n)
        self.changed.set()


async def refused(ward, holder):
    """Connect and see nothing but an alert or a broken connection."""
    with contextlib.suppress(ssl.SSLError, OSError):
        reader, writer = await ward.connect(holder)
        writer.write(b"hello")
        answer = b"nothing"
        with contextlib.suppress(ssl.SSLError, OSError):
            answer = await reader.read(5)
        writer.transport.abort()
        assert answer in {b"", b"nothing"}


def test_a_device_is_let_in_and_known(run, identities):
    async def main():
        device = identities.device("mon-1")
        async with Ward(identities) as ward:
            reader, writer = await ward.connect(device)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            [echo] = ward.echoes
            assert echo.peer.certificate == device.der
            host, port = writer.get_extra_info("sockname")
            assert echo.peer.name == f"{host}:{port}"
            assert echo.transport.get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY
            )
            assert ward.counters.counts[("handshakes", "mqtt")] == 1
            assert ward.listener.connections == 1
            writer.close()
            await ward.until(lambda: ward.listener.connections == 0)

    run(main())


@pytest.mark.parametrize(
    ("who", "alert"),
    [
        ("nobody", "certificate required"),
        ("stranger", "unknown ca"),
        ("expired", "certificate expired"),
    ],
)
def test_a_refused_peer_learns_why(run, identities, who, alert):
    holder = {
        "nobody": lambda: None,
        "stranger": lambda: identities.stranger("mon-1"),
        "expired": lambda: identities.expired("mon-1"),
    }[who]()

    async def main():
        async with Ward(identities) as ward:
            with pytest.raises(ssl.SSLError, match=alert):
                await talk(ward, holder)
            assert ward.echoes == []

    async def talk(ward, holder):
        reader, writer = await ward.connect(holder)
        writer.write(b"hello")  # TLS 1.3: the client is done before the server has looked
        await reader.read(5)

    run(main())


@pytest.mark.parametrize(
    ("who", "reason"),
    [("nobody", "no_certificate"), ("stranger", "untrusted"), ("expired", "expired")],
)
def test_bad_certificates_get_an_alert_and_are_audited(run, identities, who, reason):
    holder = {
        "nobody": lambda: None,
        "stranger": lambda: identities.stranger("mon-1"),
        "expired": lambda: identities.expired("mon-1"),
    }[who]()

    async def main():
        async with Ward(identities) as ward:
            await refused(ward, holder)
            await ward.until_failed(reason)
            assert ward.admission.refusals == [(reason, "mqtt", "")]
            assert ward.echoes == []
            assert ward.listener.connections == 0

    run(main())


def test_plaintext_is_refused(run, identities):
    async def main():
        async with Ward(identities) as ward:
            reader, writer = await asyncio.open_connection(ward.host, ward.port)
            writer.write(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")
            await ward.until_failed("handshake")
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            assert ward.admission.refusals == [("handshake", "mqtt", "")]
            assert ward.listener.connections == 0

    run(main())


def test_a_port_scan_is_counted_and_not_audited(run, identities):
    async def main():
        async with Ward(identities) as ward:
            _, writer = await asyncio.open_connection(ward.host, ward.port)
            writer.close()
            await ward.until_failed("broken_off")
            assert ward.admission.refusals == []
            assert ward.listener.connections == 0

    run(main())


def test_a_slow_handshake_times_out(run, identities):
    async def main():
        async with Ward(identities, handshake_timeout_s=0.05) as ward:
            reader, writer = await asyncio.open_connection(ward.host, ward.port)
            writer.write(b"\x16\x03\x01")
            await ward.until_failed("timeout")
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()

    run(main())


def test_silent_peers_make_room_for_an_honest_one(run, identities):
    device = identities.device("mon-1")

    async def main():
        async with Ward(identities, handshakes_max=3, handshake_overdue_s=0.05) as ward:
            silent = [await asyncio.open_connection(ward.host, ward.port) for _ in range(6)]
            reader, writer = await ward.connect(device)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            # The first three have made room for the others, and are really gone.
            for early, _ in silent[:3]:
                with contextlib.suppress(ConnectionError):
                    assert await early.read() == b""
            assert ward.counters.counts[("handshakes_failed", "mqtt", "overdue")] >= 3
            for _, late in silent:
                late.close()
            await ward.until(lambda: ward.listener.connections == 1)

    run(main())


def test_connections_are_capped(run, identities):
    device = identities.device("mon-1")

    async def main():
        async with Ward(identities, connections_max=1) as ward:
            _, first = await ward.connect(device)
            with pytest.raises(OSError):
                await ward.connect(device)
            assert ward.counters.counts[("refused", "overloaded", "mqtt")] == 1
            first.close()
            await ward.until(lambda: ward.listener.connections == 0)
            _, second = await ward.connect(device)
            second.close()

    run(main())


def test_a_new_context_applies_to_the_next_connection(run, identities, tmp_path):
    device = identities.device("mon-1")
    other = WardPki(tmp_path)

    async def main():
        async with Ward(identities) as ward:
            _, before = await ward.connect(device)
            ward.context = server_context(other.gateway.files)
            with pytest.raises(ssl.SSLCertVerificationError):
                await ward.connect(device)
            assert not before.transport.is_closing()

    run(main())


def test_addresses_come_and_go_and_connections_stay(run, identities):
    async def main():
        device = identities.device("mon-1")
        async with Ward(identities) as ward:
            first = ("127.0.0.1", ward.port)
            reader, writer = await ward.connect(device)
            with socket.socket() as spare:
                spare.bind(("127.0.0.1", 0))
                second = spare.getsockname()
            limits = ListenerLimits(connections_max=100)
            await ward.listener.move([second], [], limits)
            assert ward.listener.addresses() == [first, second]
            _, other = await ward.connect(device)
            other.close()

            with (
                socket.create_server(("127.0.0.1", 0)) as taken,
                pytest.raises(OSError, match="in use"),
            ):
                await ward.listener.move([taken.getsockname()], [first], limits)
            assert ward.listener.addresses() == [first, second]
            _, other = await ward.connect(device)
            other.close()

            await ward.listener.move([], [first], limits)
            assert ward.listener.addresses() == [second]
            assert ward.listener.healthy()
            with pytest.raises(ConnectionRefusedError):
                await ward.connect(device)
            ward.port = second[1]
            _, other = await ward.connect(device)
            other.close()

            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"

    run(main())


def test_stop_gives_up_half_open_connections(run, identities):
    async def main():
        async with Ward(identities) as ward:
            assert ward.listener.healthy()
            reader, writer = await asyncio.open_connection(ward.host, ward.port)
            writer.write(b"\x16")
            await writer.drain()
            await ward.until(lambda: ward.listener.connections == 1)
            await ward.listener.stop()
            assert not ward.listener.healthy()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            with pytest.raises(OSError):
                await asyncio.open_connection(ward.host, ward.port)
            await ward.listener.stop()

    run(main())


def test_handshakes_in_a_storm(run, identities, monkeypatch):
    # The clients have the same loop, and on a busy machine keep themselves waiting.
    monkeypatch.setattr(tls, "STALLED_S", 60)
    device = identities.device("mon-1")
    context = client_context(identities, device)
    count = 60

    async def main():
        async with Ward(identities, handshakes_max=8, handshake_overdue_s=60) as ward:

            async def one():
                reader, writer = await asyncio.open_connection(ward.host, ward.port, ssl=context)
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
                writer.close()

            await asyncio.gather(*(one() for _ in range(count)))
            assert ward.counters.counts[("handshakes", "mqtt")] == count

    run(main())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8883", ("127.0.0.1", 8883)),
        ("[::1]:0", ("::1", 0)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
    ],
)
def test_addresses(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "8883", ":8883", "localhost:8883", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "::1:8883",
     "127.0.0.1:65536", "[127.0.0.1]:1", "[::1]", "127.0.0.1:-1", "127.0.0.1:\u0661"],
)  # fmt: skip
def test_what_is_no_address(text):
    with pytest.raises(ConfigError):
        parse_address(text)


def test_one_port_for_several_addresses():
    sockets = bind_stream([("127.0.0.1", 0), ("::1", 0)])
    try:
        (_, first), (_, second) = (sock.getsockname()[:2] for sock in sockets)
        assert first == second
    finally:
        for sock in sockets:
            sock.close()


def test_a_taken_port_leaves_nothing_open():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as free:
            other = free.getsockname()[1]
        with pytest.raises(OSError):
            bind_stream([("127.0.0.1", other), ("127.0.0.1", port)])
        socket.create_server(("127.0.0.1", other)).close()


def test_the_search_for_a_common_port_ends(monkeypatch):
    tries = []

    class Stubborn(socket.socket):
        def bind(self, address):
            if ":" in address[0]:
                tries.append(address[1])
                raise OSError(errno.EADDRINUSE, "in use")
            super().bind(address)

    monkeypatch.setattr(socket, "socket", Stubborn)
    with pytest.raises(OSError):
        bind_stream([("127.0.0.1", 0), ("::1", 0)])
    assert len(tries) == SAME_PORT_ATTEMPTS_MAX


def test_silent_peers_make_room_long_before_they_are_overdue(run, identities):
    device = identities.device("mon-1")

    async def main():
        async with Ward(identities, handshakes_max=4, handshake_overdue_s=3600) as ward:
            silent = [await asyncio.open_connection(ward.host, ward.port) for _ in range(9)]
            for _, writer in silent[::2]:
                writer.write(b"\x16\x03\x01\x02\x00\x01")  # these begin a hello, and stop
            reader, writer = await ward.connect(device)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert ward.counters.counts[("handshakes_failed", "mqtt", "overdue")] >= 7
            for _, late in silent:
                late.close()
            await ward.until(lambda: ward.listener.connections == 1)

    run(main())


def test_few_begin_at_a_time_and_the_slow_keep_nobody_waiting(run, identities, monkeypatch):
    device = identities.device("mon-1")

    async def main():
        async with Ward(identities) as ward:
            monkeypatch.setattr(tls, "FRESH_S", 3600)
            silent = [await asyncio.open_connection(ward.host, ward.port) for _ in range(20)]
            while ward.listener.connections < 20:  # noqa: ASYNC110  # nobody says so
                await asyncio.sleep(0.01)
            assert ward.listener.half_open == tls.FRESH_MAX
            silent[0][1].close()
            await ward.until_failed("broken_off")
            assert ward.listener.half_open == tls.FRESH_MAX  # the next one has begun
            monkeypatch.setattr(tls, "FRESH_S", 0.05)
            reader, writer = await ward.connect(device)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            assert ward.listener.half_open == 19
            writer.close()
            for _, late in silent:
                late.close()
            await ward.until(lambda: ward.listener.connections == 0)

    run(main())


def test_who_waits_for_a_busy_loop_is_not_taken_for_slow(run, identities, monkeypatch):
    async def main():
        async with Ward(identities) as ward:
            monkeypatch.setattr(tls, "FRESH_S", 0)  # all have been under way for long
            monkeypatch.setattr(tls, "waits_for_us", lambda _: True)
            waiting = [await asyncio.open_connection(ward.host, ward.port) for _ in range(20)]
            await ward.until(lambda: ward.listener.connections == 20)
            assert ward.listener.half_open == tls.FRESH_MAX
            monkeypatch.setattr(tls, "waits_for_us", lambda _: False)
            await ward.until(lambda: ward.listener.half_open == 20)
            for _, late in waiting:
                late.close()
            await ward.until(lambda: ward.listener.connections == 0)

    run(main())


@pytest.fixture
def unhurried(monkeypatch):
    """Nobody is too slow: the limits of a listener with whom each keeps its place."""
    monkeypatch.setattr(tls, "STALLED_S", 3600)
    return {"handshake_timeout_s": 3600, "handshake_overdue_s": 3600}


def test_a_line_that_is_full_turns_away(run, identities, unhurried):
    async def main():
        async with Ward(identities, handshakes_max=1, waiting_max=1, **unhurried) as ward:
            peers = [await asyncio.open_connection(ward.host, ward.port) for _ in range(3)]
            refused = ("refused", "overloaded", "mqtt")
            await ward.until(lambda: ward.counters.counts[refused] == 1)
            assert await peers[2][0].read() == b""
            assert ward.listener.connections == 2
            for _, writer in peers:
                writer.close()

    run(main())


def test_stopping_leaves_nobody_in_line(run, identities, unhurried):
    async def main():
        async with Ward(identities, handshakes_max=1, **unhurried) as ward:
            peers = [await asyncio.open_connection(ward.host, ward.port) for _ in range(3)]
            await ward.until(lambda: ward.listener.connections == 3)
            await ward.listener.stop()
            for reader, writer in peers:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()

    run(main())
