"""The gateway's stream to the fleet service.

Rules:

* What the fleet says of revocations and devices applies to the live sessions first, and is
  written to disk then: a start without the fleet has its last word.
* The fleet's absence changes nothing but the age of that word; the link comes back by itself,
  with jittered back-off, and no data waits for it.
* The fleet service must show a service's certificate for the name that is dialled; revocations
  are the issuing CA's word, verified whoever brings them.
* Facts go up (:mod:`gateway.fleetreport`), commands come down (:mod:`gateway.fleetcommands`), and
  so do what the fleet wants of the configuration and signed policies (:mod:`gateway.reload`
  decides).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway.desired import Desired
from gateway.dial import MisdirectedError, Receiver, open_channel, route
from gateway.domain.decoding import UNDECODABLE
from gateway.domain.devices import Device, Standing
from gateway.domain.network import Attachment, Binding
from gateway.domain.ports import Clock, Counters
from gateway.fleetcommands import CommandRelay
from gateway.fleetreport import Reporter, SeenDevice
from gateway.policies import Brought
from gateway.wire.dialling import CHANNEL_OPTIONS, keep_up, let_in
from protos.wardgate.v1 import fleet_pb2 as pb
from security.files import SECRET_MODE, TlsFiles, write_atomic
from security.identity import IdentityService
from security.pki import load_certificates
from security.revocations_in_force import RevocationsInForce
from security.tls import grpc_channel_credentials
from security.writing import write_in_thread

METHOD = "/wardgate.v1.FleetService/Attach"
REPORT_INTERVAL_S = 2.0
DIRECTORY_FILE = "directory.json"
REVOCATIONS_FILE = "revocations.bin"

_STANDING: Mapping[int, Standing] = {
    pb.STANDING_EXPECTED: Standing.EXPECTED,
    pb.STANDING_ENROLLED: Standing.ENROLLED,
    pb.STANDING_ACTIVE: Standing.ACTIVE,
    pb.STANDING_SUSPENDED: Standing.SUSPENDED,
    pb.STANDING_RETIRED: Standing.RETIRED,
}

log = logging.getLogger(__name__)


class FleetLinkConfig(NamedTuple):
    """Where the fleet is, and where its word is kept."""

    address: str
    """``host:port``."""
    state_dir: Path
    software_version: str
    server_name: str = ""
    """The name in the service's certificate, where it is not the host that is dialled."""
    networks: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    """As a destination's, see :mod:`gateway.dial`."""
    report_interval_s: float = REPORT_INTERVAL_S


class Directory(msgspec.Struct, frozen=True):
    """The fleet's word on devices, as it lies on disk."""

    version: int
    devices: tuple[Device, ...]


class FleetLink:
    """Call :meth:`load` at start, before any device is admitted; then run :meth:`run`."""

    def __init__(
        self,
        config: FleetLinkConfig,
        files: TlsFiles,
        identity: IdentityService,
        revocations: RevocationsInForce,
        seen: Callable[[], Iterable[SeenDevice]],
        clock: Clock,
        counters: Counters,
    ) -> None:
        """Does no I/O.

        Args:
            config: where the fleet is.
            files: the gateway's certificate, read for every attempt, so that a renewal applies.
            identity: told of the directory.
            revocations: handed the lists that the fleet sends.
            seen: everything to report on, called once per report.
            clock: for times in reports.
            counters: ``fleet_connected``.
        """
        self._config = config
        self._files = files
        self._identity = identity
        self._revocations = revocations
        self._clock = clock
        self._counters = counters
        self.commands = CommandRelay(clock)
        self.reporter = Reporter(identity, seen, clock)
        self._directory = Directory(0, ())
        self.connected = False
        self.on_misdirected: Callable[[str, str], None] = _not_misdirected
        """Called with reason and detail when the fleet's name leads elsewhere or another answers,
        and with nothing once a stream stands."""
        self._moved = asyncio.Event()
        self.configuration_version: Callable[[], int] = int
        """The desired configuration that is in force; 0 for none."""
        self.on_configuration: Callable[[Desired], None] = _no_configuration
        """Called with what the fleet wants; what becomes of it is in the reports."""
        self.policy_age: Callable[[], tuple[int, int]] = _no_policy_yet
        """Number and time of issue of the policy in force; zeros for none."""
        self.on_policy: Callable[[Brought], None] = _no_policy
        """Called with a policy that the fleet brings, as :attr:`on_configuration`."""
        self.on_attachment: Callable[[Attachment], None] = _no_attachment
        """Called with what the mobile network says of a device."""

    def load(self) -> None:
        """Apply the last word of the fleet on devices, from disk; a damaged one counts as none.

        The revocations come to a gateway without a fleet, too: whoever made them loads them.
        """
        self._counters.set("fleet_connected", 0)
        try:
            encoded = (self._config.state_dir / DIRECTORY_FILE).read_bytes()
            self._directory = msgspec.json.decode(encoded, type=Directory)
        except FileNotFoundError:
            log.info("no directory of the fleet yet")
        except (OSError, *UNDECODABLE) as error:
            log.error("the fleet's directory on disk can't be used: %s", error)  # noqa: TRY400  # the cause is told
        else:
            self._identity.apply_directory(self._directory.devices)

    async def run(self) -> None:
        """Keep the link up until cancelled."""
        await keep_up(self._attach_here, self._revocations.watch_age, self._clock)

    def follow(self, config: FleetLinkConfig) -> None:
        """Go on with another address; the stream to the one before ends."""
        before, self._config = self._config, config
        if config._replace(report_interval_s=before.report_interval_s) != before:
            self._moved.set()

    async def _attach_here(self) -> bool:
        """Attach until the service ends the stream, or (True) the address changes."""
        self._moved.clear()
        attached = asyncio.ensure_future(self._attach())
        moved = asyncio.ensure_future(self._moved.wait())
        try:
            await asyncio.wait((attached, moved), return_when=asyncio.FIRST_COMPLETED)
            if not attached.done():
                log.info("the fleet's address has changed")
                return True
            await attached
        finally:
            for task in (attached, moved):
                task.cancel()
            await asyncio.gather(attached, moved, return_exceptions=True)
        return False

    async def _attach(self) -> None:
        config = self._config
        receiver = Receiver(config.address, config.server_name, config.networks, config.pins)
        try:
            way = await route(receiver, self._files)
        except MisdirectedError as error:
            self.on_misdirected(error.reason, str(error))
            raise
        credentials = grpc_channel_credentials(self._files, way.anchor)
        end = load_certificates(self._files.cert)[0].not_valid_after_utc
        self.reporter.certificate_end_us = round(end.timestamp() * 1e6)
        async with open_channel(way, credentials, CHANNEL_OPTIONS) as channel:
            call = channel.stream_stream(
                METHOD,
                request_serializer=pb.AttachRequest.SerializeToString,
                response_deserializer=pb.AttachResponse.FromString,
            )(self._reports())
            if not await let_in(call):
                return
            self._set_connected(True)
            self.on_misdirected("", "")
            try:
                log.info("attached to the fleet at %s", config.address)
                async for response in call:
                    await self._take(response)
            finally:
                self._set_connected(False)

    def _set_connected(self, connected: bool) -> None:
        self.connected = connected
        self._counters.set("fleet_connected", float(connected))

    async def _reports(self) -> AsyncIterator[pb.AttachRequest]:
        listed = self._revocations.current
        policy_number, policy_issued_us = self.policy_age()
        yield pb.AttachRequest(
            hello=pb.GatewayHello(
                software_version=self._config.software_version,
                directory_version=self._directory.version,
                revocations_number=listed.number,
                revocations_issued_us=listed.issued_us,
                configuration_version=self.configuration_version(),
                policy_number=policy_number,
                policy_issued_us=policy_issued_us,
            )
        )
        while True:
            numbers = self._directory.version, self._revocations.current.number
            yield pb.AttachRequest(health=await self.reporter.make(*numbers))
            async for outcome in self.commands.outcomes_for(self._config.report_interval_s):
                yield pb.AttachRequest(command_outcome=outcome)
            self._revocations.watch_age()  # by now the fleet's list has arrived, if it has one

    async def _take(self, response: pb.AttachResponse) -> None:
        match response.WhichOneof("message"):
            case "revocations":
                await self._revocations.take(response.revocations.signed_list)
            case "directory":
                await self._take_directory(response.directory)
            case "command":
                self.commands.take(response.command)
            case "configuration":
                wanted = response.configuration
                self.on_configuration(Desired(wanted.version, wanted.document))
            case "policy":
                self.on_policy(Brought(response.policy.number, response.policy.signed_policy))
            case "attachment":
                self.on_attachment(_attachment(response.attachment))
            case _:
                log.debug("the fleet says something that this version does not know")

    async def _take_directory(self, message: pb.Directory) -> None:
        devices = await asyncio.to_thread(_devices_of, message)
        self._directory = Directory(message.version, devices)
        self._identity.apply_directory(devices)
        try:
            await write_in_thread(self._save_directory)
        except OSError as error:
            # It applies all the same; the next start asks the fleet again.
            log.error("the fleet's directory can't be kept: %s", error)  # noqa: TRY400  # the cause is told

    def _save_directory(self) -> None:
        path = self._config.state_dir / DIRECTORY_FILE
        write_atomic(path, msgspec.json.encode(self._directory), SECRET_MODE)


def _devices_of(message: pb.Directory) -> tuple[Device, ...]:
    """What this version understands of a directory; ten thousand devices take 20 ms."""
    return tuple(
        Device(
            each.device_id,
            each.kind,
            each.ward,
            each.bed,
            _STANDING[each.standing],
            each.revoked,
            each.transport,
            _binding(each.network) if each.HasField("network") else Binding(),
        )
        for each in message.devices
        if each.standing in _STANDING
    )


def _binding(said: pb.NetworkIdentity) -> Binding:
    """The fleet has them in one spelling already."""
    return Binding(said.supi, said.gpsi, said.imei, said.dnn, said.snssai, tuple(said.tacs))


def _attachment(said: pb.NetworkAttachment) -> Attachment:
    return Attachment(
        said.at_us, said.device_id, said.supi, said.imei, said.dnn, said.snssai, said.tac
    )


def _no_attachment(_seen: Attachment) -> None:
    """Nobody holds it against the registry."""


def _not_misdirected(_reason: str, _detail: str) -> None:
    """Nobody raises an alarm of it."""


def _no_configuration(_wanted: Desired) -> None:
    log.warning("the fleet wants a configuration, which this gateway can't change")


def _no_policy_yet() -> tuple[int, int]:
    return 0, 0


def _no_policy(_policy: Brought) -> None:
    log.warning("the fleet brings a policy, which this gateway can't change")
