"""Keys on a token (PKCS #11): made there, used there, never seen here.

Rules:

* A key is made on the token, sensitive and not extractable; one that is not so is not used.
* One session per token and process, and one call at a time: a login counts for the whole
  process (so the PIN of the first key that was used), and the library is not told to lock.
* A token that was away is logged into again, if need be with its library begun anew; what fails
  then is a :class:`TokenError`, for the caller to try later.

python-pkcs11 is imported late: it is an optional dependency (``wardgate[pkcs11]``).
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    PrivateFormat,
)

from gateway.domain.errors import ConfigError, WardgateError
from security.pki.token_uri import TokenUri

KEY_ID_BYTES = 16
COORDINATE_BYTES = 32
"""Of P-256; a signature is two of them."""

_P256_OID = bytes.fromhex("06082a8648ce3d030107")
_ED25519_OID = bytes.fromhex("06032b6570")
_ED25519_NAME = bytes.fromhex("130c656477617264733235353139")
"""PrintableString "edwards25519", as SoftHSM has it."""

T = TypeVar("T")


class TokenError(WardgateError):
    """The token is away, locked, or refuses."""

    reason = "token"


class _Login:
    """The process's session with one token."""

    def __init__(self, uri: TokenUri, library: Any) -> None:
        self._uri = uri
        self.library = library
        self._session: Any = None
        self._keys: dict[tuple[str, bytes], tuple[Any, Any]] = {}

    def call(self, uri: TokenUri, use: Callable[[Any, Any], T]) -> T:
        """``use`` the private and public key at ``uri``.

        When that fails, it logs in anew, and then with the library begun anew.
        """
        with _lock:
            for remedy in (self.forget, self._begin_anew, None):
                try:
                    private, public = self._find(uri)
                    return use(private, public)
                except _pkcs11().PKCS11Error as error:
                    # A wrong PIN is not tried twice: a token locks after a few.
                    if remedy is None or type(error).__name__.startswith("Pin"):
                        self.forget()
                        raise _told(uri, error) from error
                    remedy()
        raise AssertionError("unreachable")  # the last failure is raised

    def generate(self, uri: TokenUri, kind: str) -> None:
        """Make a key pair on the token.

        Raises:
            ConfigError: there is a key of that name, or the token can't.
        """
        p11 = _pkcs11()
        attribute = p11.Attribute
        with _lock:
            try:
                session = self._open()
                if list(session.get_objects(_template(uri, p11.ObjectClass.PRIVATE_KEY))):
                    raise ConfigError(f"the token has a key {uri.object!r}; none is replaced")
                elliptic = kind == "p256"
                parameters = session.create_domain_parameters(
                    p11.KeyType.EC if elliptic else p11.KeyType.EC_EDWARDS,
                    {attribute.EC_PARAMS: _P256_OID if elliptic else _ED25519_NAME},
                    local=True,
                )
                parameters.generate_keypair(
                    id=uri.id or secrets.token_bytes(KEY_ID_BYTES),
                    label=uri.object,
                    store=True,
                    capabilities=p11.MechanismFlag.SIGN | p11.MechanismFlag.VERIFY,
                    mechanism=p11.Mechanism.EC_KEY_PAIR_GEN
                    if elliptic
                    else p11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
                    private_template={attribute.SENSITIVE: True, attribute.EXTRACTABLE: False},
                )
            except p11.PKCS11Error as error:
                self.forget()
                raise _told(uri, error) from error

    def forget(self) -> None:
        """Close the session; the next use opens another."""
        session, self._session = self._session, None
        self._keys.clear()
        if session is not None:
            try:
                session.close()
            except _pkcs11().PKCS11Error:
                return  # it was gone already

    def _begin_anew(self) -> None:
        """Some libraries see a token that came back only then; every login is lost by it."""
        for login in _logins.values():
            if login.library is self.library:
                login.forget()
        try:
            self.library.reinitialize()
        except _pkcs11().PKCS11Error:
            return  # what is tried then fails, and tells

    def _open(self) -> Any:
        if self._session is None:
            token = _the_token(self._uri, self.library)
            self._session = token.open(rw=True, user_pin=self._uri.pin())
        return self._session

    def _find(self, uri: TokenUri) -> tuple[Any, Any]:
        known = self._keys.get((uri.object, uri.id))
        if known is not None:
            return known
        p11, session = _pkcs11(), self._open()
        found = list(session.get_objects(_template(uri, p11.ObjectClass.PRIVATE_KEY)))
        if len(found) != 1:
            raise ConfigError(f"{uri}: the token has {len(found)} such private keys")
        (private,) = found
        hidden = private[p11.Attribute.SENSITIVE] and not private[p11.Attribute.EXTRACTABLE]
        if not hidden:
            raise ConfigError(f"{uri}: the key could be read from the token; make it there anew")
        public = list(
            session.get_objects(
                {
                    p11.Attribute.CLASS: p11.ObjectClass.PUBLIC_KEY,
                    p11.Attribute.ID: private[p11.Attribute.ID],
                }
            )
        )
        if len(public) != 1:
            raise ConfigError(f"{uri}: the token has {len(public)} public keys for it")
        self._keys[uri.object, uri.id] = (private, public[0])
        return private, public[0]


_lock = threading.RLock()
_logins: dict[tuple[str, bytes], _Login] = {}


class TokenKey(ec.EllipticCurvePrivateKey):
    """A P-256 key on a token, as cryptography's builders and we take it."""

    def __init__(self, uri: TokenUri) -> None:
        """Find the key and read its public part.

        Raises:
            ConfigError: there is no such key, or it is not P-256 or could be read.
            TokenError: the token is away or refuses.
        """
        self.uri = uri
        self._login = _login(uri)
        parameters, point = self._login.call(uri, _public_part)
        if parameters != _P256_OID:
            raise ConfigError(f"{uri}: not a P-256 key")
        try:
            self._public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError as error:
            raise ConfigError(f"{uri}: its public key is damaged") from error

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def sign(
        self,
        data: bytes | bytearray | memoryview,
        signature_algorithm: ec.EllipticCurveSignatureAlgorithm,
    ) -> bytes:
        """Sign on the token.

        Raises:
            TokenError: the token is away or refuses.
        """
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, Prehashed):
            digest = bytes(data)
        elif isinstance(algorithm, hashes.HashAlgorithm):
            digest = hashlib.new(algorithm.name, data).digest()
        else:
            raise UnsupportedAlgorithm("no hash")
        raw = self._login.call(
            self.uri, lambda private, _: private.sign(digest, mechanism=_pkcs11().Mechanism.ECDSA)
        )
        if len(raw) != 2 * COORDINATE_BYTES:
            raise TokenError(f"a signature of {len(raw)} bytes")
        return encode_dss_signature(
            int.from_bytes(raw[:COORDINATE_BYTES], "big"),
            int.from_bytes(raw[COORDINATE_BYTES:], "big"),
        )

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Not for keys that sign."""
        del algorithm, peer_public_key
        _stays()

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Nobody sees them."""
        _stays()

    def private_bytes(
        self,
        encoding: Encoding,
        format: PrivateFormat,  # noqa: A002  # the name is cryptography's
        encryption_algorithm: KeySerializationEncryption,
    ) -> bytes:
        """Nobody sees them."""
        del encoding, format, encryption_algorithm
        _stays()

    def __copy__(self) -> TokenKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenKey:
        return self


class TokenAuditKey(ed25519.Ed25519PrivateKey):
    """An Ed25519 key on a token, for checkpoints of the audit log."""

    def __init__(self, uri: TokenUri) -> None:
        """As :class:`TokenKey`."""
        self.uri = uri
        self._login = _login(uri)
        parameters, point = self._login.call(uri, _public_part)
        if parameters not in {_ED25519_OID, _ED25519_NAME}:
            raise ConfigError(f"{uri}: not an Ed25519 key")
        self._public = ed25519.Ed25519PublicKey.from_public_bytes(point)

    def public_key(self) -> ed25519.Ed25519PublicKey:
        return self._public

    def sign(self, data: bytes | bytearray | memoryview) -> bytes:
        """Sign on the token.

        Raises:
            TokenError: the token is away or refuses.
        """
        signed: bytes = self._login.call(
            self.uri,
            lambda private, _: private.sign(bytes(data), mechanism=_pkcs11().Mechanism.EDDSA),
        )
        return signed

    def private_bytes_raw(self) -> bytes:
        """Nobody sees them."""
        _stays()

    def private_bytes(
        self,
        encoding: Encoding,
        format: PrivateFormat,  # noqa: A002  # the name is cryptography's
        encryption_algorithm: KeySerializationEncryption,
    ) -> bytes:
        """Nobody sees them."""
        del encoding, format, encryption_algorithm
        _stays()

    def __copy__(self) -> TokenAuditKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenAuditKey:
        return self


def generate(uri: TokenUri) -> TokenKey:
    """Make a P-256 key on the token, labelled ``object``.

    Raises:
        ConfigError: there is one of that name already, or the URI names no token.
        TokenError: the token is away or refuses.
    """
    _login(uri).generate(uri, "p256")
    return TokenKey(uri)


def generate_audit(uri: TokenUri) -> TokenAuditKey:
    """Make an Ed25519 key on the token; raises as :func:`generate`."""
    _login(uri).generate(uri, "ed25519")
    return TokenAuditKey(uri)


def _login(uri: TokenUri) -> _Login:
    module = uri.module()
    with _lock:
        p11 = _pkcs11()
        try:
            library = p11.lib(module)
            serial = _the_token(uri, library).serial
        except p11.PKCS11Error as error:
            raise _told(uri, error) from error
        return _logins.setdefault((module, serial), _Login(uri, library))


def _the_token(uri: TokenUri, library: Any) -> Any:
    found = [
        token
        for token in library.get_tokens()
        if uri.token in {"", token.label}
        and uri.serial in {"", token.serial.decode(errors="replace")}
        and uri.manufacturer in {"", token.manufacturer_id}
        and uri.model in {"", token.model}
        and _pkcs11().TokenFlag.TOKEN_INITIALIZED in token.flags
    ]
    if len(found) > 1:
        raise ConfigError(f"{uri}: {len(found)} tokens are meant; add serial=")
    if not found:
        raise TokenError(f"{uri}: no such token is there")
    return found[0]


def _template(uri: TokenUri, kind: Any) -> dict[Any, Any]:
    attribute = _pkcs11().Attribute
    template = {attribute.CLASS: kind}
    if uri.object:
        template[attribute.LABEL] = uri.object
    if uri.id:
        template[attribute.ID] = uri.id
    return template


def _public_part(_private: Any, public: Any) -> tuple[bytes, bytes]:
    """The curve's name, and the point without the OCTET STRING that is around it."""
    attribute = _pkcs11().Attribute
    parameters, point = bytes(public[attribute.EC_PARAMS]), bytes(public[attribute.EC_POINT])
    if point[:1] == b"\x04" and len(point) > 2 and point[1] == len(point) - 2:
        point = point[2:]
    return parameters, point


def _told(uri: TokenUri, error: Exception) -> TokenError:
    said = str(error)
    return TokenError(f"{uri}: {type(error).__name__}{f': {said}' if said else ''}")


def _stays() -> NoReturn:
    raise UnsupportedAlgorithm("the key does not leave its token")


def _pkcs11() -> Any:
    try:
        import pkcs11  # noqa: PLC0415  # optional, see above
    except ImportError as error:
        raise ConfigError("a key on a token needs python-pkcs11 (wardgate[pkcs11])") from error
    return pkcs11
