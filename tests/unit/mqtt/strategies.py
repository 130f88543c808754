"""Hypothesis strategies: any packet that a side may send in a version."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from drivers.mqtt.codec import packets as p
from drivers.mqtt.codec import reasons
from drivers.mqtt.codec.properties import (
    BINARY,
    NO_PROPERTIES,
    PAIR,
    ROWS,
    STRING,
    Place,
    Properties,
    Row,
)

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
topic = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=20
)
level = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#/$"), max_size=6)
binary = st.binary(max_size=16)
packet_id = st.integers(1, 0xFFFF)
qos = st.integers(0, 2)


@st.composite
def topic_filter(draw: st.DrawFn) -> str:
    levels = draw(st.lists(st.one_of(st.just("+"), level), min_size=1, max_size=4))
    if draw(st.booleans()):
        levels.append("#")
    text = "/".join(levels)
    return text or "/"


def _value(row: Row) -> st.SearchStrategy[Any]:
    if row.wire is STRING:
        return topic if row.name == "response_topic" else text
    if row.wire is BINARY:
        return binary
    if row.wire is PAIR:
        return st.tuples(text, text)
    return st.integers(row.low, row.high)


@st.composite
def properties(draw: st.DrawFn, place: Place, *left_out: str) -> Properties:
    chosen: dict[str, Any] = {}
    rows = [row for row in ROWS if place in row.places and row.name not in left_out]
    for row in draw(st.lists(st.sampled_from(rows), max_size=4, unique=True)):
        if row.name in ("user_property", "subscription_identifier"):
            many = 3 if place in row.repeats else 1
            chosen[row.name] = tuple(draw(st.lists(_value(row), min_size=1, max_size=many)))
        else:
            chosen[row.name] = draw(_value(row))
    if "authentication_data" in chosen:
        chosen["authentication_method"] = "m"
    return Properties(**chosen) if chosen else NO_PROPERTIES


def _properties(version: p.Version, place: Place, *left_out: str) -> st.SearchStrategy[Properties]:
    return properties(place, *left_out) if version == p.Version.V5 else st.just(NO_PROPERTIES)


def connect(version: p.Version) -> st.SearchStrategy[p.Connect]:
    will = st.builds(p.Will, topic, binary, qos, st.booleans(), _properties(version, Place.WILL))

    def build(packet: p.Connect) -> p.Connect:
        if version == p.Version.V311:
            if packet.user_name is None:
                packet = msgspec.structs.replace(packet, password=None)
            if not packet.client_id:
                packet = msgspec.structs.replace(packet, clean_start=True)
        return packet

    return st.builds(
        p.Connect,
        client_id=text,
        version=st.just(version),
        clean_start=st.booleans(),
        keep_alive_s=st.integers(0, 0xFFFF),
        will=st.none() | will,
        user_name=st.none() | text,
        password=st.none() | binary,
        properties=_properties(version, Place.CONNECT),
    ).map(build)


def _codes(codes: dict[int, reasons.ReasonCode]) -> st.SearchStrategy[reasons.ReasonCode]:
    return st.sampled_from(list(codes.values()))


def connack(version: p.Version) -> st.SearchStrategy[p.Connack]:
    v5 = version == p.Version.V5
    codes = reasons.CONNACK_CODES if v5 else reasons.CONNACK_RETURN_CODES
    tail = _properties(version, Place.CONNACK)
    return st.one_of(
        st.builds(p.Connack, st.booleans(), st.just(reasons.ReasonCode.SUCCESS), tail),
        st.builds(p.Connack, st.just(value=False), _codes(codes), tail),
    )


@st.composite
def publish(draw: st.DrawFn, version: p.Version, role: p.Role) -> p.Publish:
    level_of_service = draw(qos)
    left_out = ["topic_alias"]
    if role is p.Role.SERVER:
        left_out.append("subscription_identifier")
    return p.Publish(
        draw(topic),
        draw(st.binary(max_size=200)),
        level_of_service,
        draw(packet_id) if level_of_service else 0,
        draw(st.booleans()) if level_of_service else False,
        draw(st.booleans()),
        draw(_properties(version, Place.PUBLISH, *left_out)),
    )


def acknowledgement(version: p.Version) -> st.SearchStrategy[p.Packet]:
    kinds: list[tuple[Any, Place, dict[int, reasons.ReasonCode]]] = [
        (p.Puback, Place.PUBACK, reasons.PUBACK_CODES),
        (p.Pubrec, Place.PUBREC, reasons.PUBACK_CODES),
        (p.Pubrel, Place.PUBREL, reasons.PUBREL_CODES),
        (p.Pubcomp, Place.PUBCOMP, reasons.PUBREL_CODES),
    ]
    if version == p.Version.V311:
        return st.one_of(*(st.builds(kind, packet_id) for kind, _, _ in kinds))
    return st.one_of(
        *(
            st.builds(kind, packet_id, _codes(codes), properties(place))
            for kind, place, codes in kinds
        )
    )


def subscribe(version: p.Version) -> st.SearchStrategy[p.Subscribe]:
    v5 = version == p.Version.V5
    flag = st.booleans() if v5 else st.just(value=False)
    one = st.builds(p.Subscription, topic_filter(), qos, flag, flag, st.integers(0, 2 if v5 else 0))
    many = st.lists(one, min_size=1, max_size=4).map(tuple)
    return st.builds(p.Subscribe, packet_id, many, _properties(version, Place.SUBSCRIBE))


def unsubscribe(version: p.Version) -> st.SearchStrategy[p.Unsubscribe]:
    many = st.lists(topic_filter(), min_size=1, max_size=4).map(tuple)
    return st.builds(p.Unsubscribe, packet_id, many, _properties(version, Place.UNSUBSCRIBE))


def suback(version: p.Version) -> st.SearchStrategy[p.Suback]:
    v5 = version == p.Version.V5
    codes = reasons.SUBACK_CODES if v5 else reasons.SUBACK_RETURN_CODES
    many = st.lists(_codes(codes), min_size=1, max_size=4).map(tuple)
    return st.builds(p.Suback, packet_id, many, _properties(version, Place.SUBACK))


def unsuback(version: p.Version) -> st.SearchStrategy[p.Unsuback]:
    if version == p.Version.V311:
        return st.builds(p.Unsuback, packet_id)
    many = st.lists(_codes(reasons.UNSUBACK_CODES), min_size=1, max_size=4).map(tuple)
    return st.builds(p.Unsuback, packet_id, many, properties(Place.UNSUBACK))


def disconnect(version: p.Version, role: p.Role) -> st.SearchStrategy[p.Disconnect]:
    if version == p.Version.V311:
        return st.just(p.Disconnect())
    if role is p.Role.SERVER:
        return st.builds(
            p.Disconnect,
            _codes(reasons.DISCONNECT_CLIENT_CODES),
            properties(Place.DISCONNECT),
        )
    return st.builds(
        p.Disconnect,
        _codes(reasons.DISCONNECT_SERVER_CODES),
        properties(Place.DISCONNECT, "session_expiry_interval"),
    )


def auth(role: p.Role) -> st.SearchStrategy[p.Auth]:
    server = role is p.Role.SERVER
    codes = reasons.AUTH_CLIENT_CODES if server else reasons.AUTH_SERVER_CODES
    tail = properties(Place.AUTH).map(
        lambda found: Properties(
            authentication_method="m",
            authentication_data=found.authentication_data,
            reason_string=found.reason_string,
            user_property=found.user_property,
        )
    )
    return st.builds(p.Auth, _codes(codes), tail)


def packet(version: p.Version, role: p.Role) -> st.SearchStrategy[p.Packet]:
    """What a decoder in ``role`` may read once the connection stands."""
    kinds: list[st.SearchStrategy[Any]] = [
        publish(version, role),
        acknowledgement(version),
    ]
    if role is p.Role.SERVER:
        kinds += [subscribe(version), unsubscribe(version), st.just(p.PINGREQ)]
    else:
        kinds += [suback(version), unsuback(version), st.just(p.PINGRESP)]
    if version == p.Version.V5:
        kinds.append(auth(role))
    if role is p.Role.SERVER or version == p.Version.V5:
        kinds.append(disconnect(version, role))
    return st.one_of(*kinds)
