"""The player on real lines and sockets: order, turns, pace, and what it says when it can't."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import tty

import pytest

from firmware_sim.playback import framing, loading, pace, player, target
from firmware_sim.playback.conversation import Conversation, Piece, Side
from firmware_sim.playback.way import GoneError, Way
from gateway.domain.errors import ConfigError
from gateway.domain.ports import Carrier

D, P = Side.DEVICE, Side.PEER


def conversation(*pieces, carrier=Carrier.STREAM, step_us=1000):
    made = tuple(Piece(n * step_us, side, data) for n, (side, data) in enumerate(pieces))
    return Conversation(carrier, "10.0.0.1:1", "10.0.0.2:2", made)


class Loop(Way):
    """A gateway that answers as it was told to."""

    def __init__(self, answers):
        super().__init__()
        self.said = []
        self._answers = list(answers)
        self.closed = False

    async def open(self):
        self._answer()

    async def send(self, data):
        self.check()
        self.said.append(data)
        self._answer()

    async def close(self):
        self.closed = True

    def _answer(self):
        answer = self._answers.pop(0) if self._answers else b""
        if answer is None:
            self.ended("the gateway hung up")
        elif answer:
            self.heard(answer)


async def played(way, *conversations, speed=0.0, first_turn_s=0.05):
    return await player.Player(lambda: way, speed, first_turn_s).play(conversations)


async def test_turns_are_kept_as_long_as_the_gateway_takes_them(monkeypatch):
    monkeypatch.setattr(player, "TURN_S", 0.02)
    dialogue = conversation((P, b"who?"), (D, b"me"), (P, b"go"), (D, b"1"), (P, b"?"), (D, b"2"))
    way = Loop([b"who?", b"go", b"?"])
    done = await played(way, dialogue)
    assert way.said == [b"me", b"1", b"2"]
    assert (done.turns, done.turns_taken, done.heard_bytes, done.sent_bytes) == (3, 3, 7, 4)
    way = Loop([b"who?"])  # and says nothing more
    done = await played(way, dialogue)
    assert way.said == [b"me", b"1", b"2"]
    assert (done.turns, done.turns_taken) == (2, 1)
    assert way.closed


async def test_a_gateway_that_goes_ends_it_and_what_it_says_last_does_not():
    way = Loop([b"", b"ok", None])
    with pytest.raises(GoneError, match="hung up"):
        await played(way, conversation((D, b"1"), (D, b"2"), (D, b"3")))
    assert way.closed
    way = Loop([b"", None])  # an answer to the last word
    assert (await played(way, conversation((D, b"bye"), (P, b"bye")))).pieces == 1


def test_the_pace_keeps_pauses_and_forgives_waits():
    at = pace.Pace(10.0)
    assert at.due(5_000_000, 100.0) == 100.0
    assert at.due(6_000_000, 100.0) == pytest.approx(100.1)
    assert at.due(7_000_000, 100.15) == pytest.approx(100.2)  # a little late is made good
    assert at.due(8_000_000, 150.0) == 150.0  # a wait for the gateway shifts what follows
    assert at.due(9_000_000, 150.0) == pytest.approx(150.1)
    assert at.due(8_500_000, 150.1) == pytest.approx(150.1)  # a clock that was set back
    flat = pace.Pace(0.0)
    assert [flat.due(n * 10**9, 1.0) for n in range(3)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("words", ["0", "-1", "fast", "nan", "inf", "1e9", ""])
def test_speeds_that_are_none(words):
    with pytest.raises(ConfigError, match="--speed"):
        pace.speed_of(words)
    assert (pace.speed_of("10x"), pace.speed_of("0.5"), pace.speed_of("max")) == (10, 0.5, 0)


async def test_a_pty_is_a_port_that_loses_nothing(tmp_path):
    text = bytes(range(256)) * 300  # more than a pty holds
    line = tmp_path / "line"
    where = target.parse(f"pty:{line}")
    heard = bytearray()

    def gateway():
        port = os.open(line, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(port)
        os.write(port, b"hello")
        while len(heard) < len(text):
            heard.extend(os.read(port, 4096))
        os.close(port)

    async def open_later():
        while not line.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.to_thread(gateway)

    opening = asyncio.create_task(open_later())
    subject = player.Player(target.way_maker(where, None, 20.0), 0.0, 20.0)
    done = await subject.play(
        [conversation((P, b"hello"), *((D, text[i : i + 999]) for i in range(0, len(text), 999)))]
    )
    await opening
    assert bytes(heard) == text
    assert (done.sent_bytes, done.heard_bytes, done.turns_taken) == (len(text), 5, 1)
    assert not line.exists()


async def test_a_real_port_with_a_crossed_cable():
    master, slave = pty.openpty()
    tty.setraw(slave)
    heard = bytearray()

    def gateway():
        while not heard:  # what is said before the port is open is flushed with it
            os.write(master, b"who?")
            if select.select([master], [], [], 0.5)[0]:
                heard.extend(os.read(master, 4096))
        while len(heard) < 3000:
            heard.extend(os.read(master, 4096))

    opening = asyncio.create_task(asyncio.to_thread(gateway))
    where = target.parse(f"serial:{os.ttyname(slave)}?baud=19200&parity=even")
    subject = player.Player(target.way_maker(where, None, 10.0), 0.0, 10.0)
    done = await subject.play([conversation((P, b"who?"), *((D, bytes(1000)),) * 3)])
    await opening
    assert (len(heard), done.turns_taken) == (3000, 1)
    assert done.heard_bytes >= 4
    assert done.heard_bytes % 4 == 0
    os.close(slave)
    os.close(master)
    where = target.parse("serial:/dev/nosuch")
    with pytest.raises(GoneError, match="can't be opened"):
        await player.Player(target.way_maker(where, None, 0.1), 0.0).play([conversation((D, b"x"))])


async def test_a_line_that_nobody_opens_or_that_is_a_file(tmp_path):
    where = target.parse(f"pty:{tmp_path}/line")
    with pytest.raises(GoneError, match="nobody opened"):
        await player.Player(target.way_maker(where, None, 0.1), 0.0).play([conversation((D, b"x"))])
    (tmp_path / "file").write_text("mine")
    where = target.parse(f"pty:{tmp_path}/file")
    with pytest.raises(GoneError, match="is there already"):
        await player.Player(target.way_maker(where, None, 0.1), 0.0).play([conversation((D, b"x"))])
    assert (tmp_path / "file").read_text() == "mine"


async def test_tcp_dialled_and_waited_for():
    heard = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        writer.write(b"who?")
        heard.set_result(await reader.readexactly(3))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    dialogue = conversation((P, b"who?"), (D, b"abc"), (P, b"bye"))
    make = target.way_maker(target.parse(f"tcp://127.0.0.1:{port}"), None, 5.0)
    done = await player.Player(make, 0.0).play([dialogue])
    assert (await heard, done.turns, done.turns_taken) == (b"abc", 2, 2)
    server.close()

    # The other way round: the gateway dials, as it does with a terminal server.
    make = target.way_maker(target.parse(f"tcp-listen://127.0.0.1:{port}"), None, 20.0)
    playing = asyncio.create_task(player.Player(make, 0.0).play([dialogue]))
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            await asyncio.sleep(0.01)
    writer.write(b"who?")
    assert await reader.read(10) == b"abc"
    writer.close()
    assert (await playing).heard_bytes == 4
    with pytest.raises(GoneError):
        await player.Player(
            target.way_maker(target.parse("tcp://127.0.0.1:1"), None, 1.0), 0.0
        ).play([dialogue])


class Peer(asyncio.DatagramProtocol):
    def __init__(self):
        self.got: asyncio.Queue[tuple[bytes, object]] = asyncio.Queue()

    def datagram_received(self, data, addr):
        self.got.put_nowait((data, addr))


async def test_udp_dialled_and_waited_for():
    loop = asyncio.get_running_loop()
    transport, peer = await loop.create_datagram_endpoint(Peer, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    said = conversation((D, b"one"), (D, b"two"), carrier=Carrier.DATAGRAMS)
    make = target.way_maker(target.parse(f"udp://127.0.0.1:{port}"), None, 5.0)
    await player.Player(make, 0.0).play([said])
    assert [(await peer.got.get())[0] for _ in range(2)] == [b"one", b"two"]

    # A LAN monitor: whoever asks first gets the answers.
    with_turn = conversation((P, b"hi"), (D, b"one"), carrier=Carrier.DATAGRAMS)
    make = target.way_maker(target.parse(f"udp-listen://127.0.0.1:{port}"), None, 20.0)
    transport.close()
    await asyncio.sleep(0)
    playing = asyncio.create_task(player.Player(make, 0.0).play([with_turn]))
    asker, peer = await loop.create_datagram_endpoint(Peer, remote_addr=("127.0.0.1", port))
    while peer.got.empty():
        asker.sendto(b"hi")
        await asyncio.sleep(0.02)
    assert (await peer.got.get())[0] == b"one"
    assert (await playing).turns_taken == 1
    asker.close()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("ftp://x:1", "begin with one of"),
        ("pty:relative", "absolute path"),
        ("tcp://host", "HOST:PORT"),
        ("tcp://host:x", "HOST:PORT"),
        ("serial:/dev/ttyS0?speed=1", "baud"),
        ("serial:/dev/ttyS0?parity=maybe", "parity"),
    ],
)
def test_targets_that_are_none(words, reason):
    with pytest.raises(ConfigError, match=reason):
        target.parse(words)


def test_which_end_is_the_device():
    asked = conversation((D, b"who?"), (P, b"me"))
    line = target.parse("pty:/run/x")
    assert target.fitting(asked, line, "").bytes_of(D) == 2  # who is asked answers on a line
    assert target.fitting(asked, target.parse("tcp://h:1"), "").bytes_of(D) == 4
    assert target.fitting(asked, line, "10.0.0.1").device == "10.0.0.1:1"
    assert target.fitting(asked, line, "10.0.0.2:2").device == "10.0.0.2:2"
    with pytest.raises(ConfigError, match="between"):
        target.fitting(asked, line, "10.0.0.3")
    with pytest.raises(ConfigError, match="said nothing"):
        target.fitting(conversation((D, b"x")), line, "")
    udp = conversation((P, b"x"), carrier=Carrier.DATAGRAMS)
    with pytest.raises(ConfigError, match="--frame"):
        target.fitting(udp, line, "")
    with pytest.raises(ConfigError, match="--identity"):
        target.way_maker(target.parse("tls://h:1"), None, 1.0)


def test_an_hl7_file_becomes_frames():
    content = b"MSH|^~\\&|A\nPID|1\n\nMSH|^~\\&|B\r\nPID|2\r\n"
    framed = framing.framed(loading.raw("x.hl7", content, 9600), "mllp").pieces
    assert [each.side for each in framed] == [D, P, D, P]
    piece, other = framed[0], framed[2]
    assert piece.data == b"\x0bMSH|^~\\&|A\rPID|1\r\x1c\r"
    assert other.data == b"\x0bMSH|^~\\&|B\rPID|2\r\x1c\r"
    with pytest.raises(ConfigError, match="MSH"):
        framing.framed(loading.raw("x", b"hello", 9600), "mllp")
    with pytest.raises(ConfigError, match="payload of"):
        framing.framed(conversation((D, bytes(5000))), "intellivue")
    with pytest.raises(ConfigError, match="one of"):
        framing.framed(conversation((D, b"x")), "slip")
