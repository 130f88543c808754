"""A PKCS #11 token in software (SoftHSM), for tests of whatever signs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

MODULES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"),
)
PIN = "482915"
TOKENS = ("ca", "other", "fleet", "locked")


class SoftHsm(NamedTuple):
    """Tokens labelled as in TOKENS, in one directory."""

    module: Path
    pin_file: Path
    environment: dict[str, str]
    """What another process needs to see the tokens."""

    def uri(self, label: str, token: str = "ca", pin_file: Path | None = None) -> str:
        """Where a key is, or is to be made."""
        return (
            f"pkcs11:token={token};object={label}"
            f"?module-path={self.module}&pin-source=file:{pin_file or self.pin_file}"
        )


def make(directory: Path) -> SoftHsm:
    """Make the tokens, and point this process's library at them; once per process.

    Skips the test where SoftHSM is not installed (`make system` does).
    """
    module = next((each for each in MODULES if each.exists()), None)
    if module is None:
        pytest.skip("softhsm2 is not installed")
    (directory / "tokens").mkdir()
    configuration = directory / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {directory / 'tokens'}\n"
        "objectstore.backend = file\nlog.level = ERROR\n"
    )
    # The library reads it once, when it is loaded.
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    for label in TOKENS:
        command = f"softhsm2-util --init-token --free --label {label} --pin {PIN} --so-pin 12345678"
        subprocess.run(command.split(), check=True, capture_output=True)
    pin_file = directory / "pin"
    pin_file.write_text(f"{PIN}\n")
    pin_file.chmod(0o600)
    return SoftHsm(module, pin_file, {"SOFTHSM2_CONF": str(configuration)})
