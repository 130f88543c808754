"""A site's issuing CA is followed by another while devices are connected: nobody is dropped.

The fleet is a process, its commands are real, devices hold real TLS sessions to a listener with a
gateway's contexts, identity service and fleet link.
"""

import asyncio
import contextlib
import shutil

import pytest

from gateway.clock import SystemClock
from gateway.domain.devices import CertificateCredential
from gateway.domain.errors import RefusedError
from security import pki, tls
from security.audit import load_or_create_key, verify
from security.files import TlsFiles
from security.names import Role, authority_mark
from security.tls import TlsContexts
from tests.integration.fleet_process import TRUST_DOMAIN, Fleet
from tests.integration.test_fleet import EVENT_S, Gateway

DEVICES = [f"mon-{number}" for number in range(4)]


class Listener:
    """A gateway's door: admits by certificate and echoes lines."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.contexts = TlsContexts(gateway.files, SystemClock())

    async def serve(self):
        """Take connections with the context of this moment; those that stand go on."""
        return await asyncio.start_server(self._session, "127.0.0.1", 0, ssl=self.contexts.server())

    async def _session(self, reader, writer):
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        try:
            session = self.gateway.admit(CertificateCredential(der, "mqtt", "127.0.0.1:1"))
        except RefusedError:
            writer.transport.abort()
            return
        session.ended.add_done_callback(lambda _: writer.transport.abort())
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        self.gateway.identity.leave(session)
        writer.close()


class Link:
    """A device's connection, kept open and used."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, files, port):
        context = tls.client_context(files)
        link = cls(
            *await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost"
            )
        )
        await link.use()
        return link

    async def use(self):
        """Say something and hear it."""
        async with asyncio.timeout(EVENT_S):
            self.writer.write(b"still here\n")
            line = await self.reader.readline()
        if line != b"still here\n":
            raise ConnectionError("dropped")

    async def close(self):
        self.writer.transport.abort()


class Site:
    """A fleet with its root and officers, a gateway and devices."""

    def __init__(self, directory, *, new_root):
        self.directory = directory
        self.fleet = Fleet(directory)
        self.root = directory / "fleet-root"
        self.new_root = directory / "new-root" if new_root else self.root
        self.config = str(self.fleet.config)
        self.authority = str(self.fleet.directory / "authority")
        self.issued = 0
        self.known = set()

    def ca(self, *arguments, **options):
        return self.fleet.command("ca", *(str(each) for each in arguments), **options)

    def issue(self, role, name, *hosts):
        """A certificate of whichever CA signs now, where its holder has it."""
        self.issued += 1
        out = self.directory / f"issued-{self.issued}"
        options = [part for host in hosts for part in ("--host", host)]
        self.ca("issue", role, name, "--config", self.config, "--out", out, *options)
        return out

    def approved(self, request, root, out, *more):
        """Ask the root, have two officers approve, and have it signed."""
        file = self.directory / f"{out}.json"
        self.ca("request", *request, "--root-certificate", root / "ca.pem", "--out", file, *more)
        refused = self.ca("sign", file, "--root", root, "--out", file, check=False)
        assert "officers are needed" in refused.stderr or "name the officers" in refused.stderr
        for officer in self.officers:
            self.ca("approve", file, "--identity", officer)
        self.ca("sign", file, "--root", root, "--out", self.directory / out)
        return self.directory / out

    def prepare(self):
        """Everything but the step itself, from the ceremony to the planned CA."""
        self.officers = [self.fleet.operator, self.issue("operator", "ben")]
        certificates = [officer / "cert.pem" for officer in self.officers]
        self.ca("officers", *certificates, "--root", self.root)
        more = []
        if self.new_root != self.root:
            self.ca("init", self.new_root, "--trust-domain", TRUST_DOMAIN)
            self.ca("officers", *certificates, "--root", self.new_root)
            for option, signer, other in (
                ("--new-with-old", self.root, self.new_root),
                ("--old-with-new", self.new_root, self.root),
            ):
                cross = self.approved(
                    ["cross"], signer, f"cross{option}.pem", "--other", other / "ca.pem"
                )
                more += [option, cross]
        if self.new_root == self.root:
            answer = self.approved(
                ["issuing"], self.root, "next.pem", "--authority", self.authority
            )
        else:
            # A root's first issuing CA is part of its ceremony.
            file, answer = self.directory / "next.json", self.directory / "next.pem"
            trusted = ("--root-certificate", self.new_root / "ca.pem")
            self.ca("request", "issuing", "--authority", self.authority, *trusted, "--out", file)
            for officer in self.officers:
                self.ca("approve", file, "--identity", officer)
            self.ca("sign", file, "--root", self.new_root, "--out", answer)
        told = self.ca("issuing", answer, "--authority", self.authority, *more).stdout
        assert "phase           planned" in told

    def device(self, name):
        """A device's certificate, of whichever CA signs now, as the running service issues it."""
        self.issued += 1
        out = self.directory / f"device-{self.issued}"
        known = ["--renew"] if name in self.known else []
        self.known.add(name)
        out.mkdir()
        key = pki.new_key()
        (out / "csr.pem").write_bytes(pki.create_csr(key, name))
        arguments = ["device", "add", name, *known, "--csr", str(out / "csr.pem")]
        self.fleet.command(*arguments, "--out", str(out / "cert.pem"))
        pki.save_key(key, out / "key.pem")
        shown = self.ca("show", "--config", self.config).stdout
        (out / "ca.pem").write_text(shown)
        return TlsFiles.within(out)


def mark_of(gateway):
    """How a revocation list names the gateway's own issuer."""
    issuer = pki.load_certificates(gateway.files.cert)[1]
    return authority_mark(pki.key_id(issuer.public_key()))


def put(issued, place):
    """An identity's three files over those of another, without its slots."""
    for path in issued.glob("*.pem"):
        shutil.copy(path, place)


def issuer_of(files):
    return pki.authority_id(pki.load_certificates(files.cert)[1])


@pytest.fixture(params=[False, True], ids=["issuing", "root"])
def site(tmp_path, request):
    made = Site(tmp_path, new_root=request.param)
    made.fleet.start()
    yield made
    made.fleet.close()


async def until_signed_by_new(site, new):
    """The running service follows within a second or two."""
    async with asyncio.timeout(EVENT_S):
        while True:
            files = await asyncio.to_thread(site.device, "probe")
            if issuer_of(files) == new:
                return
            await asyncio.sleep(0.2)


@pytest.mark.timeout(300)
async def test_a_live_fleet_goes_over_without_a_dropped_device(site, tmp_path):
    await asyncio.to_thread(site.prepare)
    old = pki.load_certificates(site.fleet.directory / "authority" / "ca.pem")[0]
    place = site.fleet.directory / "gateway-edge"
    made = await asyncio.to_thread(site.issue, "gateway", "edge", "localhost")
    place.mkdir(mode=0o700)
    put(made, place)
    async with Gateway(site.fleet, "edge", tmp_path / "state") as edge:
        listener = Listener(edge)
        server = await listener.serve()
        port = server.sockets[0].getsockname()[1]
        before = {name: await asyncio.to_thread(site.device, name) for name in DEVICES}
        await edge.until(lambda: all(edge.identity.device(name) for name in DEVICES))
        links = {name: await Link.open(before[name], port) for name in DEVICES}

        async def all_there():
            await asyncio.gather(*(link.use() for link in links.values()))

        async def new_certificate_of_the_gateway():
            """As a renewal does it: files in their place, contexts built anew."""
            nonlocal server, port
            fresh = await asyncio.to_thread(site.issue, "gateway", "edge", "localhost")
            put(fresh, place)
            listener.contexts.reload()
            server.close()
            server = await listener.serve()
            port = server.sockets[0].getsockname()[1]

        # Both are trusted: the trust file changes everywhere, nobody's certificate does.
        told = await asyncio.to_thread(site.ca, "rotate", "--config", site.config)
        assert "both trusted" in told.stdout
        await new_certificate_of_the_gateway()
        assert issuer_of(edge.files) == pki.authority_id(old)
        await all_there()
        await (await Link.open(before["mon-0"], port)).close()

        # The new one signs; the gateway is renewed first, then devices one after the other.
        told = await asyncio.to_thread(site.ca, "rotate", "--config", site.config)
        assert "new signs" in told.stdout
        (new,) = [
            line.split()[1] for line in told.stdout.splitlines() if line.startswith("signing")
        ]
        await until_signed_by_new(site, new)
        await new_certificate_of_the_gateway()
        assert issuer_of(edge.files) == new
        refused = await asyncio.to_thread(site.ca, "retire", "--config", site.config, check=False)
        assert refused.returncode == 2
        assert "device mon-0" in refused.stderr
        after = {}
        for name in DEVICES:
            await (await Link.open(before[name], port)).close()  # an old one at a new gateway
            after[name] = await asyncio.to_thread(site.device, name)
            assert issuer_of(after[name]) == new
            fresh = await Link.open(after[name], port)
            await links[name].use()  # its old session stands until it has the new one
            await links[name].close()
            links[name] = fresh
            await all_there()
        stays = await Link.open(before["mon-0"], port)  # for what the end does to it

        # Everybody else, then the end of the old one.
        service = await asyncio.to_thread(site.issue, Role.SERVICE, "fleet", "localhost")
        put(service, site.fleet.directory / "service")
        for name in ("admin", "ben"):
            await asyncio.to_thread(site.issue, Role.OPERATOR, name)
        told = await asyncio.to_thread(site.ca, "status", "--config", site.config)
        assert "0 holders have no other" in told.stdout
        told = await asyncio.to_thread(site.ca, "retire", "--config", site.config)
        assert "phase           steady" in told.stdout
        await edge.until(lambda: edge.book.current.signer == mark_of(edge))
        await all_there()
        with pytest.raises((ConnectionError, TimeoutError)):
            await stays.use()
        with pytest.raises(ConnectionError):
            await Link.open(before["mon-1"], port)
        await (await Link.open(after["mon-1"], port)).close()
        for link in links.values():
            await link.close()
        server.close()
    key = load_or_create_key(site.fleet.directory / "authority" / "audit.key").public_key()
    assert verify(site.fleet.directory / "authority" / "audit", key).unsigned == 0
