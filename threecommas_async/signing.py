"""Credentials, and what of a request they sign.

Source: the official pages on signing with HMAC and with RSA (state of 2026-05).
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeAlias, get_args

if TYPE_CHECKING:
    from _hashlib import HASH

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

JsonPayload = Literal["path?body", "path+body"]
"""How a JSON body joins the signed payload when the target has no query string."""


def signing_payload(target: str, body: bytes = b"", *, json_payload: JsonPayload = "path?body") -> bytes:
    """Return the bytes that are signed for one request.

    The rule is ``path?totalParams``, where ``totalParams`` is the query string followed directly by
    the body, both byte for byte as they are sent. Without parameters it is the path alone.

    Args:
        target: Path and query as they stand in the request line (``/public/api/v2/…``).
        body: The body exactly as sent.
        json_payload: Whether a ``?`` stands between a bare path and the body. The documented HMAC
            signature of a JSON body has it, the documented RSA one has not; form bodies always have it.
    """
    if not body:
        return target.encode()
    separator = b"" if "?" in target or json_payload == "path+body" else b"?"
    return target.encode() + separator + body


_BLOCK: Final = 64
"""Bytes of a block of SHA-256: a longer key is hashed first."""
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


class _Unprintable:
    """Keeps keys out of reprs, logs and pickles."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled or copied: it holds a secret")


class HmacCredentials(_Unprintable):
    """A system-generated key: HMAC-SHA256 with the secret, in hexadecimal.

    Args:
        api_key: The API key.
        api_secret: The secret that was shown once when the key was made.
        json_payload: Form of the payload for JSON bodies.

    Raises:
        ValueError: The key or the secret is empty, has white space or is not ASCII, or ``json_payload`` is
            neither of the two forms.
    """

    __slots__ = ("_inner", "_outer", "api_key", "json_payload")

    api_key: str
    json_payload: JsonPayload

    def __init__(self, api_key: str, api_secret: str, *, json_payload: JsonPayload = "path?body") -> None:
        try:
            self.api_key = _token("api_key", api_key)
            self._inner, self._outer = _keyed(_token("api_secret", api_secret).encode())
            self.json_payload = _form(json_payload)
        finally:
            # A traceback that shows locals must not show these.
            del api_key, api_secret

    def sign(self, target: str, body: bytes = b"") -> str:
        """Return the signature as 64 lower-case hexadecimal digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(signing_payload(target, body, json_payload=self.json_payload))
        outer.update(inner.digest())
        return outer.hexdigest()


class RsaCredentials(_Unprintable):
    """A self-generated key: RSASSA-PKCS1-v1_5 with SHA-256, Base64 on one line.

    3Commas holds the public half (2048 or 4096 bit); the private key never leaves this process.
    Needs the extra ``rsa``.

    Args:
        api_key: The API key that 3Commas gave for the registered public key.
        private_key: The private key: PEM text or bytes, or the `pathlib.Path` of a PEM file. Read once, here.
        json_payload: Form of the payload for JSON bodies.

    Raises:
        ValueError: The key cannot be read, is encrypted, or is not an RSA private key; or ``json_payload`` is
            neither of the two forms.
        ImportError: The package ``cryptography`` is not installed.
    """

    __slots__ = ("_hash", "_padding", "_private_key", "api_key", "json_payload")

    api_key: str
    json_payload: JsonPayload

    def __init__(
        self,
        api_key: str,
        private_key: str | bytes | os.PathLike[str],
        *,
        json_payload: JsonPayload = "path+body",
    ) -> None:
        try:
            self.api_key = _token("api_key", api_key)
            self._private_key = _load_private_key(private_key)
            self.json_payload = _form(json_payload)
        finally:
            del api_key, private_key
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        self._padding = padding.PKCS1v15()
        self._hash = hashes.SHA256()

    def sign(self, target: str, body: bytes = b"") -> str:
        """Return the signature in Base64."""
        payload = signing_payload(target, body, json_payload=self.json_payload)
        return base64.b64encode(self._private_key.sign(payload, self._padding, self._hash)).decode()


Credentials: TypeAlias = HmacCredentials | RsaCredentials


def make_credentials(
    api_key: str | None,
    api_secret: str | None = None,
    rsa_private_key: str | bytes | os.PathLike[str] | None = None,
    *,
    json_payload: JsonPayload | None = None,
) -> Credentials:
    """Return the credentials that the given parts make.

    Args:
        api_key: The API key.
        api_secret: The secret of a system-generated key.
        rsa_private_key: The private key of a self-generated one.
        json_payload: ``None`` takes the form that is documented for the kind of key.

    Raises:
        ValueError: A part is missing, both kinds are given, or a part cannot be used.
    """
    try:
        if not api_key:
            raise ValueError("api_key is missing")
        if api_secret is not None and rsa_private_key is not None:
            raise ValueError("give api_secret or rsa_private_key, not both: a 3Commas key is of one kind")
        if rsa_private_key is not None:
            return RsaCredentials(
                api_key, rsa_private_key, json_payload="path+body" if json_payload is None else json_payload
            )
        if api_secret is not None:
            return HmacCredentials(
                api_key, api_secret, json_payload="path?body" if json_payload is None else json_payload
            )
        raise ValueError("api_secret is missing (or rsa_private_key, for a self-generated key)")
    finally:
        del api_key, api_secret, rsa_private_key


def _keyed(secret: bytes) -> tuple[HASH, HASH]:
    """Return the inner and the outer hash of an HMAC-SHA256 (RFC 2104), keyed: copies of them sign.

    `hmac` does in Python what this does once, and again for each signature.
    """
    try:
        if len(secret) > _BLOCK:
            secret = hashlib.sha256(secret).digest()
        secret = secret.ljust(_BLOCK, b"\0")
        return hashlib.sha256(secret.translate(_INNER)), hashlib.sha256(secret.translate(_OUTER))
    finally:
        del secret


def _form(json_payload: JsonPayload) -> JsonPayload:
    if json_payload not in get_args(JsonPayload):
        raise ValueError(
            f"json_payload must be one of {', '.join(get_args(JsonPayload))}, not {json_payload!r}"
        )
    return json_payload


def _token(name: str, value: str) -> str:
    try:
        if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError(f"{name} must be a str")
        if not value:
            raise ValueError(f"{name} is empty")
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ValueError(
                f"{name} has white space, a line break or a character that no key has: copy it again"
            )
        return value
    finally:
        del value


def _load_private_key(source: str | bytes | os.PathLike[str]) -> RSAPrivateKey:
    problem = "rsa_private_key is not a readable PEM private key (give the path of a file as a pathlib.Path)"
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        if isinstance(source, os.PathLike):
            problem = f"the file of rsa_private_key cannot be read: {source}"
            source = Path(source).read_bytes()
            problem = "the file of rsa_private_key does not hold a readable PEM private key"
        elif isinstance(source, str):
            source = source.encode()
        try:
            key = load_pem_private_key(source, password=None)
        except UnsupportedAlgorithm:
            key = None
        if isinstance(key, RSAPrivateKey):
            return key
        problem = problem if key is None else "rsa_private_key is not an RSA key"
    except ImportError:
        problem = ""
    except TypeError:
        problem = "rsa_private_key is encrypted or not text: give it decrypted, as PEM"
    except (OSError, ValueError):
        pass
    finally:
        del source
    # Raised outside the handler: the cause could quote the key.
    if not problem:
        raise ImportError(
            "RSA keys need the package cryptography: pip install 'threecommas-async[rsa]', or "
            "pip install -e '.[rsa]' in a copy of the source"
        )
    raise ValueError(problem)
