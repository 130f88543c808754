"""A DNS server that answers every A query with the address in a file, and others with nothing."""

import socket
import struct
import sys


def answer(query: bytes, address: str) -> bytes:
    end = query.index(b"\0", 12) + 5
    question = query[12:end]
    kind = struct.unpack("!H", question[-4:-2])[0]
    records = b""
    if kind == 1:
        records = b"\xc0\x0c\x00\x01\x00\x01" + struct.pack("!IH", 0, 4) + socket.inet_aton(address)
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, int(kind == 1), 0, 0) + question + records


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind((sys.argv[1], 53))
    print("ready", flush=True)
    while True:
        query, peer = server.recvfrom(2048)
        with open(sys.argv[2]) as file:
            server.sendto(answer(query, file.read().strip()), peer)
