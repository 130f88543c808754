"""A device that connects to the gateway's MQTT endpoint, at QoS 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from drivers.mqtt.codec.decoder import Decoder
from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import Connack, Connect, Packet, Puback, Publish, Role, Version
from drivers.mqtt.codec.properties import Properties
from drivers.mqtt.codec.reasons import ReasonCode
from firmware_sim.exhibits.bedside import CODE, Messages

TOPIC = f"devices/{DEVICE_ID}/vitals"
PACKET_BYTES_MAX = 65_536
CONNECT = Connect(
    client_id=DEVICE_ID,
    version=Version.V5,
    clean_start=False,
    properties=Properties(session_expiry_interval=60),
)
AGAIN_TICKS = 25
"""A message that was answered with a refusal comes again after so many."""


class MqttDevice(Device):
    """Sends again what is unacknowledged, on the next connection or after a refusal."""

    def __init__(self) -> None:
        super().__init__()
        self._messages = Messages(self.confirmed)
        self._decoder = Decoder(Role.CLIENT, PACKET_BYTES_MAX, Version.V5)
        self._accepted = False
        self._sent: dict[int, float] = {}
        self._refused: dict[float, int] = {}
        """By number: ticks until it comes again."""
        self._packet_id = 0

    def opened(self) -> Sequence[bytes]:
        self._decoder = Decoder(Role.CLIENT, PACKET_BYTES_MAX, Version.V5)
        self._accepted = False
        self._sent.clear()
        self._refused.clear()
        return (encode(CONNECT, Version.V5),)

    def receive(self, data: bytes) -> Sequence[bytes]:
        said: list[bytes] = []
        for packet in self._decoder.feed(data):
            match packet:
                case Connack(reason_code=ReasonCode.SUCCESS):
                    self._accepted = True
                    said += [self._publish(number) for number in self._messages.owed]
                case Puback(packet_id, reason) if packet_id in self._sent:
                    number = self._sent.pop(packet_id)
                    if reason < ReasonCode.UNSPECIFIED_ERROR:
                        self._messages.acknowledged(number)
                    else:
                        self._refused[number] = AGAIN_TICKS
                case _:
                    pass
        return said

    def show(self, number: float) -> Sequence[bytes]:
        self._messages.show(number)
        return (self._publish(number),) if self._accepted else ()

    def tick(self) -> Sequence[bytes]:
        due = []
        for number in list(self._refused):
            self._refused[number] -= 1
            if not self._refused[number]:
                del self._refused[number]
                due.append(self._publish(number))
        return due

    def _publish(self, number: float) -> bytes:
        self._packet_id += 1
        self._sent[self._packet_id] = number
        payload = self._messages.owed[number]
        return encode(Publish(TOPIC, payload, 1, self._packet_id), Version.V5)


def config(_: Place) -> Mapping[str, Any]:
    return {"listen": ("127.0.0.1:0",)}


def decode(frame: bytes) -> list[Packet]:
    """All packets of a connection that begins with ours.

    Raises:
        MalformedError: one of them is none.
    """
    decoder = Decoder(Role.SERVER, PACKET_BYTES_MAX)
    packets = decoder.feed(encode(CONNECT, Version.V5) + frame)
    if decoder.failed is not None:
        raise decoder.failed
    return packets


EXHIBIT = Exhibit(
    driver="mqtt",
    reach=Reach.TLS,
    config=config,
    device=MqttDevice,
    code=CODE,
    acknowledges=True,
    endless=b"\x30\xff\xff\xff\x7f",
    decode=decode,
    frames=(
        encode(Publish(TOPIC, b'{"v":1,"hr":72}', 1, 1), Version.V5),
        encode(Publish(TOPIC, b'{"v":1,"hr":72}', 2, 7), Version.V5),
        encode(Puback(3), Version.V5),
    ),
)
