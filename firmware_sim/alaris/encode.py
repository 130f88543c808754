r"""Any message of the ALARIS Communications protocol, as a pump, or whoever sets one, writes it.

It stands here and not in the driver: the gateway has no use for it.
"""

from __future__ import annotations

import binascii

from drivers.alaris.codec import Message


def encode(name: str, *fields: str) -> bytes:
    r"""A whole message.

    >>> encode("INF_VTBI", "ACTIV", "11.000", "ml", "STOP")
    b'!INF_VTBI^ACTIV^11.000^ml^STOP|4433\r'
    """
    body = "^".join((name, *fields)).encode("latin-1")
    return b"!%s|%04X\r" % (body, binascii.crc_hqx(body, 0xFFFF))


def rewrite(message: Message) -> bytes:
    """A message that was decoded, as it was."""
    return encode(message.name, *message.fields)
