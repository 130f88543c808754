"""A resumed TLS session of gRPC is judged by the certificate that it was made with, now."""

import ssl
import struct
from contextlib import closing

import pytest

from attack.channel import context, dial
from attack.target import Address, KeyPair
from protos.wardgate.v1 import fleet_pb2 as pb
from tests.integration.fleet_process import Fleet

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS, ACK = 1, 4, 1
WAIT_S = 60


def frame(kind, flags, stream, payload=b""):
    """RFC 9113, 4.1."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field without indexing and Huffman (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(path, message):
    """A gRPC request that stays open (gRPC over HTTP/2)."""
    fields = {
        b":method": b"POST",
        b":scheme": b"https",
        b":path": path,
        b":authority": b"localhost",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    head = b"".join(literal(name, value) for name, value in fields.items())
    body = b"\0" + struct.pack("!I", len(message)) + message
    return frame(HEADERS, END_HEADERS, 1, head) + frame(DATA, 0, 1, body)


def answered(sock, path, message):
    """Whether a call brings a message, and not only its end."""
    sock.settimeout(WAIT_S)
    sock.sendall(PREFACE + frame(SETTINGS, 0, 0) + call(path, message))
    with sock.makefile("rb") as stream:
        while len(head := stream.read(9)) == 9:
            size = int.from_bytes(head[:3], "big")
            kind, flags, number = struct.unpack("!BBI", head[3:])
            stream.read(size)
            if kind == SETTINGS and not flags & ACK:
                sock.sendall(frame(SETTINGS, ACK, 0))
            if number == 1 and kind == DATA:
                return True
            if number == 1 and kind == HEADERS and flags & END_STREAM:
                return False
    raise AssertionError("the connection ended without an answer")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_of_a_revoked_gateway_gets_nothing(tmp_path, version):
    fleet = Fleet(tmp_path)
    fleet.start()
    try:
        files = tmp_path / "gateway"
        issue = ("ca", "issue", "gateway", "edge-1", "--config", str(fleet.config))
        fleet.command(*issue, "--out", str(files))
        pair = KeyPair(files / "cert.pem", files / "key.pem")
        tls = context(pair, version, ("h2",))
        at = Address("127.0.0.1", fleet.port)
        path = b"/wardgate.v1.FleetService/Attach"
        hello = pb.AttachRequest(hello=pb.GatewayHello(software_version="0.1")).SerializeToString()

        with closing(dial(at, tls)) as first:
            assert answered(first, path, hello)
            session = first.session
        with closing(dial(at, tls, session)) as second:
            assert second.session_reused  # the library can't be told not to
            assert answered(second, path, hello)

        fleet.command("fleet", "revoke", "gateway", "edge-1")
        with closing(dial(at, tls, session)) as third:
            assert third.session_reused
            assert not answered(third, path, hello)
    finally:
        fleet.close()
