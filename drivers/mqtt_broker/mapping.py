"""A broker's messages -> records. Pure functions.

The device is who the topic says, ``devices/<id>/<kind>``: the broker let its publisher write
there, and vouches for it (:class:`Attestation.BROKER`). The payload never names the device.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from drivers.bedside.codec import KINDS, UNKNOWN_KIND
from gateway.domain.errors import MalformedError

FILTERS: Final = tuple(f"devices/+/{kind}" for kind in KINDS)
"""What is subscribed: commands and their results, on the same tree, are not ours to read."""
DEVICE_ID_CHARACTERS_MAX: Final = 64
"""As in a certificate; longer names are nobody's."""


class Target(NamedTuple):
    """Whose report a topic carries, and of which kind."""

    device_id: str
    kind: str


def read_topic(topic: str) -> Target:
    """The device and kind of a topic.

    Raises:
        MalformedError: it is not one of ``FILTERS``.
    """
    parts = topic.split("/")
    if len(parts) != 3 or parts[0] != "devices" or parts[2] not in KINDS:
        raise MalformedError(UNKNOWN_KIND)
    if not 0 < len(parts[1]) <= DEVICE_ID_CHARACTERS_MAX:
        raise MalformedError("bad_device_id")
    return Target(parts[1], parts[2])
