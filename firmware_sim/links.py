"""Which link a device of the scenario gets, and with whose certificate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from drivers.mqtt.codec.packets import Version
from firmware_sim import coap
from firmware_sim.coap import CoapLink
from firmware_sim.endpoints import (
    Address,
    Endpoints,
    KeyPair,
    device_dtls,
    device_tls,
    reader_tls,
    show,
)
from firmware_sim.hl7 import link as hl7_link
from firmware_sim.hl7.link import Hl7Link
from firmware_sim.hl7.messages import Sender
from firmware_sim.intellivue.link import LanMonitorLink, MonitorLink
from firmware_sim.link import DeviceLink
from firmware_sim.llrp.cabinet import CabinetMaker, SimCabinet
from firmware_sim.log import Log
from firmware_sim.medibus.link import VentilatorLink
from firmware_sim.messages import answer_command
from firmware_sim.mqtt import MqttLink, Settings
from firmware_sim.renewal import Renewals
from firmware_sim.scenario import Cabinet, SimDevice
from gateway.clock import SystemClock
from gateway.domain.errors import ConfigError

OWN = "own"
NO_CERTIFICATE = "no_certificate"
LAST_WILL = b'{"v":1}'
VERSIONS = {"3.1.1": Version.V311, "5.0": Version.V5}

LinkMaker = Callable[[SimDevice, str, Random], DeviceLink]
"""Device, whose credential it shows (``own``, ``stranger``, ``revoked``, …), its randomness."""


def link_maker(endpoints: Endpoints, renewals: Renewals | None = None) -> LinkMaker:
    """Make links to the gateway that ``endpoints`` describes; ``renewals`` keeps certificates.

    The maker raises ConfigError for a transport without a listener or a credential without
    files.
    """

    def make(device: SimDevice, credential: str, random: Random) -> DeviceLink:
        match device.group.transport:
            case "mqtt":
                return _mqtt(endpoints, device, credential, random, renewals)
            case "coap":
                return _coap(endpoints, device, credential, random, renewals)
            case "mllp":
                return _mllp(endpoints, device, credential, random, renewals)
            case "serial":
                return _serial(endpoints, device, credential)
            case "lan":
                return _lan(endpoints, device, credential)

    return make


def _mqtt(
    endpoints: Endpoints,
    device: SimDevice,
    credential: str,
    random: Random,
    renewals: Renewals | None,
) -> MqttLink:
    address = _listener(endpoints.mqtt, "mqtt")
    tls = None
    if endpoints.ca is not None:
        pair = _key_pair(endpoints, device.device_id, credential)
        tls = device_tls(endpoints.ca, pair)
        if renewals is not None and pair is not None and credential == OWN:
            renewals.watch(pair, partial(tls.load_cert_chain, pair.cert, pair.key))
    settings = Settings(
        device.device_id,
        address.host,
        address.port,
        tls,
        VERSIONS[device.group.mqtt],
        device.group.qos,
        will=LAST_WILL,
    )
    return MqttLink(settings, random, answer_command)


def _coap(
    endpoints: Endpoints,
    device: SimDevice,
    credential: str,
    random: Random,
    renewals: Renewals | None,
) -> CoapLink:
    address = _listener(endpoints.coaps, "coaps")
    if endpoints.ca is None:
        raise ConfigError("endpoints: CoAP devices need `ca`")
    pair = _key_pair(endpoints, device.device_id, credential)
    dtls = device_dtls(endpoints.ca, pair)
    if renewals is not None and pair is not None and credential == OWN:
        renewals.watch(pair, partial(show, dtls, pair))
    settings = coap.Settings(
        device.device_id,
        address.host,
        address.port,
        dtls,
        confirmable=device.group.qos > 0,
        content_format=coap.CBOR if device.group.cbor else coap.JSON,
    )
    return CoapLink(settings, random, answer_command)


def _mllp(
    endpoints: Endpoints,
    device: SimDevice,
    credential: str,
    random: Random,
    renewals: Renewals | None,
) -> Hl7Link:
    address = _listener(endpoints.mllp, "mllp")
    holder = device.group.via or device.device_id
    tls = None
    if endpoints.ca is not None:
        pair = _key_pair(endpoints, holder, credential)
        tls = device_tls(endpoints.ca, pair)
        if renewals is not None and pair is not None and credential == OWN and not device.group.via:
            renewals.watch(pair, partial(tls.load_cert_chain, pair.cert, pair.key))
    sender = Sender(holder, equipment_of(device))
    settings = hl7_link.Settings(sender, address.host, address.port, tls, SystemClock().now_us)
    return Hl7Link(settings, random)


def equipment_of(device: SimDevice) -> str:
    """What stands in OBX-18: a gateway knows its devices by their serial numbers."""
    return f"sn-{device.device_id}" if device.group.via else device.device_id


def _serial(
    endpoints: Endpoints, device: SimDevice, credential: str
) -> MonitorLink | VentilatorLink:
    port = endpoints.serial.get(device.device_id)
    if port is None:
        raise ConfigError(f"endpoints: {device.device_id} is on no serial line")
    if credential != OWN:
        raise ConfigError("a serial line knows no certificates")
    interval_s = device.group.interval_s
    if device.group.kind == "ventilator":
        return VentilatorLink(Path(port), SystemClock(), interval_s)
    return MonitorLink(device.device_id, Path(port), SystemClock(), interval_s)


def _lan(endpoints: Endpoints, device: SimDevice, credential: str) -> LanMonitorLink:
    address = endpoints.lan.get(device.device_id)
    if address is None or device.group.kind != "monitor":
        raise ConfigError(f"endpoints: {device.device_id} is no monitor on a network")
    if credential != OWN:
        raise ConfigError("a monitor on a network knows no certificates")
    place = (address.host, address.port)
    to = endpoints.indications
    announced = (to.host, to.port) if to is not None else None
    interval_s = device.group.interval_s
    return LanMonitorLink(device.device_id, place, SystemClock(), interval_s, announced)


def cabinet_maker(endpoints: Endpoints) -> CabinetMaker:
    """Make cabinets whose readers listen where ``endpoints`` says.

    The maker raises ConfigError for a reader without a place.
    """

    def make(spec: Cabinet, log: Log, random: Random) -> SimCabinet:
        place = endpoints.readers.get(spec.reader)
        if place is None:
            raise ConfigError(f"endpoints: the reader {spec.reader} has no place")
        tls = reader_tls(place, endpoints.ca)
        return SimCabinet(spec, tls, place.port, log, SystemClock(), random)

    return make


def _listener(address: Address | None, name: str) -> Address:
    if address is None:
        raise ConfigError(f"endpoints: no {name} listener")
    return address


def _key_pair(endpoints: Endpoints, device_id: str, credential: str) -> KeyPair | None:
    if credential == NO_CERTIFICATE:
        return None
    if credential == OWN:
        return endpoints.key_pair(device_id)
    pair: KeyPair | None = getattr(endpoints, credential)
    if pair is None:
        raise ConfigError(f"endpoints: no certificate of `{credential}`")
    return pair
