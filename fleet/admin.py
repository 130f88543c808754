"""What operators may ask, as functions from request to response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from google.protobuf.message import Message

from fleet.approval_desk import ApprovalDesk
from fleet.approvals import Approvals
from fleet.commander import Commander
from fleet.configurations import Configurations
from fleet.enrolment_desk import Call, EnrolmentDesk
from fleet.health import Health
from fleet.monitor import GatewayState, Monitor, facts_message
from fleet.network_identity import binding_of, network_identity, rebound
from fleet.operator_desk import OperatorDesk, credential
from fleet.operators import Operators
from fleet.policies import Policies
from fleet.policy_desk import FORWARD, PolicyDesk
from fleet.registry import Change, Registry, Revoked
from fleet.reidentification import ReidentificationDesk
from fleet.rollouts import Rollouts
from fleet.store import DeviceRow, NotKnownError
from gateway.domain.devices import Standing
from gateway.domain.errors import MalformedError
from gateway.domain.network import Binding
from gateway.domain.ports import Counters
from protos.wardgate.v1 import fleet_pb2 as pb
from security import pki
from security.identity import Auditor
from security.names import Role

PAGE_MAX = 1000

STANDINGS: Mapping[Standing, pb.Standing] = {
    Standing.EXPECTED: pb.STANDING_EXPECTED,
    Standing.ENROLLED: pb.STANDING_ENROLLED,
    Standing.ACTIVE: pb.STANDING_ACTIVE,
    Standing.SUSPENDED: pb.STANDING_SUSPENDED,
    Standing.RETIRED: pb.STANDING_RETIRED,
}
HEALTHS: Mapping[Health, pb.Health] = {
    Health.UNKNOWN: pb.HEALTH_UNKNOWN,
    Health.HEALTHY: pb.HEALTH_HEALTHY,
    Health.DEGRADED: pb.HEALTH_DEGRADED,
    Health.SILENT: pb.HEALTH_SILENT,
    Health.LOST: pb.HEALTH_LOST,
}
OUT_OF_SERVICE = frozenset({Standing.SUSPENDED, Standing.RETIRED})
_STANDING_OF = {number: standing for standing, number in STANDINGS.items()}


class Parts(NamedTuple):
    """What operators look at and change."""

    registry: Registry
    monitor: Monitor
    configurations: Configurations
    operators: Operators
    approvals: Approvals
    policies: Policies
    rollouts: Rollouts


class Admin:
    """Each method takes a request and the operator's name.

    Raises:
        KnownError, NotKnownError, MalformedError: for the caller to hear of.
    """

    def __init__(
        self,
        parts: Parts,
        commander: Commander,
        audit: Auditor,
        attached: Callable[[], list[str]],
        counters: Counters,
    ) -> None:
        self._registry = parts.registry
        self._monitor = parts.monitor
        self._configurations = parts.configurations
        self._commander = commander
        self._audit = audit
        self._attached = attached
        self._counters = counters
        self.desk = EnrolmentDesk(self.add_device)
        self._operators = OperatorDesk(parts.operators)
        self._waiting = ApprovalDesk(parts.approvals)
        self._reidentification = ReidentificationDesk(parts.approvals)
        self._policies = PolicyDesk(parts.policies, parts.rollouts, parts.registry)
        for role in Role:
            counters.add("revoked", role, n=0)
        counters.add("enrolled", n=0)

    def methods(self) -> Mapping[str, tuple[type[Message], Call]]:
        """Method name -> request type and function."""
        return {
            "AddDevice": (pb.AddDeviceRequest, self.add_device),
            "UpdateDevice": (pb.UpdateDeviceRequest, self.update_device),
            "ListDevices": (pb.ListDevicesRequest, self.list_devices),
            "GetDevice": (pb.GetDeviceRequest, self.get_device),
            "Revoke": (pb.RevokeRequest, self.revoke),
            "RevokeDevices": (pb.RevokeDevicesRequest, self.revoke_devices),
            "SendCommand": (pb.SendCommandRequest, self.send_command),
            "SetConfiguration": (pb.SetConfigurationRequest, self.set_configuration),
            "GetConfiguration": (pb.GetConfigurationRequest, self.get_configuration),
            **self.desk.methods(),
            **self._operators.methods(),
            **self._waiting.methods(),
            **self._reidentification.methods(),
            **self._policies.methods(),
            "GetFleetStatus": (pb.GetFleetStatusRequest, self.status),
            "GetRevocations": (pb.GetRevocationsRequest, self.revocations),
        }

    def rights(self, call: str, request: Message) -> tuple[str, ...]:
        """Which rights a call takes: its own, and that of what this one does beyond."""
        if isinstance(request, pb.DecideClaimRequest) and request.HasField("accept_as"):
            return (call, *self.rights("AddDevice", request.accept_as))
        if isinstance(request, pb.AddDeviceRequest):
            back = request.device_id in self._registry.revoked_devices
            return (call, "AddDevice/revoked") if back else (call,)
        if isinstance(request, pb.ControlPolicyRolloutRequest) and request.action in FORWARD:
            return (call, "ControlPolicyRollout/forward")
        if isinstance(request, pb.UpdateDeviceRequest):
            device = self._registry.devices.get(request.device_id)
            out = device is not None and device.standing in OUT_OF_SERVICE
            asked = _STANDING_OF.get(request.standing)
            if out and request.HasField("standing") and asked not in OUT_OF_SERVICE:
                return (call, "UpdateDevice/reinstate")
        return (call,)

    async def add_device(self, request: pb.AddDeviceRequest, by: str) -> pb.AddDeviceResponse:
        if request.csr and request.token:
            raise MalformedError("device", "a request or a token, not both")
        if request.manufacturer:
            self.desk.check_born(request.manufacturer, request.serial_number)
        if request.renew:
            if request.token:
                device = self._registry.known(request.device_id)
                return await self._with_token(self._added(device, None), request, by)
            device, issued = await self._registry.renew_device(
                request.device_id, request.csr, request.days, by
            )
            return self._added(device, issued)
        asked = DeviceRow(
            request.device_id,
            request.kind,
            request.ward,
            request.bed,
            request.transport,
            Standing.EXPECTED,
            request.expected_firmware,
            0,
            binding_of(request.network),
        )
        added = self._added(
            *await self._registry.add_device(
                asked, request.csr, request.days, by, resume=request.resume
            )
        )
        if request.manufacturer:
            await self.desk.bind(request, by)
        if request.token and added.device.standing == pb.STANDING_EXPECTED:
            return await self._with_token(added, request, by)
        return added

    async def _with_token(
        self, added: pb.AddDeviceResponse, request: pb.AddDeviceRequest, by: str
    ) -> pb.AddDeviceResponse:
        await self.desk.give_token(added, request, by)
        return added

    def _added(self, device: DeviceRow, issued: pki.Issued | None) -> pb.AddDeviceResponse:
        if issued:
            self._counters.add("enrolled")
        return pb.AddDeviceResponse(
            device=self._device(device),
            certificate_pem=issued.chain_pem if issued else b"",
            root_pem=issued.trust_pem if issued else b"",
        )

    async def update_device(
        self, request: pb.UpdateDeviceRequest, by: str
    ) -> pb.UpdateDeviceResponse:
        standing = None
        if request.HasField("standing"):
            standing = _STANDING_OF.get(request.standing)
            if standing is None:
                raise MalformedError("device", "no such standing")
        change = Change(
            kind=request.kind if request.HasField("kind") else None,
            ward=request.ward if request.HasField("ward") else None,
            bed=request.bed if request.HasField("bed") else None,
            expected_firmware=(
                request.expected_firmware if request.HasField("expected_firmware") else None
            ),
            standing=standing,
            transport=request.transport if request.HasField("transport") else None,
            network=self._rebound(request) if request.HasField("network") else None,
        )
        device = await self._registry.update_device(request.device_id, change, by)
        return pb.UpdateDeviceResponse(device=self._device(device))

    def _rebound(self, request: pb.UpdateDeviceRequest) -> Binding:
        return rebound(self._registry.known(request.device_id).network, request.network)

    async def list_devices(
        self, request: pb.ListDevicesRequest, _by: str
    ) -> pb.ListDevicesResponse:
        size = min(request.page_size or PAGE_MAX, PAGE_MAX)
        page: list[pb.Device] = []
        for device_id in sorted(self._registry.devices):
            device = self._registry.devices[device_id]
            health = int(self._monitor.health(device_id).health)
            if (
                device_id <= request.page_after
                or (request.ward and device.ward != request.ward)
                or (request.health and health != request.health)
            ):
                continue
            if len(page) == size:
                return pb.ListDevicesResponse(devices=page, next_page_after=page[-1].device_id)
            page.append(self._device(device))
        return pb.ListDevicesResponse(devices=page)

    async def get_device(self, request: pb.GetDeviceRequest, _by: str) -> pb.GetDeviceResponse:
        device = self._registry.devices.get(request.device_id)
        if device is None:
            raise NotKnownError(f"device {request.device_id} is not registered")
        message = self._device(device)
        credentials = await self._registry.credentials(Role.DEVICE, device.device_id)
        message.credentials.extend(credential(row) for row in credentials)
        if device.network:
            message.network.CopyFrom(network_identity(device.network))
        return pb.GetDeviceResponse(device=message)

    async def revoke(self, request: pb.RevokeRequest, by: str) -> pb.RevokeResponse:
        try:
            role = Role(request.role)
            serial = int(request.serial, 16) if request.serial else None
        except ValueError as error:
            raise MalformedError("credential", "no such role, or not a serial number") from error
        told = self._attached()
        if role is Role.OPERATOR:
            serials = await self._operators.revoke(request.id, serial, request.reason, by)
            done = Revoked(serials)
        else:
            done = await self._registry.revoke(role, request.id, serial, request.reason, by)
        self._counters.add("revoked", role, n=len(done.serials))
        return pb.RevokeResponse(
            serials=[f"{each:X}" for each in done.serials],
            suspended=done.suspended,
            revocations_number=self._registry.revocations.number,
            gateways=told,
        )

    async def revoke_devices(
        self, request: pb.RevokeDevicesRequest, by: str
    ) -> pb.RevokeDevicesResponse:
        names = self._registry.selected(request.device_ids, request.ward, request.all)
        told = self._attached()
        await self._registry.revoke_devices(names, request.reason, by)
        return pb.RevokeDevicesResponse(
            devices=len(names),
            revocations_number=self._registry.revocations.number,
            gateways=told,
        )

    async def revocations(
        self, _request: pb.GetRevocationsRequest, _by: str
    ) -> pb.GetRevocationsResponse:
        listed = self._registry.revocations
        return pb.GetRevocationsResponse(
            signed_list=self._registry.revocations_signed,
            number=listed.number,
            issued_us=listed.issued_us,
            entries=len(listed.serials),
        )

    async def send_command(self, request: pb.SendCommandRequest, by: str) -> pb.SendCommandResponse:
        if request.device_id not in self._registry.devices:
            raise NotKnownError(f"device {request.device_id} is not registered")
        gateway = self._monitor.health(request.device_id).gateway
        done = await self._commander.send(
            gateway, request.device_id, request.kind, request.valid_ms
        )
        self._audit.record(
            "command",
            by=by,
            device=request.device_id,
            command=pb.CommandKind.Name(request.kind),
            outcome=pb.CommandState.Name(done.state),
        )
        return done

    async def set_configuration(
        self, request: pb.SetConfigurationRequest, by: str
    ) -> pb.SetConfigurationResponse:
        row = await self._configurations.set(request.gateway, request.document, by)
        attached = request.gateway in self._attached()
        return pb.SetConfigurationResponse(version=row.version, attached=attached)

    async def get_configuration(
        self, request: pb.GetConfigurationRequest, _by: str
    ) -> pb.GetConfigurationResponse:
        row = self._configurations.of(request.gateway)
        if row is None:
            return pb.GetConfigurationResponse()
        return pb.GetConfigurationResponse(
            configuration=pb.DesiredConfiguration(version=row.version, document=row.document),
            set_by=row.set_by,
            set_us=row.set_us,
        )

    async def status(
        self, _request: pb.GetFleetStatusRequest, _by: str
    ) -> pb.GetFleetStatusResponse:
        counts = self._monitor.counts()
        return pb.GetFleetStatusResponse(
            gateways=[
                pb.GatewayStatus(
                    gateway=name,
                    attached=state.attached,
                    last_report_us=state.row.last_us,
                    software_version=state.row.software_version,
                    devices=len(state.devices),
                    facts=_with_audit(state),
                    configuration_version=self._wanted_version(name),
                )
                for name, state in sorted(self._monitor.gateways.items())
            ],
            devices=[pb.HealthCount(health=HEALTHS[each], devices=counts[each]) for each in Health],
            directory_version=self._registry.directory_version,
            revocations_number=self._registry.revocations.number,
            revocations=len(self._registry.revocations.serials),
        )

    def _wanted_version(self, gateway: str) -> int:
        row = self._configurations.of(gateway)
        return 0 if row is None else row.version

    def directory(self) -> pb.Directory:
        """What a gateway needs to know of every device."""
        return pb.Directory(
            version=self._registry.directory_version,
            devices=[
                pb.DirectoryEntry(
                    device_id=device.device_id,
                    kind=device.kind,
                    ward=device.ward,
                    bed=device.bed,
                    standing=STANDINGS[device.standing],
                    revoked=device.device_id in self._registry.revoked_devices,
                    transport=device.transport,
                    network=network_identity(device.network) if device.network else None,
                )
                for device in self._registry.devices.values()
            ],
        )

    def _device(self, device: DeviceRow) -> pb.Device:
        health = self._monitor.health(device.device_id)
        return pb.Device(
            device_id=device.device_id,
            kind=device.kind,
            ward=device.ward,
            bed=device.bed,
            transport=device.transport,
            standing=STANDINGS[device.standing],
            expected_firmware=device.expected_firmware,
            added_us=device.added_us,
            revoked=device.device_id in self._registry.revoked_devices,
            health=HEALTHS[health.health],
            health_since_us=health.since_us,
            faults=sorted(health.faults),
            gateway=health.gateway,
            rate_per_second=health.rate.per_second,
            facts=facts_message(device.device_id, health.facts),
        )


def _with_audit(state: GatewayState) -> pb.GatewayFacts:
    """The last facts, with the checkpoint that the fleet keeps: the greatest it ever saw."""
    facts = pb.GatewayFacts()
    facts.CopyFrom(state.facts)
    if state.row.audit_head:
        facts.audit.CopyFrom(pb.AuditCheckpoint.FromString(state.row.audit_head))
        return facts
    facts.audit.number = state.row.audit_number
    facts.audit.chain = state.row.audit_chain
    facts.audit.signature = state.row.audit_signature
    return facts
