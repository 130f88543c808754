"""A new driver's package, from the template beside this file."""

from __future__ import annotations

import keyword
import re
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from gateway import plugins
from gateway.domain.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
NAME_CHARACTERS_MAX = 40
TEMPLATE = "driver_template"
SUFFIX = ".tmpl"


def write(name: str, directory: Path) -> Path:
    """Write the package below ``directory``.

    Returns:
        The package's own directory, ``wardgate-<name>``.

    Raises:
        ConfigError: it can't have this name, or the directory is there already.
        OSError: it can't be written.
    """
    if not NAME.fullmatch(name) or len(name) > NAME_CHARACTERS_MAX or keyword.iskeyword(name):
        raise ConfigError(
            f"{name!r} can't be a driver's name: small letters, digits and single _ between them, "
            f"a letter first, at most {NAME_CHARACTERS_MAX}"
        )
    if entry_points(group=plugins.GROUP, name=name):
        raise ConfigError(f"there is a driver {name!r} already; see wardgate driver list")
    project = name.replace("_", "-")
    words = {
        "@@name@@": name,
        "@@project@@": project,
        "@@Name@@": "".join(part.capitalize() for part in name.split("_")),
    }
    home = directory / f"wardgate-{project}"
    try:
        home.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{home} is there already") from None
    _copy(files("wardgate") / TEMPLATE, home, words)
    return home


def _copy(source: Traversable, target: Path, words: dict[str, str]) -> None:
    for each in source.iterdir():
        if each.is_dir():
            name = f"wardgate_{words['@@name@@']}" if each.name == "package" else each.name
            (target / name).mkdir()
            _copy(each, target / name, words)
        elif each.name.endswith(SUFFIX):
            path = target / _filled(each.name.removesuffix(SUFFIX), words)
            path.write_text(_filled(each.read_text(encoding="utf-8"), words), encoding="utf-8")


def _filled(text: str, words: dict[str, str]) -> str:
    for placeholder, word in words.items():
        text = text.replace(placeholder, word)
    return text
