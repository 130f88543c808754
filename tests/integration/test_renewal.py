"""Renewal with a real fleet process: short lives, outages, and nobody lost."""

import asyncio
import threading
from random import Random
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL

from demo.plan import free_ports
from firmware_sim.endpoints import Address, Endpoints, Est
from firmware_sim.links import OWN, link_maker
from firmware_sim.renewal import Renewals
from firmware_sim.scenario import Group, Scenario, devices
from fleet import config as fleet_config
from fleet import setup
from gateway.clock import SystemClock
from gateway.renewer import Surroundings, by_est
from security import pki
from security.files import TlsFiles
from security.names import Role
from security.pki import Subject
from security.renewal import RenewalTable
from security.slots import Slots
from security.tls import check_files, client_context, server_context
from tests.integration.fleet_process import TRUST_DOMAIN, Fleet
from tests.unit.security.handshakes import shake

pytestmark = pytest.mark.timeout(600)
LIFE_S = 20.0
WAIT_S = 120
DAY_S = 86_400.0
WEB = """
requests_per_identity_per_minute = 6000
[enrolment]
device_days = {days}
renew_expired_days = 1
"""
# A busy machine may hold everything up for longer than these lives' third.
DEVICES = 5


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path, extra=WEB.format(days=LIFE_S / DAY_S))
    made.start()
    yield made
    made.close()


class Holder:
    """Somebody with two slots and a renewer, and all that the renewer told."""

    def __init__(self, fleet, name, clock=None):
        self.files = TlsFiles.within(fleet.directory.parent / name)
        self.results: list[str] = []
        self.audited: list[tuple[str, ...]] = []
        self.troubles: list[str] = []
        self.swaps = 0
        table = RenewalTable(
            est=f"https://localhost:{fleet.est_port}", look_s=LIFE_S / 4, rest_s=0.5
        )
        around = Surroundings(
            counted=self.results.append,
            audit=lambda *words: self.audited.append(words),
            on_swapped=self.swapped,
            on_trouble=self.troubles.append,
            proved=lambda _us: None,
        )
        made = by_est(self.files, table, clock or SystemClock(), TRUST_DOMAIN, around)
        assert made is not None
        self.renewer = made

    def swapped(self):
        self.swaps += 1

    @property
    def certificate(self):
        return pki.load_certificates(self.files.cert)[0]


def device(fleet, name):
    """A device that was added with a bundle."""
    fleet.command("device", "add", name, "--bundle", str(fleet.directory.parent / name))
    return Holder(fleet, name)


def gateway(fleet, name, life_s=LIFE_S):
    config = fleet.directory / "fleet.toml"
    out = fleet.directory.parent / name
    setup.issue_for(
        fleet_config.load(config),
        Subject(Role.GATEWAY, name, ("localhost",)),
        out,
        life_s / DAY_S,
        SystemClock(),
    )
    return Holder(fleet, name)


def renewals(holder):
    return holder.results.count("renewed")


async def until(what):
    """Wait for something that other tasks and processes bring about."""
    async with asyncio.timeout(WAIT_S):
        while not what():  # noqa: ASYNC110  # other processes set no event
            await asyncio.sleep(0.1)


def left_s(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp() - SystemClock().now_us() / 1e6


async def test_three_lives_with_outages_and_nobody_is_lost(fleet):
    holders = [device(fleet, f"pump-{number}") for number in range(DEVICES)]
    holders.append(gateway(fleet, "gw-1"))
    first = {holder: holder.certificate for holder in holders}
    tasks = [asyncio.create_task(holder.renewer.run()) for holder in holders]
    try:
        for round_ in range(3):
            await until(lambda count=round_: all(renewals(each) > count for each in holders))
            await asyncio.to_thread(fleet.stop)
            await until(lambda: any(each.results[-1] == "failed" for each in holders))
            await asyncio.to_thread(fleet.start)
        await until(lambda: all(left_s(each.certificate) > LIFE_S / 4 for each in holders))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for holder in holders:
        assert holder.swaps == renewals(holder)
        assert set(holder.results) <= {"renewed", "failed", "probe_failed"}
        assert holder.certificate.serial_number != first[holder].serial_number
        assert holder.certificate.public_key() != first[holder].public_key()
        check_files(holder.files)


async def test_a_session_outlives_a_swap_and_new_ones_take_the_new_certificate(fleet):
    holder = gateway(fleet, "gw-2", life_s=600)
    peer = gateway(fleet, "gw-3", life_s=600)
    old = holder.certificate

    async def echo(reader, writer):
        while line := await reader.readline():
            writer.write(line)

    context = [server_context(holder.files)]
    (port,) = free_ports(1)  # it is listened at once more
    server = await asyncio.start_server(echo, "127.0.0.1", port, ssl=context[0])

    async def connect():
        tls = client_context(peer.files)
        return await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="localhost"
        )

    def shown(writer):
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der)

    reader, writer = await connect()
    holder.renewer.machine.life = holder.renewer.machine.life._replace(draw=0.0, begin=0.0)
    await holder.renewer.step()
    assert holder.results == ["renewed"]
    assert holder.certificate != old
    writer.write(b"still here\n")
    assert await reader.readline() == b"still here\n"
    assert shown(writer) == old
    server.close()
    server = await asyncio.start_server(
        echo, "127.0.0.1", port, ssl=server_context(holder.files), reuse_address=True
    )
    _, again = await connect()
    assert shown(again) == holder.certificate
    for each in (writer, again):
        each.close()
    server.close()


async def test_a_revoked_one_is_refused_and_says_so(fleet):
    holder = device(fleet, "pump-9")
    fleet.command("device", "revoke", "pump-9")
    holder.renewer.machine.life = holder.renewer.machine.life._replace(begin=0.0)
    before = holder.certificate
    await holder.renewer.step()
    assert holder.results == ["refused"]
    assert holder.audited[0][0] == "refused"
    assert "revoked" in holder.troubles[-1]
    assert holder.certificate == before


async def test_a_start_probes_the_candidate_of_the_run_before(fleet):
    holder = device(fleet, "pump-8")
    renewer = holder.renewer
    renewer.machine.life = renewer.machine.life._replace(begin=0.0)

    async def cut(_files):
        raise KeyboardInterrupt

    renewer._issuer.probe = cut
    await asyncio.sleep(1.1)  # certificates tell their age in seconds
    with pytest.raises(KeyboardInterrupt):
        await renewer.step()
    before = holder.certificate
    again = Holder(fleet, "pump-8")
    await again.renewer.step()
    assert again.results == ["renewed"]
    assert again.certificate != before
    assert Slots.of(again.files) is not None


def test_the_fleet_renews_itself(tmp_path):
    fleet = Fleet(tmp_path, extra="[renewal]\nlook_s = 1000\nrest_s = 0.2\n")
    fleet.start()
    fleet.stop()
    service = fleet.directory / "service"
    old = pki.load_certificates(service / "cert.pem")[0]
    # As it is after a long time switched off: ended.
    slots = Slots(service)
    assert slots.exists()
    loaded = fleet_config.load(fleet.config)
    for path in sorted(service.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    setup.issue_for(
        loaded, Subject(Role.SERVICE, "fleet", ("localhost",)), service, 2 / DAY_S, SystemClock()
    )
    threading.Event().wait(2.2)
    fleet.start()
    try:
        done = False
        for _ in range(10 * WAIT_S):
            found = pki.load_certificates(service / "cert.pem")[0]
            if found != old and left_s(found) > 0:
                done = True
                break
            threading.Event().wait(0.1)
        assert done
    finally:
        fleet.close()


async def test_simulated_devices_renew_and_show_the_new_certificate(fleet):
    directory = fleet.directory.parent / "devices"
    endpoints = Endpoints(
        ca=fleet.directory / "service" / "ca.pem",
        devices=directory,
        est=Est(f"https://localhost:{fleet.est_port}/.well-known/est"),
        mqtt=Address("localhost", 1),
        coaps=Address("localhost", 2),
    )
    renewals = Renewals(endpoints)
    make = link_maker(endpoints, renewals)
    links: list[Any] = []
    groups = (
        Group(name="m", kind="monitor", transport="mqtt"),
        Group(name="c", kind="monitor", transport="coap"),
    )
    before = []
    for device in devices(Scenario(groups)):
        out = directory / device.device_id
        fleet.command("device", "add", device.device_id, "--bundle", str(out))
        links.append(make(device, OWN, Random(1)))
        before.append((out / "cert.pem", pki.load_certificates(out / "cert.pem")[0]))
    for renewer in renewals._renewers:
        renewer.machine.life = renewer.machine.life._replace(begin=0.0)
    await renewals.step()
    after = [pki.load_certificates(path)[0] for path, _ in before]
    assert not set(after) & {old for _, old in before}
    server = server_context(TlsFiles.within(fleet.directory / "service"))
    ours, _ = shake(server, links[0]._settings.tls)
    assert x509.load_der_x509_certificate(ours.tls.getpeercert(binary_form=True)) == after[0]
    shown = SSL.Connection(links[1]._settings.dtls).get_certificate()
    assert shown is not None
    assert shown.to_cryptography() == after[1]
