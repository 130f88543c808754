"""Handshakes of each kind of context: over memory BIOs, and gRPC's over loopback."""

import contextlib
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from OpenSSL import SSL

from gateway.domain.errors import RefusedError
from security import tls
from tests.unit.security.conftest import DOMAIN


class Side:
    """One end of a TLS connection in memory."""

    def __init__(self, context, server, name=None, session=None):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server,
            server_hostname=name,
            session=session,
        )
        self.done = False

    def step(self):
        try:
            self.tls.do_handshake()
            self.done = True
        except ssl.SSLWantReadError:
            pass


def shake(server_context, client_context, name="localhost", session=None):
    """Handshake to the end; returns (server, client), raises what either side raises."""
    server = Side(server_context, True)
    client = Side(client_context, False, name, session)
    for _ in range(10):
        client.step()
        server.incoming.write(client.outgoing.read())
        server.step()
        client.incoming.write(server.outgoing.read())
        if client.done and server.done:
            return server, client
    raise AssertionError("no end of the handshake")


class Watch:
    def __init__(self):
        self.codes = []

    def verify_failed(self, code):
        self.codes.append(code)


def dtls_shake(server_context, client_context, watch):
    """A DTLS handshake with its cookie exchange, over memory BIOs."""
    server_context.set_cookie_generate_callback(lambda _: b"cookie")
    server_context.set_cookie_verify_callback(lambda _, cookie: cookie == b"cookie")
    server = SSL.Connection(server_context, None)
    server.set_app_data(watch)
    server.set_accept_state()
    client = SSL.Connection(client_context, None)
    client.set_connect_state()
    for side in (server, client):
        side.set_ciphertext_mtu(1232)

    def move(source, target):
        with contextlib.suppress(SSL.WantReadError):
            target.bio_write(source.bio_read(65536))

    listening, done = True, set()
    for _ in range(12):
        for side, other in ((client, server), (server, client)):
            try:
                if side is server and listening:
                    side.DTLSv1_listen()
                    listening = False
                side.do_handshake()
                done.add(side)
            except SSL.WantReadError:
                pass
            finally:
                move(side, other)
        if len(done) == 2:
            return server, client
    raise AssertionError("no end of the handshake")


class Caller(grpc.GenericRpcHandler):
    """Answers each call with the caller's identity."""

    def service(self, details):
        def answer(_request, context):
            try:
                identity = tls.grpc_peer_identity(context, DOMAIN)
            except RefusedError as error:
                return error.reason.encode()
            return f"{identity.role}/{identity.id}".encode()

        return grpc.unary_unary_rpc_method_handler(answer)


def _call(channel):
    method = channel.unary_unary("/any/Call")
    answer: bytes = method(b"", timeout=60)
    return answer.decode()


def ask(address, credentials):
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, credentials, options) as channel:
        return _call(channel)


def grpc_refuses(address, credentials):
    with pytest.raises(grpc.RpcError) as error:
        ask(address, credentials)
    return error.value.code() is grpc.StatusCode.UNAVAILABLE


@contextlib.contextmanager
def grpc_serving(credentials):
    """The address of a server that answers each call with the caller's identity."""
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Caller(),))
    port = server.add_secure_port("localhost:0", credentials)
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(0)


def tls_agrees(server, client):
    """Whether a server and a client with these files accept each other, by Python's ssl."""
    try:
        shake(tls.server_context(server), tls.client_context(client))
    except ssl.SSLError:
        return False
    return True


def dtls_agrees(server, client):
    """The same by pyOpenSSL's DTLS."""
    try:
        dtls_shake(tls.dtls_server_context(server), tls.dtls_client_context(client), Watch())
    except SSL.Error:
        return False
    return True


def grpc_agrees(server, client):
    """The same by gRPC's TLS, which is BoringSSL."""
    with grpc_serving(tls.grpc_server_credentials(server)) as address:
        try:
            ask(address, tls.grpc_channel_credentials(client))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
    return True


AGREES = {"ssl": tls_agrees, "dtls": dtls_agrees, "grpc": grpc_agrees}
"""Every kind of context that :mod:`security.tls` builds, servers and clients."""


def openssl(*arguments, **options):
    """Run the openssl command; returns the finished process, with text."""
    command = ["openssl", *(str(each) for each in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)
