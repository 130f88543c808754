"""The demo's certificates: made as on a fleet's host, devices enrolled by an operator.

Besides those who belong there are those who must fail: ``stranger`` (another root's device),
``revoked`` (enrolled, then revoked) and ``expired`` (its certificate has ended).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from demo.plan import CORE, GATEWAY, PLATFORM, READER, TRUST_DOMAIN, VENDOR, Plan
from demo.senders import senders
from firmware_sim.scenario import Cabinet, SimDevice
from fleet.client import FleetClient
from fleet.setup import InitOptions, init, issue
from gateway.clock import SystemClock
from protos.wardgate.v1 import fleet_pb2 as pb
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pki import Subject, Validity
from security.slots import Slots

LOCAL = ("localhost", "127.0.0.1", "::1")
SPARE = "spare-1"
NEIGHBOUR = "neighbour-1"
"""A good device beside the spare, for tests that ask whether it noticed."""
REVOKED = "revoked-1"
EXPIRED = "expired-1"
STRANGER = "stranger-1"
LEAF_DAYS = 30


class Identities(NamedTuple):
    """Where each identity lies; devices' below ``pki/devices/<id>``."""

    gateway: TlsFiles
    core: TlsFiles
    vendor: TlsFiles
    platform: TlsFiles
    """The simulated MEC platform's."""
    reader: TlsFiles
    """The RFID reader's: the gateway dials it, as it dials a service."""
    operator: Path
    stranger: TlsFiles
    expired: TlsFiles


def create(plan: Plan) -> Identities:
    """Set the fleet up and make everything but the devices' certificates."""
    clock = SystemClock()
    made = init(
        InitOptions(
            plan.fleet,
            plan.state / "offline-root",
            TRUST_DOMAIN,
            f"127.0.0.1:{plan.ports.fleet}",
            LOCAL,
            "demo",
            plan.ports.fleet_metrics,
            plan.ports.est,
        ),
        clock,
    )
    authority = pki.load_authority(plan.fleet / "authority")

    def member(role: Role, name: str) -> TlsFiles:
        subject = Subject(role, name, LOCAL)
        database = plan.fleet / "state" / "fleet.db"
        return issue(authority, database, subject, plan.pki / name, LEAF_DAYS, clock)[0]

    now = datetime.now(UTC)
    other_root = pki.create_root(TRUST_DOMAIN, now)
    stranger, _ = pki.make_identity(
        pki.create_issuing(other_root, now),
        Subject(Role.DEVICE, STRANGER),
        plan.pki / "stranger",
        Validity.days(now, LEAF_DAYS),
    )
    expired, _ = pki.make_identity(
        authority, Subject(Role.DEVICE, EXPIRED), plan.pki / "expired", Validity.days(now, -1)
    )
    gateway = member(Role.GATEWAY, GATEWAY)
    # The stranger trusts the demo's servers, so that it is the gateway that refuses.
    stranger.trust.write_bytes(gateway.trust.read_bytes())
    return Identities(
        gateway=gateway,
        core=member(Role.SERVICE, CORE),
        vendor=member(Role.SERVICE, VENDOR),
        platform=member(Role.SERVICE, PLATFORM),
        reader=member(Role.SERVICE, READER),
        operator=made.operator,
        stranger=stranger,
        expired=expired,
    )


def device_files(plan: Plan, device_id: str) -> TlsFiles:
    """Where a device's certificate and key lie."""
    return TlsFiles.within(plan.pki / "devices" / device_id)


def enrol(
    plan: Plan,
    operator: Path,
    devices: Sequence[SimDevice],
    cabinets: Sequence[Cabinet] = (),
    gpsis: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Enrol every device with the fleet service, and revoke the one that must fail.

    Each key is made here and only a certificate request is sent, as `wardgate device add
    --bundle` does; a device on a line, or behind a gateway, is registered without a certificate.
    ``gpsis`` are what a mobile network knows some of them by.
    """
    with FleetClient(f"localhost:{plan.ports.fleet}", operator) as service:
        for device in devices:
            _add(
                service,
                plan,
                pb.AddDeviceRequest(
                    device_id=device.device_id,
                    kind=device.group.kind,
                    ward=device.ward,
                    bed=device.bed,
                    transport=_transport(device),
                    network=pb.NetworkIdentity(gpsi=gpsis.get(device.device_id, "")),
                ),
            )
        for sender in senders(devices):
            request = pb.AddDeviceRequest(device_id=sender, kind="gateway", transport="mllp")
            _add(service, plan, request)
        for cabinet in cabinets:
            request = pb.AddDeviceRequest(
                device_id=cabinet.reader, kind="reader", ward=cabinet.ward, transport="llrp"
            )
            service.call("AddDevice", request, pb.AddDeviceResponse)
        for device_id in (SPARE, NEIGHBOUR, REVOKED):
            _add(service, plan, pb.AddDeviceRequest(device_id=device_id, kind="monitor"))
        service.call(
            "Revoke", pb.RevokeRequest(role="device", id=REVOKED, reason="demo"), pb.RevokeResponse
        )


def _transport(device: SimDevice) -> str:
    """As the registry calls it; a device behind a gateway is vouched for."""
    if device.group.via:
        return "broker"
    return {"coap": "coaps"}.get(device.group.transport, device.group.transport)


def _add(service: FleetClient, plan: Plan, request: pb.AddDeviceRequest) -> None:
    if request.transport in {"serial", "lan", "broker"}:
        service.call("AddDevice", request, pb.AddDeviceResponse)
        return
    key = pki.new_key()
    request.csr = pki.create_csr(key, request.device_id)
    answer = service.call("AddDevice", request, pb.AddDeviceResponse)
    slots = Slots(device_files(plan, request.device_id).key.parent)
    slots.create(key, answer.certificate_pem, answer.root_pem)
