"""A cursor over the bytes of one packet: the data types of section 1.5, each bounded."""

from __future__ import annotations

from drivers.mqtt.codec import errors

VARINT_BYTES_MAX = 4


class Reader:
    """Reads ``data[pos:end]``; every method raises MqttError instead of passing ``end``."""

    __slots__ = ("data", "end", "pos", "version")

    def __init__(self, data: bytes, pos: int, end: int, version: int) -> None:
        self.data = data
        self.pos = pos
        self.end = end
        self.version = version

    def done(self) -> bool:
        """Whether everything was read."""
        return self.pos >= self.end

    def finish(self) -> None:
        """Refuse what is left over behind a packet's last field."""
        if self.pos != self.end:
            raise errors.TRAILING.error(self.version, f"{self.end - self.pos} bytes")

    def _take(self, size: int) -> int:
        pos = self.pos
        if pos + size > self.end:
            raise errors.TRUNCATED.error(self.version, f"{pos + size - self.end} bytes short")
        self.pos = pos + size
        return pos

    def byte(self) -> int:
        """1.5.1."""
        return self.data[self._take(1)]

    def u16(self) -> int:
        """1.5.2."""
        pos = self._take(2)
        return self.data[pos] << 8 | self.data[pos + 1]

    def u32(self) -> int:
        """1.5.3 of 5.0."""
        pos = self._take(4)
        return int.from_bytes(self.data[pos : pos + 4], "big")

    def varint(self) -> int:
        """1.5.5 of 5.0: at most four bytes, and no more of them than needed."""
        value = 0
        for index in range(VARINT_BYTES_MAX):
            byte = self.byte()
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if index and not byte:
                    raise errors.LENGTH_OVERLONG.error(self.version)
                return value
        raise errors.LENGTH_UNENDING.error(self.version)

    def binary(self) -> bytes:
        """1.5.6 of 5.0; 3.1.1's will message and password."""
        size = self.u16()
        pos = self._take(size)
        return self.data[pos : pos + size]

    def string(self) -> str:
        """1.5.3 of 3.1.1, 1.5.4 of 5.0: well-formed UTF-8 without NUL."""
        return decode_string(self.binary(), self.version)

    def string_pair(self) -> tuple[str, str]:
        """1.5.7 of 5.0."""
        return self.string(), self.string()

    def packet_id(self) -> int:
        """2.3.1 of 3.1.1, 2.2.1 of 5.0: never zero."""
        value = self.u16()
        if not value:
            raise errors.PACKET_ID_ZERO.error(self.version)
        return value

    def slice(self, size: int) -> Reader:
        """A reader for the next ``size`` bytes, which this one skips."""
        pos = self._take(size)
        return Reader(self.data, pos, pos + size, self.version)


def decode_string(raw: bytes, version: int) -> str:
    """Text of a UTF-8 encoded string: no surrogates, no overlong forms, no NUL.

    A leading U+FEFF stays where it is ([MQTT-1.5.3-3], [MQTT-1.5.4-3]).
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise errors.STRING_UTF8.error(version, f"at byte {error.start}") from None
    if "\0" in text:
        raise errors.STRING_NUL.error(version)
    return text
