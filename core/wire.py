"""Requests parsed for the store: what a report packs stays packed.

Nearly every record is a report of numbers, and taking its packed fields apart through protobuf's
containers costs several times more than everything else that is read of it. So batches are parsed
with the same contract, except that the repeated fields of a Report are plain ``bytes``: on the
wire a packed field and a sub-message are exactly that (Protocol Buffers, "Encoding"). The classes
are made from the contract's own descriptor when this module loads, and can't drift from it.

A sender may also write such a field unpacked, or in several pieces. :func:`faithful` says whether
it did: then the bytes here would not be the whole field, and only the generated classes are right.
"""

from __future__ import annotations

from typing import cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from protos.wardgate.v1 import ingest_pb2 as pb

_Field = descriptor_pb2.FieldDescriptorProto


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    report = next(each for each in file.message_type if each.name == pb.Report.DESCRIPTOR.name)
    for field in report.field:
        if field.label == _Field.LABEL_REPEATED:
            field.label = _Field.LABEL_OPTIONAL
            field.type = _Field.TYPE_BYTES
            field.ClearField("type_name")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


_classes = _pool()
StreamRequest = cast(
    "type[pb.StreamRequest]",
    message_factory.GetMessageClass(
        _classes.FindMessageTypeByName(pb.StreamRequest.DESCRIPTOR.full_name)
    ),
)
_Report = message_factory.GetMessageClass(
    _classes.FindMessageTypeByName(pb.Report.DESCRIPTOR.full_name)
)


def faithful(request: pb.StreamRequest, raw: bytes) -> bool:
    """True when ``request``, parsed here from ``raw``, holds all that the generated class would.

    A piece that another one replaced is missing in the size of what is left. Defaults written out
    are missing, too, but in the generated class as well.
    """
    size = request.ByteSize()
    return size == len(raw) or size == pb.StreamRequest.FromString(raw).ByteSize()


def packed(codes: tuple[int, ...]) -> bytes:
    """The bytes of a report's field ``codes``."""
    report = _Report.FromString(pb.Report(codes=codes).SerializeToString())
    return cast("bytes", report.codes)  # type: ignore[attr-defined]  # a class made at run time
