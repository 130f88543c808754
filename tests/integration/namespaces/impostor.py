"""Whoever owns an address elsewhere: takes every connection, and keeps what is said on it.

Arguments: address, port, file. Standard library only.
"""

import contextlib
import socket
import sys
import threading


def take(peer: socket.socket, place: str) -> None:
    with peer, open(place, "ab", buffering=0) as file, contextlib.suppress(OSError):
        while data := peer.recv(65536):
            file.write(data)


with socket.create_server((sys.argv[1], int(sys.argv[2]))) as server:
    print("ready", flush=True)
    while True:
        threading.Thread(target=take, args=(server.accept()[0], sys.argv[3]), daemon=True).start()
