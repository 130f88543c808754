"""What a device needs to enrol by itself, as text, JSON and a QR code.

The QR code's content is JSON, one object: ``v`` 1, ``est`` the address (RFC 7030's base URL),
``id`` the device's id (the user of HTTP Basic), ``token`` its password, ``ca`` the SHA-256 of the
root's certificate (DER, hexadecimal). With the last a device that knows nobody can trust what
``cacerts`` answers (RFC 7030, 4.1.1).
"""

from __future__ import annotations

import hashlib
import io
import json
import ssl
from typing import Any

from fleet import tables
from protos.wardgate.v1 import fleet_pb2 as pb

VERSION = 1


def content(added: pb.AddDeviceResponse) -> dict[str, Any]:
    """What is in the QR code."""
    return {
        "v": VERSION,
        "est": added.est_url,
        "id": added.device.device_id,
        "token": added.token,
        "ca": root_sha256(added),
    }


def root_sha256(added: pb.AddDeviceResponse) -> str:
    """The root's fingerprint, hexadecimal."""
    der = ssl.PEM_cert_to_DER_cert(added.root_pem.decode("ascii"))
    return hashlib.sha256(der).hexdigest()


def as_json(added: pb.AddDeviceResponse) -> str:
    """For machines: the answer, and with a token the content of its QR code."""
    said: dict[str, Any] = json.loads(tables.as_json(added))
    if added.token:
        said["enrolment"] = content(added)
    return json.dumps(said, indent=2)


def sheet(added: pb.AddDeviceResponse, where: str, *, asked: bool, qr: bool) -> str:
    """For the person who sets the device up; ``asked`` is whether a token was wanted."""
    standing = f"device {added.device.device_id} is {tables.standing(added.device)}"
    lines = [f"{standing}: {where}" if where else standing]
    if added.token:
        lines += [
            f"token    {added.token}",
            f"         once, until {tables.day(added.token_expires_us)}",
            f"enrols   {added.est_url}",
            f"root     SHA-256 {root_sha256(added)}",
        ]
        lines += ["", qr_code(added)] if qr else []
    elif asked:
        lines.append("no token, since the fleet has no [web] listener: use --csr or --bundle")
    return "\n".join(lines)


def qr_code(added: pb.AddDeviceResponse) -> str:
    """The QR code in block characters, for a terminal that is dark or light."""
    import segno  # noqa: PLC0415  # late: `--help` must stay fast

    made = segno.make(json.dumps(content(added), separators=(",", ":")), error="l", micro=False)
    out = io.StringIO()
    made.terminal(out, compact=True)
    return out.getvalue().rstrip("\n")
