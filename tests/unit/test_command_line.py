"""The one command: every part is found, and the list of them imports none."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest
import typer
from typer.testing import CliRunner

from wardgate.main import PARTS, Part, app, run


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


def ran(monkeypatch, capsys, *arguments):
    """The exit code, what is on standard output and what on standard error."""
    monkeypatch.setattr(sys, "argv", ["wardgate", *arguments])
    with pytest.raises(SystemExit) as ended:
        run()
    return ended.value.code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], "No such command 'nosuch'."),
        (["gateway", "nosuch"], "No such command 'nosuch'."),
        (["gateway", "check", "--nosuch"], "No such option: --nosuch"),
        (["sim", "replay", "/nosuch", "--to", "tcp://h:1"], "/nosuch: No such file or directory"),
        (["sim", "replay", "/nosuch"], "where to? Give --to WHERE, or --list to see what it holds"),
        (["fleet", "init"], "Missing argument 'directory'."),
        (["core", "run", "--config"], "Option '--config' requires an argument."),
        (["gateway", "check", "--config", "/nosuch"], "/nosuch: No such file or directory"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(monkeypatch, capsys, arguments, words):
    assert ran(monkeypatch, capsys, *arguments) == (2, "", f"wardgate: {words}\n")


@pytest.mark.parametrize("arguments", [[], ["gateway"]])
def test_who_names_no_command_sees_which_there_are(monkeypatch, capsys, arguments):
    code, out, err = ran(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"{' '.join(['Usage: wardgate', *arguments])} [OPTIONS] COMMAND")
    assert "Commands:" in err


def test_the_version_is_the_distributions(monkeypatch, capsys):
    assert ran(monkeypatch, capsys, "--version") == (0, f"wardgate {version('wardgate')}\n", "")


def test_a_commands_own_exit_code_is_the_process(monkeypatch, capsys):
    def end() -> None:
        raise typer.Exit(75)

    monkeypatch.setitem(PARTS, "end", Part("tests.unit.test_command_line", "END", ""))
    monkeypatch.setitem(globals(), "END", end)
    assert ran(monkeypatch, capsys, "end") == (75, "", "")
