"""Write requirements.lock: every package at one version, without addresses."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Every dependency at one version, made by `make lock`; pyproject.toml has the ranges.\n"


def main() -> int:
    """Install the project with its development tools into a scratch environment and freeze."""
    with tempfile.TemporaryDirectory() as scratch:
        venv.create(scratch, with_pip=True)
        pip = [f"{scratch}/bin/python", "-m", "pip", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--quiet", f"{ROOT}[dev]", "setuptools"], check=True)
        frozen = subprocess.run(
            [*pip, "freeze", "--all"], check=True, capture_output=True, text=True
        ).stdout
    kept = [
        line
        for line in frozen.splitlines()
        if "==" in line and not line.startswith(("wardgate", "pip=="))
    ]
    (ROOT / "requirements.lock").write_text(HEADER + "\n".join(kept) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
