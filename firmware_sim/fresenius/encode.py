r"""Any frame of a Fresenius line, as a pump, or whoever sets one, writes it.

It stands here and not in the driver: the gateway has no use for it.
"""

from __future__ import annotations


def encode(address: int | None, head: str, arguments: str | None = None) -> bytes:
    r"""A whole frame.

    >>> encode(1, "LE", "dr").hex()
    '02314c453b6472324303'
    """
    place = "" if address is None else str(address)
    body = f"{place}{head}{'' if arguments is None else ';' + arguments}".encode("ascii")
    return b"\x02%s%02X\x03" % (body, 0xFF - (sum(body) & 0xFF))
