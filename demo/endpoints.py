"""``endpoints.json``: how any third-party client reaches the running ward."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from demo.identities import (
    EXPIRED,
    NEIGHBOUR,
    REVOKED,
    SPARE,
    STRANGER,
    Identities,
    device_files,
)
from demo.plan import Plan
from security import est
from security.files import TlsFiles

OTHER_DEVICE = "icu-monitor-01"
"""Whose topic and path the spare must not be able to use."""


def build(
    plan: Plan,
    identities: Identities,
    serial: Mapping[str, Path],
    lan: Mapping[str, int],
    pids: Mapping[str, int],
    readers: Sequence[str] = (),
) -> dict[str, Any]:
    """The content, as the design has it, and what the simulated ward needs beside it."""
    ports = plan.ports
    topic, path = f"devices/{SPARE}/vitals", f"/devices/{SPARE}/vitals"
    payload = {
        "v": 1,
        "boot": "example",
        "n": 1,
        "t": time.time_ns() // 1_000_000,
        "hr": 72.0,
        "spo2": 97.0,
        "rr": 14.0,
    }

    def local(port: int) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": port}

    def pair(files: TlsFiles) -> dict[str, str]:
        return {"cert": str(files.cert), "key": str(files.key)}

    return {
        "mqtt": local(ports.mqtt),
        "coaps": local(ports.coaps),
        "mllp": local(ports.mllp),
        "llrp": local(ports.llrp),
        "fleet": local(ports.fleet),
        "core": local(ports.core),
        "est": {**local(ports.est), "url": f"https://localhost:{ports.est}{est.PATH}"},
        "metrics": {
            name: f"http://127.0.0.1:{port}/metrics"
            for name, port in (
                ("gateway", ports.gateway_metrics),
                ("fleet", ports.fleet_metrics),
                ("core", ports.core_metrics),
                ("vendor", ports.vendor_metrics),
            )
        },
        "ca": str(identities.gateway.trust),
        "spare": {
            "device_id": SPARE,
            **pair(device_files(plan, SPARE)),
            "topic": topic,
            "coap_path": path,
        },
        "neighbour": {"device_id": NEIGHBOUR, **pair(device_files(plan, NEIGHBOUR))},
        "other_topic": f"devices/{OTHER_DEVICE}/vitals",
        "other_coap_path": f"/devices/{OTHER_DEVICE}/vitals",
        "stranger": {"device_id": STRANGER, **pair(identities.stranger)},
        "revoked": {"device_id": REVOKED, **pair(device_files(plan, REVOKED))},
        "expired": {"device_id": EXPIRED, **pair(identities.expired)},
        "insiders": {
            "gateway": pair(identities.gateway),
            "service": pair(identities.core),
            "operator": pair(TlsFiles.within(identities.operator)),
        },
        "payload_example": {topic: payload, path: {**payload, "n": 2}},
        **{f"{name}_pid": pid for name, pid in pids.items()},
        "core_db": str(plan.core_db),
        "vendor_db": str(plan.vendor_db),
        "sim_log": str(plan.sim_log),
        "gateway_config": str(plan.gateway_config),
        "cli": [
            "env",
            f"WARDGATE_FLEET=localhost:{ports.fleet}",
            f"WARDGATE_IDENTITY={identities.operator}",
            f"WARDGATE_GATEWAY_CONFIG={plan.gateway_config}",
            f"WARDGATE_ENDPOINTS={plan.endpoints}",
            sys.executable,
            "-m",
            "wardgate",
        ],
        "devices": str(plan.pki / "devices"),
        "serial": {device: str(tty) for device, tty in serial.items()},
        "lan": {device: local(port) for device, port in lan.items()},
        "readers": {each: local(ports.llrp) | pair(identities.reader) for each in readers},
    }


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file in one step, so that a reader never sees half of it."""
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(content, indent=1) + "\n")
    scratch.replace(path)
