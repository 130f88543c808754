"""Generate the protobuf code beside the contracts; ``--check`` fails when it has drifted."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
CONTRACTS = sorted(PROTOS.glob("wardgate/v1/*.proto"))


def generate(out: Path) -> None:
    """Write ``*_pb2.py`` and ``*_pb2.pyi`` for every contract below ``out``."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{PROTOS}",
            f"--python_out={out}",
            f"--pyi_out={out}",
            *map(str, CONTRACTS),
        ],
        check=True,
    )
    for made in out.rglob("*_pb2.py*"):
        # The compiler knows the root of the contracts; Python's packages begin above it.
        text = made.read_text()
        made.write_text(text.replace("from wardgate.v1 import", "from protos.wardgate.v1 import"))


def main() -> int:
    """Generate in place, or compare with what is committed."""
    if "--check" not in sys.argv:
        generate(PROTOS)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        stale = [
            made.name
            for made in sorted(Path(scratch).rglob("*_pb2.py*"))
            if made.read_bytes() != (PROTOS / made.relative_to(scratch)).read_bytes()
        ]
    if stale:
        print("generated code has drifted, run `make generate`:", *stale, file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(main())
