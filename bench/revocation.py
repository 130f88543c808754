"""``python -m bench.revocation --state .wardgate-demo``: how fast a revocation ends live sessions.

Against a running demo. Each round makes a device and a gateway, lets them connect in every way,
and revokes them as an operator does; a thread for each session waits for its end. Times are from
the moment at which the operator's call begins. The serial monitor is suspended and let in again,
and its session's end is seen in the gateway's metrics, which are asked every 5 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from OpenSSL import SSL

from attack import coap, dtls, mqtt
from attack.channel import context
from attack.target import Holder, Target, load
from demo.scrape import matching, scrape
from drivers.mqtt.codec.packets import Connect
from fleet.client import FleetClient
from fleet.setup import issue
from gateway.clock import SystemClock
from protos.wardgate.v1 import fleet_pb2 as pb
from protos.wardgate.v1 import ingest_pb2
from security import pki
from security.files import SECRET_MODE, write_atomic
from security.names import Role
from security.pki import Subject

END_S_MAX = 30.0
ADMISSION_S_MAX = 30.0
REATTACHED_S_MAX = 150.0
"""The gateway asks for a refused monitor again after half a minute."""
METRICS_S = 0.005
ATTACH = "/wardgate.v1.FleetService/Attach"
INGEST = "/wardgate.v1.IngestService/Stream"

Wait = Callable[[], None]
"""Returns when a session has ended."""


class Watch:
    """Threads that wait for ends."""

    def __init__(self, waits: Mapping[str, Wait]) -> None:
        self._ends: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._one, args=each, daemon=True) for each in waits.items()
        ]
        for thread in self._threads:
            thread.start()

    def seconds_from(self, began: float) -> dict[str, float]:
        """By name, once all have ended."""
        for thread in self._threads:
            thread.join(END_S_MAX)
        return {name: at - began for name, at in self._ends.items()}

    def _one(self, name: str, wait: Wait) -> None:
        wait()
        self._ends[name] = time.monotonic()


class Ward:
    """The demo, as an operator and as its devices."""

    def __init__(self, state: Path, scratch: Path) -> None:
        self.state, self.scratch = state, scratch
        self.target: Target = load(state / "endpoints.json")
        assert self.target.fleet is not None
        self.operator = FleetClient(
            f"localhost:{self.target.fleet.port}", self.target.insiders["operator"].cert.parent
        )
        self.authority = pki.load_authority(state / "fleet" / "authority")

    def device(self, device_id: str) -> Holder:
        """A fresh device with its certificate."""
        key = pki.new_key()
        answer = self.operator.call(
            "AddDevice",
            pb.AddDeviceRequest(
                device_id=device_id, kind="monitor", csr=pki.create_csr(key, device_id)
            ),
            pb.AddDeviceResponse,
        )
        pair = Holder(
            self.scratch / f"{device_id}.pem", self.scratch / f"{device_id}.key", device_id
        )
        write_atomic(pair.key, pki.key_pem(key), SECRET_MODE)
        write_atomic(pair.cert, answer.certificate_pem)
        return pair

    def revoke(self, role: str, name: str) -> None:
        request = pb.RevokeRequest(role=role, id=name, reason="bench")
        self.operator.call("Revoke", request, pb.RevokeResponse)

    def device_round(self, number: int) -> dict[str, float]:
        """One device with a session over MQTT and one over CoAP."""
        holder = self.device(f"bench-{time.time_ns()}-{number}")
        with ExitStack() as stack:
            client = stack.enter_context(closing(self._mqtt(holder)))
            session = stack.enter_context(dtls.Connection(self.target.coaps, dtls.context(holder)))
            session.handshake()
            session.ask(coap.PING)
            watch = Watch({"MQTT": lambda: _mqtt_end(client), "CoAP": lambda: _coap_end(session)})
            began = time.monotonic()
            self.revoke("device", holder.device_id)
            answered = time.monotonic() - began
            return {**watch.seconds_from(began), "(the operator's call)": answered}

    def _mqtt(self, holder: Holder) -> mqtt.Client:
        """Connected, as soon as the gateway has heard of the device."""
        end = time.monotonic() + ADMISSION_S_MAX
        while True:
            client = mqtt.Client(self.target.mqtt, context(holder))
            try:
                client.connect(Connect(holder.device_id, keep_alive_s=60))
            except (OSError, mqtt.RefusedError):
                client.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
            else:
                return client

    def gateway_round(self, number: int) -> dict[str, float]:
        """One gateway with its stream to the fleet and one to the core."""
        name = f"gw-bench-{time.time_ns()}-{number}"
        subject = Subject(Role.GATEWAY, name, ("localhost",))
        database = self.state / "fleet" / "state" / "fleet.db"
        files, _ = issue(self.authority, database, subject, self.scratch / name, 1, SystemClock())
        fleet, core = self.target.fleet, self.target.core
        assert fleet is not None
        assert core is not None
        credentials = grpc.ssl_channel_credentials(
            self.target.ca.read_bytes(), files.key.read_bytes(), files.cert.read_bytes()
        )
        hello = pb.AttachRequest(hello=pb.GatewayHello(software_version="bench"))
        offer = ingest_pb2.LaneOffer(lane=ingest_pb2.LANE_TELEMETRY, epoch=1, first_seq=1)
        greeting = ingest_pb2.Hello(gateway=name, destination="core", lanes=[offer])
        with ExitStack() as stack:

            def stream(port: int, method: str, words: bytes) -> Any:
                channel = stack.enter_context(grpc.secure_channel(f"localhost:{port}", credentials))
                done = threading.Event()
                stack.callback(done.set)

                def requests() -> Any:
                    yield words
                    done.wait()

                multi: Any = channel.stream_stream(method)
                call = multi(requests())
                next(call)
                return call

            attached = stream(fleet.port, ATTACH, hello.SerializeToString())
            request = ingest_pb2.StreamRequest(hello=greeting)
            ingest = stream(core.port, INGEST, request.SerializeToString())
            watch = Watch(
                {"gRPC attach": lambda: _rpc_end(attached), "gRPC ingest": lambda: _rpc_end(ingest)}
            )
            began = time.monotonic()
            self.revoke("gateway", name)
            return watch.seconds_from(began)

    def serial_round(self, device_id: str) -> dict[str, float]:
        """The monitor on the serial line: suspended, and let in again."""
        self._until(lambda: self._attached() == 1, REATTACHED_S_MAX)
        began = time.monotonic()
        self._stand(device_id, pb.STANDING_SUSPENDED)
        self._until(lambda: self._attached() == 0, END_S_MAX)
        took = time.monotonic() - began
        self._stand(device_id, pb.STANDING_ACTIVE)
        return {"serial (suspended)": took}

    def _stand(self, device_id: str, standing: Any) -> None:
        request = pb.UpdateDeviceRequest(device_id=device_id, standing=standing)
        self.operator.call("UpdateDevice", request, pb.UpdateDeviceResponse)

    def _attached(self) -> float:
        samples = scrape(self.target.metrics["gateway"])
        return sum(
            value
            for labels, value in matching(samples, "wardgate_sessions")
            if labels["transport"] == "serial"
        )

    def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(METRICS_S)


def _mqtt_end(client: mqtt.Client) -> None:
    client.sock.settimeout(END_S_MAX)
    try:
        while client.sock.recv(4096):
            pass
    except ConnectionError:
        return


def _coap_end(session: dtls.Connection) -> None:
    try:
        while True:
            session.answer(time.monotonic() + END_S_MAX)
    except (ConnectionError, SSL.Error):
        return


def _rpc_end(call: Any) -> None:
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        return


def table(found: Mapping[str, list[float]]) -> str:
    """As Markdown."""
    lines = ["| session | rounds | p50 | p99 | longest |", "|---|---|---|---|---|"]
    for name, seconds in found.items():
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        lines.append(
            f"| {name} | {len(seconds)} | {cuts[49] * 1e3:.0f} ms | {cuts[98] * 1e3:.0f} ms "
            f"| {max(seconds) * 1e3:.0f} ms |"
        )
    return "\n".join(lines)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="bench.revocation", description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".wardgate-demo"))
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--serial-rounds", type=int, default=100)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="wardgate-bench-") as scratch:
        ward = Ward(arguments.state, Path(scratch))
        monitor = next(iter(json.loads((arguments.state / "endpoints.json").read_text())["serial"]))
        rounds: list[Callable[[], dict[str, float]]] = [
            *(partial(ward.device_round, number) for number in range(arguments.rounds)),
            *(partial(ward.gateway_round, number) for number in range(arguments.rounds)),
            *[partial(ward.serial_round, monitor)] * arguments.serial_rounds,
        ]
        for number, one in enumerate(rounds):
            for name, seconds in one().items():
                found[name].append(seconds)
            print(f"\r{number + 1}/{len(rounds)}", end="", file=sys.stderr, flush=True)
    print(f"\n{table(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
