"""A signed head of an audit log, as it is carried to the core and to the fleet."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.domain.errors import MalformedError
from protos.wardgate.v1 import fleet_pb2
from protos.wardgate.v1 import ingest_pb2 as pb
from security.audit import TreeHead
from security.audit.form import key_id
from security.audit.merkle import HASH_BYTES

WORD_BYTES_MAX = 128
"""Of a log's name and its id."""
SIZE_MAX = 2**62
PROOF_HASHES_MAX = 128
"""A consistency proof has at most two for each level of the tree."""
REQUEST_TAG = bytes([pb.StreamRequest.AUDIT_HEAD_FIELD_NUMBER << 3 | 2])
"""How a StreamRequest with a head begins: field number and wire type 2."""


def to_message(
    head: TreeHead, public_key: bytes, since: int, proof: Sequence[bytes]
) -> pb.AuditHead:
    """A head with the proof that it continues the state of ``since`` entries."""
    return pb.AuditHead(
        name=head.name,
        log=head.log,
        size=head.size,
        root=bytes.fromhex(head.root),
        time_us=head.us,
        public_key=public_key,
        signature=bytes.fromhex(head.signature),
        since=since,
        consistency=proof,
    )


def to_checkpoint(head: TreeHead, public_key: bytes) -> fleet_pb2.AuditCheckpoint:
    """A head for the fleet."""
    return fleet_pb2.AuditCheckpoint(
        number=head.size,
        signature=bytes.fromhex(head.signature),
        name=head.name,
        log=head.log,
        root=bytes.fromhex(head.root),
        time_us=head.us,
        public_key=public_key,
    )


def from_message(message: pb.AuditHead) -> TreeHead:
    """The head whose signature was found good.

    Raises:
        MalformedError: it is none, or not signed by the key that comes with it.
    """
    words = (message.name, message.log)
    if (
        not all(0 < len(each.encode()) <= WORD_BYTES_MAX and "\n" not in each for each in words)
        or not 0 < message.size <= SIZE_MAX
        or not 0 <= message.since <= SIZE_MAX
        or len(message.root) != HASH_BYTES
        or not 0 <= message.time_us <= SIZE_MAX
        or len(message.consistency) > PROOF_HASHES_MAX
    ):
        raise MalformedError("head")
    try:
        key = Ed25519PublicKey.from_public_bytes(message.public_key)
    except ValueError as error:
        raise MalformedError("head_key") from error
    head = TreeHead(
        message.name,
        message.log,
        message.size,
        message.root.hex(),
        message.time_us,
        key_id(key),
        message.signature.hex(),
    )
    if not head.is_signed_by(key):
        raise MalformedError("head_signature")
    return head


def from_checkpoint(message: fleet_pb2.AuditCheckpoint) -> TreeHead:
    """What the fleet keeps; its signature is looked at by whoever verifies the log."""
    try:
        key = key_id(Ed25519PublicKey.from_public_bytes(message.public_key))
    except ValueError as error:
        raise MalformedError("head_key") from error
    return TreeHead(
        message.name,
        message.log,
        message.number,
        message.root.hex(),
        message.time_us,
        key,
        message.signature.hex(),
    )
