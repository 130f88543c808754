"""The bedside payload, versions 1 and 2: JSON or CBOR <-> frozen messages.

``README.md`` beside this file is the payload's specification. Rules:

- One message is one object (JSON, RFC 8259) or one map with text keys (CBOR, RFC 8949, no
  tags), of at most ``PAYLOAD_SIZE_BYTES_MAX`` bytes, with nothing behind it.
- ``v`` comes with every message. Unknown fields are refused: a new field is a new version, so
  that nothing a device says is lost in silence. Version 2 has the fields of ``SINCE_2`` besides;
  in a message of version 1 they are unknown.
- Numbers are finite and within ``NUMBER_MAX``. Whether a measurement is plausible is for the
  gateway to judge, which marks it and keeps it; here only what is not a number is refused.
- ``boot`` and ``n`` come together or not at all: they are the device's own message id.

What breaks a rule raises :class:`MalformedError` with a reason of ``REASONS``. Its detail names
a field of ours and never quotes the payload.
"""

from __future__ import annotations

import io
import string
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NoReturn

import cbor2
import msgspec
from msgspec import Meta

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.errors import MalformedError

VERSIONS: Final = (1, 2)
PAYLOAD_SIZE_BYTES_MAX: Final = 8192
"""Twenty times the longest sensible message, and eight CoAP blocks."""
NUMBER_MAX: Final = 1e9
BOOT_CHARACTERS_MAX: Final = 36
"""A UUID as text (RFC 9562, 4)."""
BOOT_CHARACTERS: Final = frozenset(f"{string.ascii_letters}{string.digits}._-")
"""No colon: it parts ``boot`` from ``n`` in a message id."""
BED_CHARACTERS_MAX: Final = 32
DRUG_CHARACTERS_MAX: Final = 120
FIRMWARE_CHARACTERS_MAX: Final = 64
ALARMS_MAX: Final = 16
SEQUENCE_MAX: Final = 2**53 - 1
"""The largest integer that every JSON reader keeps exact (RFC 8259, section 6)."""
UNIX_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999."""

UNKNOWN_KIND: Final = "unknown_kind"
TOO_LONG: Final = "too_long"
NOT_JSON: Final = "not_json"
NOT_CBOR: Final = "not_cbor"
NOT_AN_OBJECT: Final = "not_an_object"
WRONG_VERSION: Final = "version"
UNKNOWN_FIELD: Final = "unknown_field"
WRONG_TYPE: Final = "wrong_type"
OUT_OF_BOUNDS: Final = "out_of_bounds"
UNKNOWN_WORD: Final = "unknown_word"
HALF_ID: Final = "half_id"
BAD_TEXT: Final = "bad_text"
REASONS: Final = (
    UNKNOWN_KIND,
    TOO_LONG,
    NOT_JSON,
    NOT_CBOR,
    NOT_AN_OBJECT,
    WRONG_VERSION,
    UNKNOWN_FIELD,
    WRONG_TYPE,
    OUT_OF_BOUNDS,
    UNKNOWN_WORD,
    HALF_ID,
    BAD_TEXT,
)

_Number = Annotated[float, Meta(ge=-NUMBER_MAX, le=NUMBER_MAX)]
_Boot = Annotated[str, Meta(min_length=1, max_length=BOOT_CHARACTERS_MAX)]
_Sequence = Annotated[int, Meta(ge=0, le=SEQUENCE_MAX)]
_UnixMs = Annotated[int, Meta(ge=0, le=UNIX_MS_MAX)]
_Bed = Annotated[str, Meta(max_length=BED_CHARACTERS_MAX)]
_Drug = Annotated[str, Meta(max_length=DRUG_CHARACTERS_MAX)]
_Firmware = Annotated[str, Meta(max_length=FIRMWARE_CHARACTERS_MAX)]
_Density = Annotated[float, Meta(ge=0.5, le=2.0)]
_DripFactor = Annotated[int, Meta(ge=1, le=100)]

Clamp = Literal["open", "partial", "closed"]
DripAlarm = Literal[
    "nearly_empty",
    "finished",
    "stopped",
    "rate_low",
    "rate_low_urgent",
    "rate_high",
    "rate_high_urgent",
    "bubble",
    "bag_removed",
    "sensor_fault",
    "battery_low",
]
_DripAlarms = Annotated[tuple[DripAlarm, ...], Meta(max_length=ALARMS_MAX)]


class _Message(
    msgspec.Struct,
    frozen=True,
    gc=False,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
):
    """What every message has; an absent field is ``None``, and so is an explicit null."""

    v: Literal[1, 2]
    boot: _Boot | None = None
    """What the device draws anew at each start: of ``BOOT_CHARACTERS``."""
    n: _Sequence | None = None
    """Counts the device's messages since that start."""
    t: _UnixMs | None = None
    """The device's clock when it measured: milliseconds since 1970, UTC."""


class Vitals(_Message, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """Vital signs, each in its metric's unit (see ``gateway.domain.terms``)."""

    hr: _Number | None = None
    pr: _Number | None = None
    spo2: _Number | None = None
    rr: _Number | None = None
    abp_sys: _Number | None = None
    abp_dia: _Number | None = None
    abp_mean: _Number | None = None
    nibp_sys: _Number | None = None
    nibp_dia: _Number | None = None
    nibp_mean: _Number | None = None
    temp: _Number | None = None
    etco2: _Number | None = None
    pi: _Number | None = None


class Drip(_Message, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """A gravity-drip infusion monitor: drop sensor and load cell."""

    bed: _Bed = ""
    drug: _Drug = ""
    prescribed_ml: _Number | None = None
    prescribed_ml_h: _Number | None = None
    factor: _DripFactor | None = None
    """Drops per millilitre of the drip set: 20 or 60 as a rule."""
    drops_min: _Number | None = None
    drops: _Number | None = None
    rate_ml_h: _Number | None = None
    """As the device computed it; else the gateway does, from ``drops_min`` and ``factor``."""
    infused_ml: _Number | None = None
    remaining_ml: _Number | None = None
    """As the device weighed or counted it; else the gateway works it out."""
    weight_g: _Number | None = None
    elapsed_s: _Number | None = None
    finish: _UnixMs | None = None
    """When the device expects the bag to be empty: milliseconds since 1970, UTC."""
    clamp: Clamp | None = None
    battery: _Number | None = None
    rssi: _Number | None = None
    alarms: _DripAlarms = ()
    """Every condition shown at the moment; what is missing here has ended."""
    total_ml: _Number | None = None
    """In the bag when it was hung, where that is not what is prescribed."""
    bag: _Sequence | None = None
    """Counts the bags that were hung; another number: another bag."""
    tare_g: _Number | None = None
    """What hangs on the load cell besides the fluid: the empty bag and its line."""
    density_g_ml: _Density | None = None


class Status(_Message, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """The device about itself."""

    firmware: _Firmware = ""
    battery: _Number | None = None
    rssi: _Number | None = None
    uptime_s: _Number | None = None


Message = Vitals | Drip | Status
SINCE_2: Final = ("total_ml", "bag", "tare_g", "density_g_ml")
"""Fields of a drip that version 1 has not."""
KINDS: Final[dict[str, type[Message]]] = {"vitals": Vitals, "drip": Drip, "status": Status}


class _Versioned(msgspec.Struct):
    """Looks at nothing but the version, to tell a newer message from a broken one."""

    v: int


_FIELDS = {field for kind in KINDS.values() for field in kind.__struct_fields__}
_JSON_DECODERS: dict[str, Callable[[bytes | memoryview], Message]] = {
    kind: msgspec.json.Decoder(message_type).decode for kind, message_type in KINDS.items()
}
_version_of_json = msgspec.json.Decoder(_Versioned).decode
_json_encode = msgspec.json.Encoder().encode


def decode_json(kind: str, payload: bytes | memoryview) -> Message:
    """Parse one JSON message of a kind of ``KINDS``.

    Raises:
        MalformedError: with a reason of ``REASONS``.
    """
    decode = _JSON_DECODERS.get(kind)
    if decode is None:
        raise MalformedError(UNKNOWN_KIND)
    if len(payload) > PAYLOAD_SIZE_BYTES_MAX:
        raise MalformedError(TOO_LONG, f"{len(payload)} bytes")
    try:
        message = decode(payload)
    except msgspec.ValidationError as error:
        _refuse(error, lambda: _version_of_json(payload))
    except UNDECODABLE as error:
        raise MalformedError(NOT_JSON) from error
    _check(message)
    return message


def decode_cbor(kind: str, payload: bytes | memoryview) -> Message:
    """Parse one CBOR message of a kind of ``KINDS``.

    Raises:
        MalformedError: with a reason of ``REASONS``.
    """
    message_type = KINDS.get(kind)
    if message_type is None:
        raise MalformedError(UNKNOWN_KIND)
    if len(payload) > PAYLOAD_SIZE_BYTES_MAX:
        raise MalformedError(TOO_LONG, f"{len(payload)} bytes")
    value = _cbor_value(bytes(payload))
    try:
        message = msgspec.convert(value, message_type, strict=True)
    except msgspec.ValidationError as error:
        _refuse(error, lambda: msgspec.convert(value, _Versioned))
    _check(message)
    return message


def encode_json(message: Message) -> bytes:
    """Serialise; what is absent is left out."""
    return _json_encode(message)


def encode_cbor(message: Message) -> bytes:
    """Serialise, floats as short as they are exact; what is absent is left out."""
    return cbor2.dumps(msgspec.to_builtins(message), canonical=True)


def _no_tags(*_: object) -> NoReturn:
    raise cbor2.CBORDecodeError("a tag")


# The tags that the library would decode by itself; the others reach ``tag_hook``. Refused
# because the payload has no use for them, and because some of them are work for the decoder
# (bignums, regular expressions, shared references).
_KNOWN_TAGS = (*range(6), 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000, 55799)
_REFUSED_TAGS: dict[int, Any] = dict.fromkeys(_KNOWN_TAGS, _no_tags)
_CBOR_DEPTH_MAX = 3


def _cbor_value(payload: bytes) -> object:
    stream = io.BytesIO(payload)
    decoder = cbor2.CBORDecoder(
        stream,
        tag_hook=_no_tags,
        semantic_decoders=_REFUSED_TAGS,
        max_depth=_CBOR_DEPTH_MAX,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        value: object = decoder.decode()
    except (cbor2.CBORDecodeError, UnicodeDecodeError) as error:
        raise MalformedError(NOT_CBOR) from error
    if stream.tell() != len(payload):
        raise MalformedError(NOT_CBOR, f"{len(payload) - stream.tell()} bytes behind the map")
    return value


def _check(message: Message) -> None:
    """The rules that one field's type can't express."""
    boot = message.boot
    if boot is None or message.n is None:
        if boot is not None or message.n is not None:
            raise MalformedError(HALF_ID)
    elif not BOOT_CHARACTERS.issuperset(boot):
        raise MalformedError(BAD_TEXT, "boot")
    if message.v == 1 and isinstance(message, Drip):
        for field in SINCE_2:
            if getattr(message, field) is not None:
                raise MalformedError(UNKNOWN_FIELD, field)
    for field in _TEXTS[type(message)]:
        if not getattr(message, field).isprintable():
            raise MalformedError(BAD_TEXT, field)


_TEXTS: Final[dict[type[Message], tuple[str, ...]]] = {
    Vitals: (),
    Drip: ("bed", "drug"),
    Status: ("firmware",),
}


def _refuse(error: msgspec.ValidationError, version: Callable[[], _Versioned]) -> NoReturn:
    """Turn the library's sentence into a word of ours.

    The sentence may quote the payload, so nothing of it is kept but the name of a known field.
    """
    sentence = str(error)
    field = sentence.rpartition(" - at `$.")[2].partition("`")[0].partition("[")[0]
    detail = field if field in _FIELDS else ""
    try:
        known_version = version().v in VERSIONS
    except msgspec.ValidationError:
        known_version = False
    except UNDECODABLE as damage:
        raise MalformedError(NOT_JSON) from damage  # behind the field that was refused
    if sentence.startswith("Expected `object`, got"):
        reason = NOT_AN_OBJECT
    elif not known_version:
        reason = WRONG_VERSION
    elif sentence.startswith("Object contains unknown field"):
        reason = UNKNOWN_FIELD
    elif sentence.startswith("Invalid enum value"):
        reason = UNKNOWN_WORD
    elif sentence.startswith("Number out of range") or "=" in sentence or "length" in sentence:
        reason = OUT_OF_BOUNDS
    else:
        reason = WRONG_TYPE
    raise MalformedError(reason, detail) from error
