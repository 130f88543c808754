"""gRPC of fleet and core, and metrics: good certificates where they have no business."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing

from attack.enrolment import Enrolment
from attack.outcome import REFUSED, Attack, Seen, Word
from attack.probe import Probes
from attack.rpc import CALL_S, FLEET, Grpc
from attack.target import Address, KeyPair, Reports, Target
from protos.wardgate.v1 import fleet_pb2, ingest_pb2

INGEST = "/wardgate.v1.IngestService/Stream"


class Attacks:
    """Fleet, core, enrolment and metrics, as far as the target has them."""

    def __init__(self, target: Target, evil: Reports, probes: Probes | None) -> None:
        """``evil`` marks what must never arrive; tokens come from ``probes``."""
        self._target = target
        self._probes = probes
        self._evil = evil
        self._people: dict[str, KeyPair] = {"device": target.spare, **target.insiders}

    def all(self) -> Iterator[Attack]:
        """Every attack of this place."""
        if self._target.fleet is not None:
            yield from self._fleet(self._target.fleet)
        if self._target.core is not None:
            yield from self._core(self._target.core)
        if self._target.est is not None:
            yield from Enrolment(self._target, self._target.est, self._probes).all()
        for name, url in self._target.metrics.items():
            yield from self._metrics(name, url)

    def _fleet(self, address: Address) -> Iterator[Attack]:
        """Each of an operator's calls by who is none; the gateways' stream by who is none."""
        for who in ("device", "gateway", "service"):
            if who not in self._people:
                continue
            client = Grpc(self._target, address, self._people[who])
            for method in FLEET.methods:
                if method.client_streaming or method.server_streaming:
                    continue
                yield Attack(
                    f"fleet/{method.name} by a {who}",
                    REFUSED,
                    lambda c=client, m=method.name: c.unary(m, b""),  # type: ignore[misc]
                )
        hello = fleet_pb2.AttachRequest(hello=fleet_pb2.GatewayHello(software_version="0"))
        for who in ("device", "service", "operator"):
            if who in self._people:
                client = Grpc(self._target, address, self._people[who])
                yield Attack(
                    f"fleet/Attach by a {who}",
                    REFUSED,
                    lambda c=client: c.stream(  # type: ignore[misc]
                        f"/{FLEET.full_name}/Attach", hello.SerializeToString()
                    ),
                )
        if "operator" in self._people:
            client = Grpc(self._target, address, self._people["operator"])
            yield Attack(
                "fleet/a call that does not exist", REFUSED, lambda: client.unary("Nothing", b"")
            )

    def _core(self, address: Address) -> Iterator[Attack]:
        for who in ("device", "operator"):
            if who in self._people:
                client = Grpc(self._target, address, self._people[who])
                yield Attack(
                    f"core/records by a {who}",
                    REFUSED,
                    lambda c=client: c.stream(INGEST, self._hello("gw-demo"), self._batch()),  # type: ignore[misc]
                )
        if "gateway" in self._people:
            client = Grpc(self._target, address, self._people["gateway"])
            yield Attack(
                "core/records in another gateway's name",
                REFUSED,
                lambda: client.stream(INGEST, self._hello("gw-other"), self._batch()),
            )

    def _hello(self, gateway: str) -> bytes:
        offer = ingest_pb2.LaneOffer(
            lane=ingest_pb2.LANE_TELEMETRY, epoch=1, first_seq=1, last_seq=1
        )
        hello = ingest_pb2.Hello(gateway=gateway, destination="core", lanes=[offer])
        return ingest_pb2.StreamRequest(hello=hello).SerializeToString()

    def _batch(self) -> bytes:
        self._evil.next()
        report = ingest_pb2.Report(
            device_id=self._target.other_device, message_id=self._evil.last_id, received_us=1
        )
        section = ingest_pb2.Section(
            data_class=ingest_pb2.DATA_CLASS_HEALTH_STATUS,
            level=3,
            treatment=ingest_pb2.TREATMENT_PASS,
            first_seq=1,
            seq_offsets=[0],
            records=[ingest_pb2.Record(report=report)],
        )
        batch = ingest_pb2.Batch(
            lane=ingest_pb2.LANE_TELEMETRY, epoch=1, first_seq=1, last_seq=1, sections=[section]
        )
        return ingest_pb2.StreamRequest(batch=batch).SerializeToString()

    def _metrics(self, name: str, url: str) -> Iterator[Attack]:
        address = url.removeprefix("http://").partition("/")[0]
        for what, method, path in (
            ("a path out of its place", "GET", "/../../../../etc/passwd"),
            ("an encoded path", "GET", "/%2e%2e/%2e%2e/etc/passwd"),
            ("a method that changes", "POST", "/metrics"),
            ("a line of 100,000 bytes", "GET", "/" + "a" * 100_000),
        ):
            yield Attack(
                f"metrics of {name}/{what}",
                frozenset({Word.REFUSED, Word.CLOSED}),
                lambda m=method, p=path: _plain(address, m, p),  # type: ignore[misc]
            )
        yield Attack(
            f"metrics of {name}/whose data is in them",
            REFUSED,
            lambda: _names_somebody(address, self._target),
        )


def _plain(address: str, method: str, path: str) -> Seen:
    with closing(http.client.HTTPConnection(address, timeout=CALL_S)) as connection:
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read(65_536)
    if answer.status >= 400:
        return Seen(Word.REFUSED, str(answer.status))
    # Some servers answer every path with the metrics alone.
    if method == "GET" and body.startswith(b"# HELP"):
        return Seen(Word.REFUSED, "the metrics, as for any path")
    return Seen(Word.ACCEPTED, str(answer.status))


def _names_somebody(address: str, target: Target) -> Seen:
    """No device may be named in what anybody on the host can read."""
    with closing(http.client.HTTPConnection(address, timeout=CALL_S)) as connection:
        connection.request("GET", "/metrics")
        body = connection.getresponse().read().decode()
    for device in (target.spare.device_id, target.neighbour.device_id, target.other_device):
        if f'"{device}"' in body:
            return Seen(Word.LEAKED, device)
    return Seen(Word.REFUSED, "no device is named")
