"""Whatever a device sends: no exception, nothing that isn't its own, and the books are kept."""

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.mqtt.codec.encoder import encode
from drivers.mqtt.codec.packets import Connect, Role
from drivers.mqtt.roles import State
from gateway.domain.ports import Outcome
from tests.unit.mqtt import strategies
from tests.unit.mqtt.endpoint import COMMAND, V4, V5, VITALS, Endpoint, vitals

TOPICS = st.sampled_from([VITALS, COMMAND, "devices/mon-1/drip", "devices/mon-2/vitals", ""])


def wire(version):
    return strategies.packet(version, Role.SERVER).map(lambda packet: encode(packet, version))


PIECES = st.lists(
    st.one_of(
        wire(V4),
        wire(V5),
        st.binary(max_size=20),
        st.tuples(TOPICS, st.integers(0, 2), st.binary(max_size=12)).map(
            lambda p: _publish(p[0], p[1], p[2])
        ),
        st.tuples(TOPICS, st.integers(0, 2), st.integers(1, 9)).map(
            lambda p: _publish(p[0], p[1], vitals(p[2]))
        ),
    ),
    max_size=12,
)


def _publish(topic: str, qos: int, payload: bytes) -> bytes:
    """3.1.1's form, also where it breaks 5.0's."""
    raw = topic.encode()
    body = len(raw).to_bytes(2, "big") + raw + (b"\0\7" if qos else b"") + payload
    return bytes((0x30 | qos << 1, len(body))) + body


@settings(max_examples=150, deadline=None)
@given(
    version=st.sampled_from([V4, V5]),
    pieces=PIECES,
    outcomes=st.lists(st.sampled_from(list(Outcome)), max_size=12),
    cut=st.integers(1, 50),
)
def test_any_bytes(version, pieces, outcomes, cut):
    endpoint = Endpoint(automatic=None)
    client = endpoint.plug()
    client.version = version
    stream = encode(Connect("mon-1", version), version) + b"".join(pieces)
    for at in range(0, len(stream), cut):
        client.session.receive(stream[at : at + cut])
        if outcomes:
            endpoint.sink.settle(outcomes.pop(), count=1)
        endpoint.tick(1)
    endpoint.sink.settle()
    client.take()
    assert client.ended() is (client.session.state is State.CLOSED)
    client.lose()
    endpoint.sink.settle()
    assert endpoint.admission.live == {}
    assert endpoint.hub.sessions == frozenset()
    assert endpoint.commands.subscribed.get("mon-1", []) == []
    assert endpoint.counters.gauges.get(("paused_readers",), 0) == 0
    for record in endpoint.sink.records:
        assert record.device_id == "mon-1"  # type: ignore[attr-defined]
