"""API keys as the server holds them: it knows the secret of one kind and the public half of the other."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from threecommas_async.endpoints import Permission
from threecommas_async.signing import JsonPayload, signing_payload

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

FORM: Final = "application/x-www-form-urlencoded"
"""Content type of a form; its body is always signed in the form ``path?body``."""


RequestType: TypeAlias = Literal["read", "write"]
"""What a subscription plan counts: a GET is a read, anything else a write."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the owner of a key may do.

    Args:
        permissions: What the key is allowed to do.
        plan_allows: Types of request that the owner's subscription plan includes.
    """

    permissions: frozenset[Permission] = frozenset(Permission)
    plan_allows: frozenset[RequestType] = frozenset({"read", "write"})


class Key(Protocol):
    """What the server keeps of an API key."""

    json_payload: JsonPayload
    """How a JSON body joins the signed payload for this kind of key."""

    def verifies(self, payload: bytes, signature: str) -> bool: ...


class HmacKey:
    """A system-generated key."""

    json_payload: JsonPayload = "path?body"
    """The documented form for HMAC."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def verifies(self, payload: bytes, signature: str) -> bool:
        """Compare an HMAC-SHA256; the case of its hexadecimal digits does not matter."""
        expected = hmac.new(self._secret, payload, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode(errors="replace"))


class RsaKey:
    """A self-generated key, of which the user registered the public half."""

    json_payload: JsonPayload = "path+body"
    """The documented form for RSA."""

    def __init__(self, public_key: RSAPublicKey) -> None:
        self._public_key = public_key

    def verifies(self, payload: bytes, signature: str) -> bool:
        """Verify an RSASSA-PKCS1-v1_5 signature with SHA-256, in Base64."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            self._public_key.verify(base64.b64decode(signature, validate=True), payload, PKCS1v15(), SHA256())
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


class KeyRing:
    """The API keys of the user.

    Args:
        accept_both_json_forms: Whether a JSON body may be signed in the form of the other kind of key too.
    """

    def __init__(self, *, accept_both_json_forms: bool = False) -> None:
        self._keys: dict[str, Key] = {}
        self._grants: dict[str, Grant] = {}
        self._accept_both_json_forms = accept_both_json_forms

    def new_hmac(self, grant: Grant) -> tuple[str, str]:
        """Make a system-generated key and return it with its secret."""
        api_key, secret = secrets.token_hex(32), secrets.token_hex(64)
        self._keys[api_key] = HmacKey(secret)
        self._grants[api_key] = grant
        return api_key, secret

    def new_rsa(self, grant: Grant) -> tuple[str, str]:
        """Make a self-generated key and return it with its private half as PEM text.

        Raises:
            ImportError: The package ``cryptography`` is not installed.
        """
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
        )

        private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        api_key = secrets.token_hex(32)
        self._keys[api_key] = RsaKey(private_key.public_key())
        self._grants[api_key] = grant
        pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return api_key, pem.decode()

    def grant(self, api_key: str) -> Grant:
        """Return what the owner of a key of this ring may do."""
        return self._grants[api_key]

    def verifies(self, api_key: str, signature: str, target: str, body: bytes, content_type: str) -> bool:
        """Tell whether a request was signed with a key of this ring.

        Args:
            api_key: Header ``Apikey``.
            signature: Header ``Signature``.
            target: Path and query as they stand in the request line.
            body: The body exactly as received.
            content_type: Media type of the body, without parameters.
        """
        key = self._keys.get(api_key)
        if key is None:
            return False
        forms: set[JsonPayload] = {"path?body" if content_type == FORM else key.json_payload}
        if self._accept_both_json_forms and content_type != FORM:
            forms = {"path?body", "path+body"}
        try:
            payloads = [signing_payload(target, body, json_payload=form) for form in forms]
        except UnicodeEncodeError:
            # A request line that is not UTF-8: no client signs such a one.
            return False
        return any(key.verifies(payload, signature) for payload in payloads)
