"""What is made for the machine: here, the releases that come after this one."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from tests.vm.site import next_version

METADATA = "wardgate-1.2.dist-info/METADATA"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    made = tmp_path / "wardgate-1.2-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as files:
        files.writestr("fleet/made.py", "NUMBER = 1\n")
        files.writestr(METADATA, "Name: wardgate\nVersion: 1.2\n")
        files.writestr("wardgate-1.2.dist-info/RECORD", f"fleet/made.py,,\n{METADATA},,\n")
    return made


def test_each_release_is_newer_than_the_one_before(wheel: Path, tmp_path: Path) -> None:
    second = next_version(wheel, tmp_path / "second")
    third = next_version(second, tmp_path / "third")
    first, *later = [parse_wheel_filename(each.name)[1] for each in (wheel, second, third)]
    assert first < later[0] < later[1]
    with zipfile.ZipFile(third) as files:
        assert (
            f"Version: {later[1]}" in files.read(f"wardgate-{later[1]}.dist-info/METADATA").decode()
        )


def test_a_release_has_what_was_changed_in_it(wheel: Path, tmp_path: Path) -> None:
    made = next_version(wheel, tmp_path / "next", {"fleet/made.py": ("NUMBER = 1", "NUMBER = 2")})
    with zipfile.ZipFile(made) as files:
        assert files.read("fleet/made.py") == b"NUMBER = 2\n"


def test_a_change_of_what_is_not_there_is_none(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="made"):
        next_version(wheel, tmp_path / "next", {"fleet/made.py": ("NUMBER = 3", "NUMBER = 2")})
