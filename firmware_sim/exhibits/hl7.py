"""A monitor that sends its observations in HL7 v2 over MLLP, in enhanced mode."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from contract.exhibit import DEVICE_ID, Device, Exhibit, Place, Reach
from drivers.hl7.codec import read_header, segment, segments
from drivers.hl7.mllp import Broken, Framer, frame
from gateway.domain import terms
from gateway.domain.errors import MalformedError

CODE = terms.HEART_RATE
CONTENT_BYTES_MAX = 65_536
AGAIN_TICKS = 50
"""Until a message without an answer, or with an error, comes again."""
ANSWER = re.compile(rb"\rMSA\|(\w\w)\|n-(\d+)")


def message(count: int, number: float) -> bytes:
    """An ORU^R01 (IHE PCD-01) with a heart rate, framed; ``count`` is in MSH-10."""
    head = (
        f"MSH|^~\\&|{DEVICE_ID}|Maker|||20260901100000+0200||ORU^R01^ORU_R01|n-{count}|P|2.6"
        "|||AL|NE||UNICODE UTF-8|||IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO"
    )
    observation = (
        f"OBX|2|NM|147842^MDC_ECG_HEART_RATE^MDC|1.1.1.1|{number:g}"
        "|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R"
    )
    monitor = (
        f"OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||{DEVICE_ID}"
    )
    order = "OBR|1||1|69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|||20260901095959+0200"
    rows = (head, order, monitor, observation)
    return frame("".join(f"{row}\r" for row in rows).encode())


class SenderDevice(Device):
    """Sends again what is not accepted."""

    def __init__(self) -> None:
        super().__init__()
        self._framer = Framer(CONTENT_BYTES_MAX)
        self._count = 0
        self._owed: dict[int, float] = {}
        """By MSH-10."""
        self._due: dict[int, int] = {}

    def opened(self) -> Sequence[bytes]:
        self._framer = Framer(CONTENT_BYTES_MAX)
        return [self._message(count) for count in self._owed]

    def receive(self, data: bytes) -> Sequence[bytes]:
        for found in self._framer.feed(data):
            answer = None if isinstance(found, Broken) else ANSWER.search(found.content)
            if answer is not None and answer[1] in (b"CA", b"AA"):
                count = int(answer[2])
                self._due.pop(count, None)
                if count in self._owed:
                    self.confirmed.add(self._owed.pop(count))
        return ()

    def show(self, number: float) -> Sequence[bytes]:
        self._count += 1
        self._owed[self._count] = number
        return (self._message(self._count),)

    def tick(self) -> Sequence[bytes]:
        for count in self._due:
            self._due[count] -= 1
        return [self._message(count) for count, ticks in list(self._due.items()) if ticks <= 0]

    def _message(self, count: int) -> bytes:
        self._due[count] = AGAIN_TICKS
        return message(count, self._owed[count])


def config(_: Place) -> Mapping[str, Any]:
    return {"listen": ("127.0.0.1:0",)}


def decode(stream: bytes) -> object:
    """Frames, header and segments.

    Raises:
        MalformedError: something is wrong with one of them.
    """
    decoded = []
    for found in Framer(CONTENT_BYTES_MAX).feed(stream):
        if isinstance(found, Broken):
            raise MalformedError(found.reason)
        header, wrong = read_header(found.content)
        if wrong:
            raise MalformedError("header")
        decoded += [segment(text, header) for text in segments(found.content, header)]
    return decoded


EXHIBIT = Exhibit(
    driver="hl7",
    reach=Reach.TLS,
    config=config,
    device=SenderDevice,
    code=CODE,
    acknowledges=True,
    endless=b"\x0bMSH|^~\\&|",
    filler=b"A",
    decode=decode,
    frames=(message(1, 72), message(2, 38.5)),
)
