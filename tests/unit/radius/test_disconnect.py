"""Asking an SMF, over real sockets: it is asked again, and only what is right counts."""

import asyncio

from fleet.radius.codec import Code, Target
from fleet.radius.disconnect import disconnect
from tests.unit.radius.test_codec import SECRET, reply

TARGET = Target("SESSION-1")


class Smf(asyncio.DatagramProtocol):
    """Answers the n-th request by ``answers[n]``; None: not at all."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.asked.append(data)
        made = self.answers.pop(0) if self.answers else None
        if made is not None:
            self.transport.sendto(made(data), addr)


async def asked(smf, waits_s=(0.05, 0.05, 0.05)):
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: smf, local_addr=("127.0.0.1", 0)
    )
    try:
        place = transport.get_extra_info("sockname")
        return await disconnect(place, TARGET, SECRET, 9, 1_800_000_000, waits_s)
    finally:
        transport.close()


async def test_it_is_asked_again_with_the_same_bytes():
    smf = Smf(None, lambda sent: reply(41, sent=sent))
    found = await asked(smf, (0.05, 30.0))
    assert found is not None
    assert found.code is Code.DISCONNECT_ACK
    assert smf.asked[0] == smf.asked[1]


async def test_what_is_not_right_is_as_if_it_had_not_come():
    smf = Smf(lambda sent: reply(41, sent=sent, secret=b"other"), lambda _: b"noise")
    assert await asked(smf) is None
    assert len(smf.asked) == 3


async def test_nobody_is_there():
    found = await disconnect(("127.0.0.1", 9), TARGET, SECRET, 9, 1_800_000_000, (0.01, 0.01))
    assert found is None
