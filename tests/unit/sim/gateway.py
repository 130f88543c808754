"""A gateway's MQTT side, small and honest, for the simulated devices to talk to.

It speaks through the project's codec in the SERVER role over real sockets, keeps sessions, and
can be told to withhold acknowledgements or to hang up.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Self

from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import (
    PINGRESP,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Role,
    Suback,
    Subscribe,
    Version,
)
from drivers.mqtt.codec.properties import NO_PROPERTIES, Properties
from drivers.mqtt.codec.reasons import ReasonCode


class Gateway:
    """Listens on loopback while the context lasts."""

    def __init__(self, tls: ssl.SSLContext | None = None, receive_maximum: int = 0) -> None:
        self.tls = tls
        self.receive_maximum = receive_maximum
        self.acknowledge = True
        self.server_keep_alive: int | None = None
        self.answer_pings = True
        self.pings = 0
        self.refuse_connect: ReasonCode | None = None
        self.keep_sessions = True
        self.sessions: set[str] = set()
        self.connects: list[Connect] = []
        self.published: list[Publish] = []
        self.released: list[int] = []
        self.said_goodbye: list[str] = []
        self.subscribed: list[str] = []
        self.unacknowledged_max = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self.changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self.port = 0
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.vanish()

    async def listen(self) -> None:
        """Answer, at the same port as before."""
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]

    def vanish(self) -> None:
        """Stop listening and break every connection off."""
        self.server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Break every connection off."""
        for writer in self._writers:
            writer.transport.abort()

    def say(self, packet: Packet, version: Version) -> None:
        """To every connection."""
        for writer in self._writers:
            writer.write(encode(packet, version))

    async def until(self, condition: object) -> None:
        """Wait until ``condition()`` holds; the test's own timeout bounds it."""
        assert callable(condition)
        async with self.changed:
            await self.changed.wait_for(condition)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        decoder = Decoder(Role.SERVER, 1 << 16)
        name: list[str] = []
        try:
            while data := await reader.read(1 << 16):
                for packet in decoder.feed(data):
                    self._answer(packet, writer, decoder.version or Version.V311, name)
                assert decoder.failed is None
                async with self.changed:
                    self.changed.notify_all()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(
        self, packet: Packet, writer: asyncio.StreamWriter, version: Version, name: list[str]
    ) -> None:
        def write(answer: Packet) -> None:
            writer.write(encode(answer, version))

        match packet:
            case Connect():
                name.append(packet.client_id)
                self.connects.append(packet)
                if self.refuse_connect is not None:
                    write(Connack(reason_code=self.refuse_connect))
                    writer.close()
                    return
                present = self.keep_sessions and packet.client_id in self.sessions
                self.sessions.add(packet.client_id)
                properties = NO_PROPERTIES
                if version is Version.V5:
                    properties = Properties(
                        receive_maximum=self.receive_maximum or None,
                        server_keep_alive=self.server_keep_alive,
                    )
                write(Connack(present, properties=properties))
            case Publish():
                self.published.append(packet)
                if self.acknowledge and packet.qos == 1:
                    write(Puback(packet.packet_id))
                elif self.acknowledge and packet.qos == 2:
                    write(Pubrec(packet.packet_id))
            case Pubrel():
                self.released.append(packet.packet_id)
                write(Pubcomp(packet.packet_id))
            case Subscribe():
                self.subscribed += [each.topic_filter for each in packet.subscriptions]
                write(Suback(packet.packet_id, (ReasonCode.GRANTED_QOS_1,)))
            case Pingreq():
                self.pings += 1
                if self.answer_pings:
                    write(PINGRESP)
            case Disconnect():
                self.said_goodbye += name
            case _:
                pass
