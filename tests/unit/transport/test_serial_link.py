"""Serial links over ptys and sockets: order, bounds, loss, reconnecting, stopping."""

import asyncio
import contextlib
import os
import pty
import random
import resource
import socket
import threading
import tty

import msgspec
import pytest
import serial

from drivers.transport.serial import SerialLimits, SerialLink, SerialSettings
from drivers.transport.serial_thread import READ_BYTES, open_port

LIMITS = SerialLimits(rest_min_s=0.02, rest_max_s=0.05)


class Recorder:
    """A listener that keeps what it was told and wakes who waits for it."""

    def __init__(self):
        self.told = []
        self.data = bytearray()
        self.on_data = None
        self._news = asyncio.Event()

    def link_up(self):
        self._tell("up")

    def data_received(self, data):
        self.data += data
        self._tell(len(data))
        if self.on_data is not None:
            self.on_data()

    def link_lost(self, reason):
        self._tell(reason)

    def _tell(self, what):
        self.told.append(what)
        self._news.set()

    async def until(self, condition):
        while not condition(self):
            self._news.clear()
            await self._news.wait()

    @property
    def turns(self):
        return [what for what in self.told if isinstance(what, str)]


class Line:
    """A pty whose master is the device, behind a path that survives replugging."""

    def __init__(self, directory):
        self.path = directory / "tty"
        self.plug_in()

    def plug_in(self):
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.path.symlink_to(os.ttyname(self.slave))

    def pull(self):
        self.path.unlink()
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def line(tmp_path):
    line = Line(tmp_path)
    yield line
    with contextlib.suppress(OSError):
        line.pull()


def link_to(port, listener, limits=LIMITS):
    return SerialLink(SerialSettings(port=str(port)), listener, random.Random(1), limits)


@contextlib.asynccontextmanager
async def started(port, limits=LIMITS):
    recorder = Recorder()
    link = link_to(port, recorder, limits)
    link.start()
    try:
        yield link, recorder
    finally:
        await link.stop(5.0)


async def test_bytes_both_ways_in_order(line):
    async with started(line.path) as (link, heard):
        await heard.until(lambda h: h.told == ["up"])
        os.write(line.master, b"from the device")
        await heard.until(lambda h: h.data == b"from the device")
        assert link.write(b"to ")
        assert link.write(b"the device")
        said = b""
        while said != b"to the device":
            said += await readable(line.master)
        assert link.up


async def readable(descriptor):
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    await ready.wait()
    loop.remove_reader(descriptor)
    return os.read(descriptor, 4096)


async def test_a_lost_line_is_opened_again(line):
    async with started(line.path) as (link, heard):
        await heard.until(lambda h: h.turns == ["up"])
        line.pull()
        await heard.until(lambda h: len(h.turns) == 2)
        assert heard.turns[1] in ("hung_up", "read_failed")
        assert not link.up
        assert not link.write(b"nobody there")
        line.plug_in()
        await heard.until(lambda h: h.turns[2:] == ["up"])
        os.write(line.master, b"again")
        await heard.until(lambda h: h.data == b"again")


async def test_a_port_that_is_not_there_is_awaited(line):
    line.pull()
    async with started(line.path) as (_, heard):
        line.plug_in()
        await heard.until(lambda h: h.turns == ["up"])


async def test_a_paused_link_keeps_bytes_and_hands_them_over_in_order(line):
    async with started(line.path) as (link, heard):
        await heard.until(lambda h: h.turns == ["up"])
        heard.on_data = link.pause
        os.write(line.master, b"first ")
        await heard.until(lambda h: h.data == b"first ")
        os.write(line.master, b"second")
        mailbox = link._mailbox
        assert mailbox is not None
        await asyncio.to_thread(wait_for, lambda: mailbox._inbox_bytes == 6)
        assert heard.data == b"first "
        heard.on_data = None
        link.resume()
        await heard.until(lambda h: h.data == b"first second")


def wait_for(condition):
    turn = threading.Event()
    while not condition():
        turn.wait(0.005)


async def test_overflow_while_paused_is_a_loss_that_is_told_after_the_data(line):
    limits = LIMITS._replace(received_bytes_max=READ_BYTES)
    async with started(line.path, limits) as (link, heard):
        await heard.until(lambda h: h.turns == ["up"])
        link.pause()
        sent = 0
        mailbox = link._mailbox
        assert mailbox is not None
        while mailbox._open:
            with contextlib.suppress(BlockingIOError):
                sent += os.write(line.master, bytes(1000))
            await asyncio.sleep(0)
        assert mailbox._inbox_bytes <= READ_BYTES + len("overflow")
        link.resume()
        await heard.until(lambda h: "overflow" in h.turns)
        assert 0 < len(heard.data) <= READ_BYTES < sent
        assert heard.told[-1] == "overflow" or heard.turns[-1] == "up"


async def test_a_line_that_takes_nothing_is_lost(line):
    limits = LIMITS._replace(write_s=0.1)
    async with started(line.path, limits) as (link, heard):
        await heard.until(lambda h: h.turns == ["up"])
        # A pty holds a few KiB, which the thread may take meanwhile; and the queue is bounded.
        assert link.write(bytes(60_000))
        assert not all(link.write(bytes(10_000)) for _ in range(16))
        await heard.until(lambda h: h.turns[1:2] == ["write_stuck"])


async def test_reset_forgets_tells_at_once_and_opens_again(line):
    async with started(line.path) as (link, heard):
        await heard.until(lambda h: h.turns == ["up"])
        link.pause()
        os.write(line.master, b"of the past")
        link.reset("revoked")
        assert heard.turns == ["up", "revoked"]
        assert not link.write(b"x")
        link.resume()
        await heard.until(lambda h: h.turns == ["up", "revoked", "up"])
        os.write(line.master, b"new")
        await heard.until(lambda h: h.data.endswith(b"new"))


async def test_a_listener_may_reset_while_it_is_told_of_data(line):
    async with started(line.path) as (link, heard):
        await heard.until(lambda h: h.turns == ["up"])
        heard.on_data = lambda: link.reset("enough")
        os.write(line.master, b"x")
        await heard.until(lambda h: h.turns[:2] == ["up", "enough"])
        heard.on_data = None
        await heard.until(lambda h: h.turns == ["up", "enough", "up"])


async def test_stop_writes_what_is_queued_and_calls_nobody(line):
    heard = Recorder()
    link = link_to(line.path, heard)
    link.start()
    await heard.until(lambda h: h.turns == ["up"])
    assert link.write(b"goodbye")
    await link.stop(5.0)
    assert os.read(line.master, 100) == b"goodbye"
    told = list(heard.told)
    line.pull()
    await link.stop(5.0)
    assert heard.told == told
    for thread in threading.enumerate():
        if thread.name == f"serial {line.path}":
            thread.join(5.0)  # it has said that it ends
            assert not thread.is_alive()


async def test_stop_is_bounded_when_opening_hangs(line, monkeypatch):
    opening, release = threading.Event(), threading.Event()

    def hang(*_args, **_kwargs):
        opening.set()
        release.wait()
        raise serial.SerialException("hung")

    monkeypatch.setattr(serial, "serial_for_url", hang)
    link = link_to(line.path, Recorder())
    link.start()
    await asyncio.to_thread(opening.wait)
    await link.stop(0.05)
    release.set()
    await link.stop(5.0)
    assert link._ended.is_set()


async def test_a_failure_of_the_backend_is_survived(line, monkeypatch):
    real = serial.serial_for_url
    failures: list[int] = []

    def fail_once(*args, **kwargs):
        if not failures:
            failures.append(1)
            raise TypeError("a bug of a back-end")
        return real(*args, **kwargs)

    monkeypatch.setattr(serial, "serial_for_url", fail_once)
    async with started(line.path) as (_, heard):
        await heard.until(lambda h: h.turns == ["up"])
    assert failures


async def test_two_links_never_share_a_port(line):
    async with started(line.path) as (_, first):
        await first.until(lambda h: h.turns == ["up"])
        second = Recorder()
        link = link_to(line.path, second)
        link.start()
        os.write(line.master, b"whose")
        await first.until(lambda h: h.data == b"whose")
        await link.stop(5.0)
        assert second.told == []


async def test_descriptors_beyond_1023(line):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("needs 1200 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    taken = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while taken[-1] < 1050:
            taken.append(os.dup(taken[0]))
        async with started(line.path) as (link, heard):
            await heard.until(lambda h: h.turns == ["up"])
            os.write(line.master, b"high")
            await heard.until(lambda h: h.data == b"high")
            assert link.write(b"up here")
            assert await readable(line.master) == b"up here"
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_socket():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        async with started(url) as (link, heard):
            loop = asyncio.get_running_loop()
            peer, _ = await loop.sock_accept(server)
            with peer:
                await heard.until(lambda h: h.turns == ["up"])
                await loop.sock_sendall(peer, b"x" * 10_000)
                await heard.until(lambda h: len(h.data) == 10_000)
                assert link.write(b"answer")
                assert await loop.sock_recv(peer, 100) == b"answer"
            await heard.until(lambda h: h.turns[1:] == ["hung_up"])


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"port": "ttyS0"}, "absolute"),
        ({"port": "loop://"}, "absolute"),
        ({"port": "/dev/ttyS0", "baud_rate": 0}, "baud_rate"),
        ({"port": "/dev/ttyS0", "parity": "maybe"}, "parity"),
        ({"port": "/dev/ttyS0", "stop_bits": 3}, "stop_bits"),
        ({"port": "/dev/ttyS0", "speed": 3}, "speed"),
    ],
)
def test_settings_are_checked(settings, word):
    with pytest.raises(msgspec.ValidationError, match=word):
        msgspec.convert(settings, SerialSettings)


def test_line_settings_reach_the_port(line):
    settings = SerialSettings(
        port=str(line.path), baud_rate=19200, data_bits=7, parity="even", stop_bits=2
    )
    with open_port(settings) as port:
        assert (port.baudrate, port.bytesize, port.parity, port.stopbits) == (19200, 7, "E", 2)
        assert port.exclusive
