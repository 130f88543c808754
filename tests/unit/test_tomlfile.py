"""Configuration errors name file and key; paths are relative to the file."""

from pathlib import Path

import msgspec
import pytest

from gateway.domain.errors import ConfigError
from gateway.tomlfile import address, load


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: Path
    port: int = 1


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inner: Inner


def write(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


def test_relative_paths_start_at_the_file(tmp_path):
    path = write(tmp_path, '[inner]\nkey = "keys/a.pem"\n')
    assert load(path, Outer).inner.key == tmp_path / "keys/a.pem"


def test_a_credential_is_found_where_systemd_put_it(tmp_path, monkeypatch):
    path = write(tmp_path, '[inner]\nkey = "credential:seal"\n')
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
    assert load(path, Outer).inner.key == Path("/run/credentials/x/seal")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")  # as to a person's command
    assert load(path, Outer).inner.key == tmp_path / "secrets" / "seal"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[inner]\nkey = "a"\nprot = 2\n', r"prot.*\$\.inner"),
        ('[inner]\nkey = "a"\nport = "2"\n', r"\$\.inner\.port"),
        ("[inner]\n", r"key.*\$\.inner"),
        ("[inner\n", "not TOML"),
        ('[inner]\nkey = "~nobody-here/a"\n', r"home.*\$\.inner\.key"),
    ],
)
def test_errors_name_the_key(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        load(write(tmp_path, text), Outer)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml", Outer)


def test_bytes_that_are_no_text_are_no_configuration(tmp_path):
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"c\.toml: not TOML"):
        load(path, Outer)


@pytest.mark.parametrize("port", ["", "x", "65536", "\N{SUPERSCRIPT TWO}", "9" * 5000])
def test_what_is_no_port_is_no_address(port):
    with pytest.raises(ConfigError, match="is not host:port"):
        address(f"10.0.0.1:{port}", "listen")
