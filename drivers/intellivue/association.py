"""Association control: session (ISO 8327), presentation and ACSE in one small piece.

The Data Export guide fixes these messages byte by byte except for the session length and the
user information. So encoding copies the fixed parts, and decoding reads the first byte (the
session's SPDU identifier) and, of request and accept, the user information, which is found by
walking the BER of the presentation data (indefinite lengths, bounded depth).

SPDU identifiers: 0D connect, 0E accept, 0C refuse, 09 finish (release request), 0A disconnect
(release response), 19 abort; E1 is the data export's own data message and belongs to
:mod:`drivers.intellivue.messages`.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from drivers.intellivue.attributes import attribute_list
from drivers.intellivue.nomenclature import Attribute, PollOptions
from gateway.domain.errors import MalformedError

CONNECT, ACCEPT, REFUSE, RELEASE, RELEASED, ABORT = 0x0D, 0x0E, 0x0C, 0x09, 0x0A, 0x19

BER_DEPTH_MAX = 16
"""The guide's messages nest 9 deep."""
_EXTERNAL, _OCTET_ALIGNED = 0x28, 0x81

RELEASE_REQUEST = bytes.fromhex("0918c11661803080020101a08062808001000000000000000000")
RELEASE_RESPONSE = bytes.fromhex("0a18c11661803080020101a08063808001000000000000000000")

# Session requirements, the two presentation contexts, and the AARQ up to its user information.
_CONNECT_HEAD = bytes.fromhex(
    "0dec0508130100160102800014020002c1dc3180a0808001010000a280a003000001"
    "a4803080020101060452010001308006025101000000003080020102060c2a8648ce"
    "14020100000001013080060c2a8648ce140201000000020100000000000061803080"
    "020101a0806080a180060c2a8648ce14020100000003010000be802880060c2a8648"
    "ce1402010000000101020102"
)
_CONNECT_TAIL = bytes(16)

PROTOCOL_VERSION = 0x8000_0000
NOMENCLATURE_VERSION = 0x4000_0000
SYSTEM_CLIENT, SYSTEM_SERVER = 0x8000_0000, 0x0080_0000
HOT_START, COLD_START = 0x8000_0000, 0x2000_0000
POLL_PROFILE_REVISION = 0x8000_0000
DYNAMIC_OBJECTS = 0x6000_0000
"""The client copes with objects that come and go."""

MESSAGE_BYTES_MAX = 1364
"""What the guide allows in one message over RS-232."""


class UserInformation(NamedTuple):
    """MDSEUserInfoStd with its poll profile: what the two sides agree on."""

    system_type: int
    startup_mode: int
    minimum_poll_period: int
    """In ticks of 125 us; decides after how long of silence the monitor drops the association
    (10 s when this is 3.3 s or less)."""
    receive_bytes_max: int
    send_bytes_max: int
    extended_options: int
    """:class:`~drivers.intellivue.nomenclature.PollOptions`; 0 without the extended profile."""


def pack_user_information(info: UserInformation) -> bytes:
    """MDSEUserInfoStd: versions, system type, start-up mode, options, the poll profile."""
    extension = struct.pack(">HHII", Attribute.POLL_PROFILE_EXT, 8, info.extended_options, 0)
    profile = struct.pack(
        ">IIIIII",
        POLL_PROFILE_REVISION,
        info.minimum_poll_period,
        info.receive_bytes_max,
        info.send_bytes_max,
        0,
        DYNAMIC_OBJECTS,
    ) + struct.pack(">HH", 1, len(extension))
    profile += extension
    profiles = struct.pack(">HH", Attribute.POLL_PROFILE, len(profile)) + profile
    return (
        struct.pack(
            ">IIIII",
            PROTOCOL_VERSION,
            NOMENCLATURE_VERSION,
            0,
            info.system_type,
            info.startup_mode,
        )
        + struct.pack(">HH", 0, 0)
        + struct.pack(">HH", 1, len(profiles))
        + profiles
    )


def association_request(minimum_poll_period: int, options: PollOptions) -> bytes:
    """The association request (AARQ), asking for the extended poll profile."""
    user = pack_user_information(
        UserInformation(
            SYSTEM_CLIENT,
            COLD_START,
            minimum_poll_period,
            MESSAGE_BYTES_MAX,
            MESSAGE_BYTES_MAX,
            options,
        )
    )
    return _CONNECT_HEAD + bytes((_OCTET_ALIGNED, len(user))) + user + _CONNECT_TAIL


def user_information(payload: bytes) -> UserInformation:
    """Read what an association request or accept carries.

    Raises:
        MalformedError: no user information where it belongs, or a length that does not fit.
    """
    raw = _find_user_information(payload)
    if len(raw) < 24:
        raise MalformedError("truncated", "MDSEUserInfoStd")
    _, _, _, system_type, startup_mode = struct.unpack_from(">IIIII", raw)
    _, position = attribute_list(raw, 20, len(raw))
    profiles, _ = attribute_list(raw, position, len(raw))
    profile = profiles.get(Attribute.POLL_PROFILE)
    if not isinstance(profile, bytes) or len(profile) < 24:
        raise MalformedError("profile", "no poll profile")
    _, period, receive, send, _, _ = struct.unpack_from(">IIIIII", profile)
    options = 0
    if len(profile) > 24:
        packages, _ = attribute_list(profile, 24, len(profile))
        extension = packages.get(Attribute.POLL_PROFILE_EXT)
        if isinstance(extension, bytes) and len(extension) >= 4:
            options = int.from_bytes(extension[:4], "big")
    return UserInformation(system_type, startup_mode, period, receive, send, options)


def _find_user_information(payload: bytes) -> bytes:
    """Skip the session header and walk the presentation data to EXTERNAL's octets."""
    position = 1
    _, position = _length(payload, position)
    while position < len(payload):
        parameter = payload[position]
        length, position = _length(payload, position + 1)
        if parameter == 0xC1:
            return _walk(payload, position)
        position += length
    raise MalformedError("ber", "no presentation data")


def _length(data: bytes, position: int) -> tuple[int, int]:
    """A session length: one byte, or FF and two bytes; and where it ends."""
    if position >= len(data):
        raise MalformedError("truncated", "session length")
    if data[position] != 0xFF:
        return data[position], position + 1
    if position + 3 > len(data):
        raise MalformedError("truncated", "session length")
    return int.from_bytes(data[position + 1 : position + 3], "big"), position + 3


def _walk(data: bytes, position: int) -> bytes:
    """The first octet-aligned value inside an EXTERNAL.

    ``open_tags`` holds the constructed values that we are in; those with a definite length are
    descended into without being tracked, since the messages have no siblings behind them.
    """
    open_tags: list[int] = []
    while position + 2 <= len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if tag == 0 and length == 0:
            if not open_tags:
                break
            open_tags.pop()
        elif length == 0x80:
            if len(open_tags) >= BER_DEPTH_MAX:
                raise MalformedError("ber", "too deep")
            open_tags.append(tag)
        else:
            if length > 0x80:
                size = length & 0x7F
                length = int.from_bytes(data[position : position + size], "big")
                position += size
            if position + length > len(data):
                raise MalformedError("length", "BER")
            if tag == _OCTET_ALIGNED and open_tags and open_tags[-1] == _EXTERNAL:
                return data[position : position + length]
            position += length
    raise MalformedError("ber", "no user information")
