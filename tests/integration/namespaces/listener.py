"""A listener that nobody configured, of the gateway's user: whoever connects is told a secret."""

import socket

with socket.create_server(("0.0.0.0", 9999)) as server:
    print("ready", flush=True)
    while True:
        peer, _ = server.accept()
        peer.sendall(b"patient")
        peer.close()
