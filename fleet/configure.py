"""An operator's wish for a gateway's configuration, and waiting for the gateway's word."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

from fleet.client import FleetClient
from gateway.domain.errors import ConfigError
from protos.wardgate.v1 import fleet_pb2 as pb

ASK_EVERY_S: Final = 0.25


class Done(NamedTuple):
    """What became of a wish."""

    applied: bool
    words: str


def want(service: FleetClient, gateway: str, document: bytes, wait_s: float) -> Done:
    """Set what is wanted of a gateway, and wait until it says what became of it.

    Raises:
        ConfigError: the fleet knows no such gateway.
        FleetError: the fleet refuses, or can't be reached.
    """
    status_of(service, gateway)
    request = pb.SetConfigurationRequest(gateway=gateway, document=document)
    version = service.call("SetConfiguration", request, pb.SetConfigurationResponse).version
    until = time.monotonic() + wait_s
    while True:
        facts = status_of(service, gateway).facts.configuration
        if facts.version == version:
            return Done(True, f"gateway {gateway} runs configuration {version}")
        if facts.refused_version == version:
            return Done(False, f"gateway {gateway} refuses {version}: {facts.refused_reason}")
        if time.monotonic() >= until:
            return Done(False, f"gateway {gateway} has not said anything of {version} yet")
        time.sleep(ASK_EVERY_S)


def status_of(service: FleetClient, gateway: str) -> pb.GatewayStatus:
    """What the fleet knows of a gateway.

    Raises:
        ConfigError: nothing.
    """
    status = service.call("GetFleetStatus", pb.GetFleetStatusRequest(), pb.GetFleetStatusResponse)
    for each in status.gateways:
        if each.gateway == gateway:
            return each
    raise ConfigError(f"the fleet has not heard of a gateway {gateway}")


def wanted_of(service: FleetClient, gateway: str) -> pb.GetConfigurationResponse:
    """What is wanted of a gateway's configuration."""
    request = pb.GetConfigurationRequest(gateway=gateway)
    return service.call("GetConfiguration", request, pb.GetConfigurationResponse)
