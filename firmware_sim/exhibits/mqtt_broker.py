"""A ward's broker that hands on what its one device says, at QoS 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import (
    PINGRESP,
    Connack,
    Connect,
    Pingreq,
    Puback,
    Publish,
    Role,
    Suback,
    Subscribe,
    Version,
)
from drivers.mqtt.codec.reasons import ReasonCode
from firmware_sim.exhibits import bedside
from firmware_sim.exhibits.bedside import Messages

TOPIC = f"devices/{DEVICE_ID}/vitals"
PACKET_BYTES_MAX = 65_536


class Broker(Device):
    """Keeps what is unacknowledged for the next connection, as MQTT 5.0, 4.4 has it."""

    def __init__(self) -> None:
        super().__init__()
        self._messages = Messages(self.confirmed)
        self._decoder = Decoder(Role.SERVER, PACKET_BYTES_MAX)
        self._subscribed = False
        self._sent: dict[int, float] = {}
        self._packet_id = 0

    def opened(self) -> Sequence[bytes]:
        self._decoder = Decoder(Role.SERVER, PACKET_BYTES_MAX)
        self._subscribed = False
        self._sent.clear()
        return ()

    def receive(self, data: bytes) -> Sequence[bytes]:
        said: list[bytes] = []
        for packet in self._decoder.feed(data):
            match packet:
                case Connect():
                    said.append(encode(Connack(), Version.V5))
                case Subscribe():
                    granted = (ReasonCode.GRANTED_QOS_1,) * len(packet.subscriptions)
                    said.append(encode(Suback(packet.packet_id, granted), Version.V5))
                    if not self._subscribed:
                        self._subscribed = True
                        said += [self._publish(number) for number in self._messages.owed]
                case Puback() if packet.packet_id in self._sent:
                    self._messages.acknowledged(self._sent.pop(packet.packet_id))
                case Pingreq():
                    said.append(encode(PINGRESP, Version.V5))
                case _:
                    pass
        return said

    def show(self, number: float) -> Sequence[bytes]:
        self._messages.show(number)
        return (self._publish(number),) if self._subscribed else ()

    def _publish(self, number: float) -> bytes:
        self._packet_id += 1
        self._sent[self._packet_id] = number
        payload = self._messages.owed[number]
        return encode(Publish(TOPIC, payload, 1, self._packet_id), Version.V5)


def config(place: Place) -> Mapping[str, Any]:
    return {"host": "localhost", "port": place.port, "client_id": "contract"}


EXHIBIT = Exhibit(
    driver="mqtt_broker",
    reach=Reach.DIALLED_TLS,
    config=config,
    device=Broker,
    code=bedside.CODE,
    acknowledges=True,
    endless=b"\x30\xff\xff\xff\x7f",
    decode=bedside.decode,
    frames=bedside.FRAMES,
)
