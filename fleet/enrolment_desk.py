"""What operators may ask of enrolment: tokens, manufacturers, claims; requests to responses."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cryptography import x509
from google.protobuf.message import Message

from fleet.enrolment_store import ClaimRow, ManufacturerRow
from fleet.web.service import Office
from gateway.domain.errors import MalformedError
from protos.wardgate.v1 import fleet_pb2 as pb

Call = Callable[[Any, str], Awaitable[Message]]
AddDevice = Callable[[pb.AddDeviceRequest, str], Awaitable[pb.AddDeviceResponse]]


class EnrolmentDesk:
    """Each method takes a request and the operator's name.

    Raises:
        KnownError, NotKnownError, MalformedError: for the caller to hear of.
    """

    def __init__(self, add_device: AddDevice) -> None:
        self.office: Office | None = None
        """None where the service has no such listener."""
        self._add_device = add_device

    def methods(self) -> Mapping[str, tuple[type[Message], Call]]:
        """Method name -> request type and function."""
        return {
            "AddManufacturer": (pb.AddManufacturerRequest, self.add_manufacturer),
            "ListManufacturers": (pb.ListManufacturersRequest, self.list_manufacturers),
            "RemoveManufacturer": (pb.RemoveManufacturerRequest, self.remove_manufacturer),
            "ListClaims": (pb.ListClaimsRequest, self.list_claims),
            "DecideClaim": (pb.DecideClaimRequest, self.decide_claim),
        }

    # Parts of AddDevice

    async def give_token(
        self, added: pb.AddDeviceResponse, request: pb.AddDeviceRequest, by: str
    ) -> None:
        """Put a token into the answer, where the service has somewhere to use it."""
        if self.office is None:
            return
        token = await self.office.enrolment.new_token(request.device_id, request.token_hours, by)
        added.token = token.text
        added.token_expires_us = token.expires_us
        added.est_url = self.office.url
        added.root_pem = self.office.root_pem

    def check_born(self, manufacturer: str, serial_number: str) -> None:
        """Refuse a binding that could not be noted, before the device is registered."""
        self._there().claims.check(manufacturer, serial_number)

    async def bind(self, request: pb.AddDeviceRequest, by: str) -> None:
        """Note what the device is by its manufacturer's certificate."""
        await self._there().claims.bind(
            request.manufacturer, request.serial_number, request.device_id, by
        )

    def check_manufacturer(self, name: str, root_pem: bytes) -> None:
        """Refuse a manufacturer that could not be believed, before a second person is asked."""
        self._there().claims.check_manufacturer(name, root_pem)

    async def believe(
        self, name: str, root_pem: bytes, by: str, within: Callable[[], None]
    ) -> None:
        """Believe a manufacturer, which two persons have agreed on."""
        await self._there().claims.add_manufacturer(name, root_pem, by, within)

    # Calls

    async def add_manufacturer(
        self, request: pb.AddManufacturerRequest, by: str
    ) -> pb.AddManufacturerResponse:
        row = await self._there().claims.add_manufacturer(request.name, request.root_pem, by)
        return pb.AddManufacturerResponse(manufacturer=_manufacturer(row))

    async def list_manufacturers(
        self, _request: pb.ListManufacturersRequest, _by: str
    ) -> pb.ListManufacturersResponse:
        rows = await self._there().claims.manufacturers()
        return pb.ListManufacturersResponse(manufacturers=map(_manufacturer, rows))

    async def remove_manufacturer(
        self, request: pb.RemoveManufacturerRequest, by: str
    ) -> pb.RemoveManufacturerResponse:
        await self._there().claims.remove_manufacturer(request.name, by)
        return pb.RemoveManufacturerResponse()

    async def list_claims(self, _request: pb.ListClaimsRequest, _by: str) -> pb.ListClaimsResponse:
        rows = await self._there().claims.claims()
        return pb.ListClaimsResponse(claims=map(_claim, rows))

    async def decide_claim(self, request: pb.DecideClaimRequest, by: str) -> pb.DecideClaimResponse:
        claims = self._there().claims
        if not request.HasField("accept_as"):
            return pb.DecideClaimResponse(claim=_claim(await claims.reject(request.claim_id, by)))
        claim = await claims.claim(request.claim_id)
        device = pb.AddDeviceRequest()
        device.CopyFrom(request.accept_as)
        device.manufacturer, device.serial_number = claim.manufacturer, claim.serial_number
        device.resume = True
        device.token = False
        device.csr = b""
        added = await self._add_device(device, by)
        return pb.DecideClaimResponse(claim=_claim(claim), device=added.device)

    def _there(self) -> Office:
        if self.office is None:
            raise MalformedError("web", "this fleet has no [web] listener, see docs/enrolment.md")
        return self.office


def _manufacturer(row: ManufacturerRow) -> pb.Manufacturer:
    root = x509.load_der_x509_certificate(row.root)
    return pb.Manufacturer(
        name=row.name,
        root_sha256=hashlib.sha256(row.root).digest(),
        root_subject=root.subject.rfc4514_string(),
        root_end_us=round(root.not_valid_after_utc.timestamp() * 1e6),
        added_us=row.added_us,
        added_by=row.added_by,
    )


def _claim(row: ClaimRow) -> pb.Claim:
    return pb.Claim(**row._asdict())
