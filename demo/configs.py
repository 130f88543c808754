"""Writes the configuration that each of the demo's processes reads."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from demo.identities import Identities
from demo.plan import CORE, GATEWAY, TRUST_DOMAIN, VENDOR, Plan, Ports
from demo.senders import senders
from firmware_sim.links import equipment_of
from firmware_sim.llrp.cabinet import DOOR
from firmware_sim.scenario import BADGES, Cabinet, SimDevice
from fleet import config as fleet_config
from fleet import policy_host
from gateway.clock import SystemClock
from security.files import SECRET_MODE, TlsFiles, write_atomic
from security.policy import default_policy
from security.sealing import KeyRing

SERIAL_DRIVERS = {
    "monitor": ("drivers.intellivue.monitors", ""),
    "ventilator": ("drivers.medibus.devices", "poll_s = 2.0\n"),
}
"""Kind of device -> the entry of its driver, and what else stands in it. A ventilator is asked as
often as the ward gives it new values, so that each of them is one answer."""


def write(  # noqa: PLR0913, PLR0917  # everything that the files speak of
    plan: Plan,
    identities: Identities,
    serial_ports: Sequence[tuple[str, Path]],
    devices: Sequence[SimDevice] = (),
    lan: Mapping[str, int] = MappingProxyType({}),
    indications: int = 0,
    cabinets: Sequence[Cabinet] = (),
    more: str = "",
) -> None:
    """Write every file.

    Args:
        plan: of the run.
        identities: everybody's.
        serial_ports: (device id, tty) of monitors on lines.
        devices: the whole ward.
        lan: device id -> UDP port of monitors on the network.
        indications: UDP port where they announce themselves.
        cabinets: RFID cabinets.
        more: tables of the gateway's configuration.
    """
    KeyRing.generate().save(plan.state / "seal.keys")
    write_atomic(plan.state / "vendor.key", secrets.token_bytes(32), SECRET_MODE)
    config = _gateway(plan, identities, serial_ports, devices) + _lan(lan, indications)
    config += _cabinets(plan, cabinets) + more
    plan.gateway_config.write_text(config)
    ports = plan.ports
    plan.core_config.write_text(
        _core(ports, ports.core, ports.core_metrics, plan.core_db, identities.core)
    )
    sign_policy(plan, default_policy())
    # The vendor is elsewhere, but has a certificate of the fleet's, and so may ask it, too.
    plan.vendor_config.write_text(
        _core(ports, ports.vendor, ports.vendor_metrics, plan.vendor_db, identities.vendor)
    )


def sign_policy(plan: Plan, text: str) -> int:
    """Sign a policy on the fleet's host for the gateway and its destinations; its number."""
    config = fleet_config.load(plan.fleet_config)
    whom = policy_host.whose(plan.gateway_config)
    bundle, encoded = policy_host.sign(config, text, "", whom, SystemClock())
    write_atomic(plan.policy, encoded)
    return bundle.number


def _tls(files: TlsFiles) -> str:
    return f'cert = "{files.cert}"\nkey = "{files.key}"\ntrust = "{files.trust}"\n'


def _gateway(
    plan: Plan,
    identities: Identities,
    serial_ports: Sequence[tuple[str, Path]],
    devices: Sequence[SimDevice],
) -> str:
    ports = plan.ports
    lines = [
        f"""# Written by the demo for this run.
[gateway]
name = "{GATEWAY}"
state_dir = "{plan.gateway_state}"
seal_keys = "seal.keys"

[tls]
{_tls(identities.gateway)}
[identity]
trust_domain = "{TRUST_DOMAIN}"

[policy]
file = "{plan.policy.name}"

[journal]
limit_bytes = {1 << 30}
alarm_reserve_bytes = {64 << 20}

[pipeline.kinds.monitor]
interval_s = 1.0

[pipeline.kinds.drip]
interval_s = 2.0

[pipeline.kinds.observations]
interval_s = 2.0

[[destinations]]
name = "{CORE}"
zone = "campus"
purpose = "care"
tenant = "demo"
address = "127.0.0.1:{ports.core}"
server_name = "localhost"

[[destinations]]
name = "{VENDOR}"
zone = "partner"
purpose = "maintenance"
tenant = "demo"
address = "127.0.0.1:{ports.vendor}"
server_name = "localhost"
pseudonym_key = "vendor.key"
project = "demo-maintenance"

[renewal]
est = "https://localhost:{ports.est}"

[fleet]
address = "127.0.0.1:{ports.fleet}"
server_name = "localhost"

[[notification.outlets]]
by = "watch"
name = "station"
zone = "ward"

[[notification.groups]]
name = "nurses"
outlets = ["station"]

[[notification.rules]]
name = "everything"

[[notification.rules.levels]]
groups = ["nurses"]

[metrics]
port = {ports.gateway_metrics}

[drivers.mqtt]
listen = ["127.0.0.1:{ports.mqtt}", "[::1]:{ports.mqtt}"]

[drivers.coap]
listen = ["127.0.0.1:{ports.coaps}", "[::1]:{ports.coaps}"]

[drivers.hl7]
listen = ["127.0.0.1:{ports.mllp}", "[::1]:{ports.mllp}"]
"""
    ]
    for sender in senders(devices):
        lines.append(f'[[drivers.hl7.senders]]\ndevice_id = "{sender}"\n')
        lines.append("[drivers.hl7.senders.devices]")
        lines += [
            f'"{equipment_of(each)}" = "{each.device_id}"'
            for each in devices
            if each.group.via == sender
        ]
        lines.append("")
    kinds = {device.device_id: device.group.kind for device in devices}
    for device_id, tty in serial_ports:
        entry, more = SERIAL_DRIVERS[kinds[device_id]]
        lines.append(f'[[{entry}]]\nport = "{tty}"\ndevice_id = "{device_id}"\n{more}')
    return "\n".join(lines)


def _lan(monitors: Mapping[str, int], indications: int) -> str:
    if not monitors:
        return ""
    head = f'\n[drivers.intellivue_lan]\nlisten = ["127.0.0.1:{indications}"]\n'
    return head + "".join(
        f'[[drivers.intellivue_lan.monitors]]\naddress = "127.0.0.1:{port}"\n'
        f'device_id = "{device_id}"\nwaves = true\n\n'
        for device_id, port in monitors.items()
    )


def _cabinets(plan: Plan, cabinets: Sequence[Cabinet]) -> str:
    """Readers and what their antennas stand for; quick times, since a visit here takes seconds."""
    lines = []
    for cabinet in cabinets:
        reader = cabinet.reader
        lines.append(f"""
[[drivers.llrp.readers]]
device_id = "{reader}"
address = "localhost:{plan.ports.llrp}"
tls = true
report_ms = 200
keepalive_s = 2.0

[[cabinets]]
name = "{cabinet.name}"
kind = "{"controlled" if cabinet.controlled else "standard"}"
badge_antennas = ["{reader}:{cabinet.badge_antenna}"]
badge_prefixes = ["{BADGES}"]
roles = ["nurse", "pharmacist"]
badge_before_s = 3.0
badge_grace_s = 1.0
two_person_window_s = 5.0
""")
        lines += [
            f'[[cabinets.places]]\nname = "{cabinet.place(n)}"\nantennas = ["{reader}:{n}"]\n'
            for n in range(1, cabinet.drawers + 1)
        ]
        lines.append(f"""[[cabinets.doors]]
name = "front"
input = "{reader}:{DOOR}"

[cabinets.reads]
reads = 3
absent_s = 2.0
missed_s = 8.0
reconcile_s = 4.0
""")
    return "\n".join(lines)


def cabinet_lists(plan: Plan, cabinets: Sequence[Cabinet]) -> dict[str, Path]:
    """Write the lists of what lies in cabinets and of who comes to them; by kind.

    What is in them has a name, a lot and a date; the last of each cabinet is past its date.
    """
    items = ["epc,name,lot,expiry,controlled"]
    badges = ["epc,staff,roles"]
    for cabinet in cabinets:
        for epc in cabinet.epcs:
            expiry = "2020-01-31" if epc == cabinet.epcs[-1] else "2099-12-31"
            items.append(f"{epc},Morphine 10 mg,L-{cabinet.name},{expiry},yes")
        for n, badge in enumerate(cabinet.badges):
            role = "pharmacist" if n % 3 == 2 else "nurse"
            badges.append(f"{badge},{cabinet.name}-s-{n + 1},{role}")
    lists = {"items": items, "badges": badges}
    for kind, lines in lists.items():
        (plan.state / f"{kind}.csv").write_text("\n".join(lines) + "\n")
    return {kind: plan.state / f"{kind}.csv" for kind in lists}


def _core(ports: Ports, port: int, metrics: int, database: Path, files: TlsFiles) -> str:
    return f"""# Written by the demo for this run.
listen = "127.0.0.1:{port}"
database = "{database}"

[metrics]
port = {metrics}

[tls]
certificate = "{files.cert}"
key = "{files.key}"
client_ca = "{files.trust}"
trust_domain = "{TRUST_DOMAIN}"

[renewal]
est = "https://localhost:{ports.est}"

[fleet]
address = "127.0.0.1:{ports.fleet}"
server_name = "localhost"
"""
