"""The one command: every part is found, and the list of them imports none."""

import subprocess
import sys
from importlib import import_module

import pytest
import typer
from typer.testing import CliRunner

from wardgate.main import PARTS, app


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_there_and_says_what_the_list_says(name):
    part = PARTS[name]
    found = getattr(import_module(part.module), part.name)
    if isinstance(found, typer.Typer):
        assert found.info.help == part.help
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f"{name} [OPTIONS]" in result.output


def test_the_list_of_commands_imports_no_part():
    code = (
        "import sys; sys.argv = ['wardgate', '--help']\n"
        "from wardgate.main import PARTS, run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "sys.exit(any(part.module in sys.modules for part in PARTS.values()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert all(f"\n  {name} " in done.stdout for name in PARTS)


def test_an_unknown_part_is_refused():
    result = CliRunner().invoke(app, ["nosuch"])
    assert result.exit_code == 2
    assert "No such command" in result.output
