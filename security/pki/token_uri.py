"""Where a key on a token is: PKCS #11 URIs (RFC 7512).

``pkcs11:token=ca;object=issuing?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/etc/wardgate/pin``

* The token is named by ``token``, ``serial``, ``manufacturer`` or ``model``, the key by ``object``
  (its label) or ``id``. A URI that leaves several possible is refused when it is used.
* The PIN is in a file of its own (``pin-source=file:/path``, readable by its owner alone) or in
  a systemd credential (``pin-source=credential:NAME``), never in the URI (``pin-value``) and
  never what a command prints (``|command``).
* ``module-path`` names the token's library; without it the environment variable
  ``WARDGATE_PKCS11_MODULE`` does.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

from gateway.domain.errors import ConfigError
from security.files import read_secret

SCHEME = "pkcs11:"
URI_CHARS_MAX = 4096
MODULE_VARIABLE = "WARDGATE_PKCS11_MODULE"

_PATH = {"token", "serial", "manufacturer", "model", "object", "id", "type"}
_QUERY = {"pin-source", "module-path"}
_FORM = re.compile(r"[A-Za-z0-9:/?\[\]@!$'()*+,=.~_&;%-]*")


class TokenUri(NamedTuple):
    """A key's place, and how to get at it; what is empty was not said."""

    token: str = ""
    serial: str = ""
    manufacturer: str = ""
    model: str = ""
    object: str = ""
    id: bytes = b""
    pin_source: str = ""
    module_path: str = ""

    @classmethod
    def parse(cls, text: str) -> TokenUri:
        """Read a URI.

        Raises:
            ConfigError: it is none, says something twice or what is not understood, carries a
                PIN, or names no key.
        """
        text = text.strip()
        if not text.startswith(SCHEME) or len(text) > URI_CHARS_MAX or not _FORM.fullmatch(text):
            raise ConfigError("not a PKCS #11 URI (RFC 7512)")
        path, _, query = text.removeprefix(SCHEME).partition("?")
        said: dict[str, bytes] = {}
        for separator, part, known in ((";", path, _PATH), ("&", query, _QUERY)):
            for attribute in filter(None, part.split(separator)):
                name, equals, value = attribute.partition("=")
                if name == "pin-value":
                    raise ConfigError("a PIN does not belong into a URI; use pin-source=file:PATH")
                if name not in known or not equals:
                    raise ConfigError(f"PKCS #11 URI: {name!r} is not understood")
                if name in said:
                    raise ConfigError(f"PKCS #11 URI: {name!r} is there twice")
                said[name] = unquote_to_bytes(value)
        if said.pop("type", b"private") != b"private":
            raise ConfigError("PKCS #11 URI: a signing key is of type private")
        key_id = said.pop("id", b"")
        try:
            words = {name.replace("-", "_"): value.decode() for name, value in said.items()}
        except UnicodeDecodeError as error:
            raise ConfigError("PKCS #11 URI: not UTF-8") from error
        uri = cls(**words, id=key_id)
        if not (uri.object or uri.id):
            raise ConfigError("PKCS #11 URI: it names no key (object= or id=)")
        return uri

    def __str__(self) -> str:
        """The URI; :meth:`parse` reads it."""
        path = [
            f"{name}={quote(value, safe='')}"
            for name, value in (
                ("token", self.token),
                ("serial", self.serial),
                ("manufacturer", self.manufacturer),
                ("model", self.model),
                ("object", self.object),
            )
            if value
        ]
        if self.id:
            path.append(f"id={quote_from_bytes(self.id, safe='')}")
        query = [
            f"{name}={quote(value, safe=':/')}"
            for name, value in (("module-path", self.module_path), ("pin-source", self.pin_source))
            if value
        ]
        return SCHEME + ";".join(path) + ("?" + "&".join(query) if query else "")

    def module(self) -> str:
        """The token's library.

        Raises:
            ConfigError: neither the URI nor the environment names it.
        """
        module = self.module_path or os.environ.get(MODULE_VARIABLE, "")
        if not module:
            raise ConfigError(
                f"which library is the token's? Say module-path= in the URI, or set"
                f" {MODULE_VARIABLE}"
            )
        return module

    def pin(self) -> str:
        """The user's PIN, read anew each time.

        Raises:
            ConfigError: there is no source, or its file is missing or readable by others.
        """
        kind, colon, rest = self.pin_source.partition(":")
        if kind == "file" and colon:
            path = Path("/" + rest.lstrip("/"))
        elif kind == "credential" and colon and "/" not in rest:
            directory = os.environ.get("CREDENTIALS_DIRECTORY")
            if directory is None:
                raise ConfigError(f"pin-source=credential:{rest}: systemd has given no credentials")
            path = Path(directory) / rest
        else:
            raise ConfigError("where is the PIN? Say pin-source=file:/PATH or credential:NAME")
        try:
            return read_secret(path).decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: a PIN is text") from error
