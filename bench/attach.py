"""Thousands of devices that attach to the network at once, through one SMF, in one process.

Each has its own certificate and SIM, and a whole EAP-TLS handshake (:mod:`bench.eap`). Prints
``ready``; with a line on standard input they begin, and when all have been answered it prints a
line of JSON and ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

from bench.eap import attribute, context_of, persist, vendor
from bench.rounds import quantiles
from security.files import TlsFiles


def sim(number: int) -> str:
    """A device's IMSI."""
    return f"00101{number:010}"


def said(number: int) -> bytes:
    """What the SMF says of a device."""
    return b"".join(
        (
            attribute(1, b"anonymous"),
            attribute(4, bytes((127, 0, 0, 1))),
            attribute(44, f"BENCH-{number}".encode()),
            vendor(1, sim(number).encode()),
        )
    )


async def main(arguments: argparse.Namespace) -> None:
    """Attach them all."""
    identities = json.loads(Path(arguments.identities).read_text())[: arguments.devices]
    contexts = [_context(each, arguments.ca) for each in identities]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    random, secret, began = Random(7), arguments.secret.encode(), time.monotonic()
    found = await asyncio.gather(
        *(
            persist(arguments.port, secret, context, said(number), random)
            for number, context in enumerate(contexts)
        )
    )
    told: dict[str, Any] = {
        "attached": sum(each.accepted for each in found),
        "refused": sum(not each.accepted for each in found),
        "all_answered_s": round(time.monotonic() - began, 1),
        **quantiles([each.took_s * 1e6 for each in found]),
        "asked_again": sum(each.repeats for each in found),
        "begun_anew": sum(each.given_up for each in found),
        "cpu_s": round(time.process_time(), 1),
    }
    print(json.dumps(told), flush=True)


def _context(identity: dict[str, str], ca: str) -> ssl.SSLContext:
    return context_of(TlsFiles(Path(identity["cert"]), Path(identity["key"]), Path(ca)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("ca", "identities", "secret"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    asyncio.run(main(parser.parse_args()))
