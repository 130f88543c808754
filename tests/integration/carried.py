"""Lists of revocations that nobody must take."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from demo.plan import TRUST_DOMAIN
from security import pki
from security.revocations import RevocationList, sign_list


def unfit(good: Path, directory: Path) -> list[tuple[Path, str]]:
    """Files made from a good list, and a word of why each is refused."""
    damaged, foreign, empty = (
        directory / f"{name}.bin" for name in ("damaged", "foreign", "empty")
    )
    content = bytearray(good.read_bytes())
    content[40] ^= 1
    damaged.write_bytes(content)
    empty.touch()
    now = datetime.now(UTC)
    stranger = pki.create_issuing(pki.create_root(TRUST_DOMAIN, now), now)
    said = RevocationList(99, round(now.timestamp() * 1e6), frozenset((1,)))
    foreign.write_bytes(sign_list(stranger, said))
    return [
        (damaged, ""),
        (empty, "bytes needed"),
        (foreign, "no root of ours"),
        (directory / "absent", "No such file"),
    ]
