"""GS MEC 011, service management: the gateway is announced to the other applications of its host.

As a stream of RPCs in Protocol Buffers that is consumed on its own host alone.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gateway.mec.config import ServiceTable
from gateway.mec.http import Platform, made_name
from gateway.mec.leftovers import Leftovers

VERSION = "v1"
"""Of the contract that is announced (``wardgate.v1``)."""


def service_info(table: ServiceTable, token_endpoint: str, *, active: bool = True) -> Any:
    """``ServiceInfo`` without what the platform fills in.

    Args:
        table: name and place.
        token_endpoint: of the platform's OAuth 2.0, where it has one.
        active: consumers may use it.
    """
    security: dict[str, Any] = {}
    if token_endpoint:
        security = {
            "oAuth2Info": {
                "grantTypes": ["OAUTH2_CLIENT_CREDENTIALS"],
                "tokenEndpoint": token_endpoint,
            }
        }
    uris = [table.uri] if table.uri else []
    return {
        "serName": table.name,
        "version": VERSION,
        "state": "ACTIVE" if active else "INACTIVE",
        "transportInfo": {
            "id": "grpc",
            "name": "gRPC",
            "type": "RPC_STREAMING",
            "protocol": "HTTP",
            "version": "2.0",
            "endpoint": {"uris": uris},
            "security": security,
        },
        "serializer": "PROTOBUF3",
        "scopeOfLocality": "MEC_HOST",
        "consumedLocalOnly": True,
    }


class Services:
    """The announcement of one application instance.

    Every call raises PlatformError (not now) or ProblemError (refused).
    """

    def __init__(
        self,
        platform: Platform,
        base: str,
        instance: str,
        table: ServiceTable,
        token_endpoint: str = "",
    ) -> None:
        self._platform = platform
        self._own = f"{base.rstrip('/')}/applications/{quote(instance, safe='')}/services"
        self._table = table
        self._endpoint = token_endpoint
        self._leftovers = Leftovers(
            platform,
            self._own,
            "",
            lambda listed: [
                each["serInstanceId"] for each in listed if each["serName"] == table.name
            ],
        )
        self.instance_id = ""
        """``serInstanceId``, once announced."""

    async def ensure(self) -> bool:
        """Announce it, if the platform does not know it (any more); whether that was needed."""
        if self.instance_id and await self._platform.knows(self._url):
            return False
        answer = await self._leftovers.make(service_info(self._table, self._endpoint))
        self.instance_id = made_name(answer, "serInstanceId")
        return True

    async def withdraw(self) -> None:
        """Take it back; idempotent."""
        if self.instance_id:
            await self._platform.end(self._url)
            self.instance_id = ""

    @property
    def _url(self) -> str:
        return f"{self._own}/{quote(self.instance_id, safe='')}"
