"""Run in a namespace: writes a line for each packet that arrives there, from any interface.

Standard library only. Neighbour discovery, which the kernel does by itself, is left out. A line is
``protocol source sport destination dport`` (ports 0 where there are none).
"""

import socket
import struct
import sys

ETH_P_ALL = 3
PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST = 0, 1, 2
NEIGHBOURS = frozenset((130, 131, 132, 133, 134, 135, 136, 137, 143))
NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp", 136: "udplite"}


def line(frame: bytes, kind: int) -> str:
    if kind == 0x0800:
        head, protocol = (frame[0] & 15) * 4, frame[9]
        ends = [socket.inet_ntop(socket.AF_INET, frame[at : at + 4]) for at in (12, 16)]
    elif kind == 0x86DD:
        head, protocol = 40, frame[6]
        if protocol == 0:  # a hop-by-hop header, before multicast listener reports
            protocol, head = frame[40], 48
        ends = [socket.inet_ntop(socket.AF_INET6, frame[at : at + 16]) for at in (8, 24)]
        if protocol == 58 and frame[head] in NEIGHBOURS:
            return ""
    else:
        return ""
    ports = (0, 0)
    if protocol in (6, 17, 132, 136):
        ports = struct.unpack("!HH", frame[head : head + 4])
    return f"{NAMES.get(protocol, protocol)} {ends[0]} {ports[0]} {ends[1]} {ports[1]}"


def main(place: str) -> None:
    with (
        open(place, "a", buffering=1) as out,
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)) as wire,
    ):
        out.write("ready\n")
        while True:
            frame, (interface, kind, how, *_) = wire.recvfrom(65536)
            if interface != "lo" and how in (PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST):
                said = line(frame, kind)
                if said:
                    out.write(said + "\n")


main(sys.argv[1])
