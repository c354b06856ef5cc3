from __future__ import annotations

import base64
import copy
import hmac
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import example, given
from hypothesis import strategies as st

from threecommas_async.signing import HmacCredentials, RsaCredentials, make_credentials, signing_payload

if TYPE_CHECKING:
    from pathlib import Path

# The published example credentials and vectors of the official signing pages. The page on HMAC with JSON
# prints the payload without its body; the editions until 2024-11 have it, with the same signature.
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
API_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
DOCUMENTED_PUBLIC_KEY = b"""-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAspMfrKDl78gMWr4EO9Nr
9LoZirPvkN93oGDO1LPnvDIwkmTVQCXv9EAgzz4E36B9RuXIukMydrwCqtPOaweS
AFgj9MZ0PFwIWsHk4x7flUJU3YI3Ub2uc+jl2Mbtxfoei5cbY6iAwsp+HyeKrdon
VHtEd9mFutd468+vO7+rx/M80oncfduNVf/GRR2McTOO4Ptm4s68clY0dyXMRLid
QjydPPYNjuzs47DVxNK+tXGS7QSHLuC7VO/YBXWqZNzvii1KeCEIePJfz06ywZFT
dNxZt2USoudAgUMBvJg0cLKqQJFxp62Pez6aWC0lV9yDPHpUwp+RfrNiP213vKOb
nQIDAQAB
-----END PUBLIC KEY-----
"""
CHANGE_MODE = "/public/api/ver1/users/change_mode"


@pytest.mark.parametrize(
    ("target", "body", "signature"),
    [
        (
            f"{CHANGE_MODE}?mode=paper",
            b"",
            "bca8d8c10acfbe8e76c5335d3efbe0a550487170a8bb7aaea0a13efabab55316",
        ),
        (CHANGE_MODE, b"mode=paper", "bca8d8c10acfbe8e76c5335d3efbe0a550487170a8bb7aaea0a13efabab55316"),
        (
            CHANGE_MODE,
            b'{"mode": "paper"}',
            "0475b407ba6f2388d213134e478b330f74073388a232737837f79018694ae373",
        ),
        (
            CHANGE_MODE,
            b'{"mode":"paper"}',
            "14a2c49e3d49de8c2adeda09d197dbbbaa9f8bd35ef84f4e54eda8ad241a7c46",
        ),
        (
            "/public/api/v2/smart_trades",
            b"",
            "bd1c7e9d1ac867e3696b1fda2cb21de50712111bc6a65149d256ed6d9e91c08d",
        ),
        (
            "/public/api/v2/smart_trades?page=1&per_page=10",
            b"",
            "0f102e01e306357758a20099f65bfd8461c4a8146d834ee543fd651f4744ebdb",
        ),
        (
            "/public/api/v2/smart_trades/12345678/close_by_market",
            b"",
            "c05df29565cc7cc5ddfcb27039fac748bc9553a6da2ddfd1a4e1bd026221d689",
        ),
    ],
    ids=["query", "form", "json", "json-compact", "no-parameters", "list", "post-without-body"],
)
def test_hmac_gives_the_documented_signature(target: str, body: bytes, signature: str) -> None:
    assert HmacCredentials(API_KEY, API_SECRET).sign(target, body) == signature


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200), st.binary())
@example("s" * 63, b"")
@example("s" * 64, b"")
@example("s" * 65, b"")
def test_hmac_of_a_secret_of_any_length_is_that_of_the_standard_library(secret: str, body: bytes) -> None:
    payload = signing_payload("/public/api/v2/smart_trades", body)
    expected = hmac.digest(secret.encode(), payload, "sha256").hex()
    credentials = HmacCredentials(API_KEY, secret)
    assert credentials.sign("/public/api/v2/smart_trades", body) == expected
    assert credentials.sign("/public/api/v2/smart_trades", body) == expected  # The first leaves no trace.


RSA_QUERY_SIGNATURE = (
    "W+a26NiV6KkWP5zWoaDU9nSHmfObAtbbaq+xPIKwiKIz81Mlgrek/Z51qsAWNXEMCpIGW40IYDo7BTq4FSvOVSxdfrFK3lRqBveoXW+/"
    "50QOd3p+fDe5Ku7Z0U6MvXSUeFOguMBxP7er1SLGOb5RLYI/2GPMI5txLAoSsTLjGkWOc7S3ZhUpxEfxSCp8wCFp6E99biIX2MhIT1/A"
    "Al290ID76Wr1dj9Y3QxIl6KtQlbpEqhvWBaadYaYyZR5YjHAn5NWAE2cvxLkH+SQE1khzAdB6T9ZJ9sgMtY1bOzTTV/Cj9W0SABCYr4I"
    "n12+uFY0lB+ANvgi8hLr2NCl775Wdw=="
)
RSA_JSON_SIGNATURE = (
    "EEVNxc6DLLb6PVNzc3jeNkVXVIfgHJVrfLws4Hm7wynLTLlDe6QpwPmOeT/5lAZDsft+sIN0nwo4SBNKmkea6mtxkcVz/8BuP3rhQVeG"
    "hRn3lAGy/nacsP35B50IMDx+ge1tnkjGGL4IbjtbfP5v+UVLMpJpWfVzQGlWpyLEL6PHAu7cuYs5Ug8lbfq4zgrpl1tSmemNVAedU4D4"
    "qYE/LaPB/z/urzoFYQZzobZbnXpLh4MRLaTjUgTNuiJawpk+j0K7Xk2AvHt+gY1TNOCmbRvjaP+ihgzZA0m4h32s7EdGMznI55C4CVft"
    "KQRVIfyR6TIifoljCG5nNJNZtTj98Q=="
)


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (signing_payload(f"{CHANGE_MODE}?mode=paper", b"", json_payload="path+body"), RSA_QUERY_SIGNATURE),
        (signing_payload(CHANGE_MODE, b"mode=paper", json_payload="path?body"), RSA_QUERY_SIGNATURE),
        (signing_payload(CHANGE_MODE, b'{"mode": "paper"}', json_payload="path+body"), RSA_JSON_SIGNATURE),
    ],
    ids=["query", "form", "json"],
)
def test_documented_rsa_signature_verifies_over_our_payload(payload: bytes, signature: str) -> None:
    public_key = serialization.load_pem_public_key(DOCUMENTED_PUBLIC_KEY)
    assert isinstance(public_key, rsa.RSAPublicKey)
    public_key.verify(base64.b64decode(signature), payload, padding.PKCS1v15(), hashes.SHA256())


def test_payload_of_query_and_body_joins_them_directly() -> None:
    assert signing_payload("/p?a=1", b'{"b":2}', json_payload="path?body") == b'/p?a=1{"b":2}'
    assert signing_payload("/p?a=1", b'{"b":2}', json_payload="path+body") == b'/p?a=1{"b":2}'


def test_payload_form_of_hmac_can_be_switched() -> None:
    plain = HmacCredentials(API_KEY, API_SECRET, json_payload="path+body")
    # The signature of path + body without "?", from the reproduction of the documented vectors.
    assert (
        plain.sign(CHANGE_MODE, b'{"mode": "paper"}')
        == "a04435bdb0e7fc06450833a1e26d385c56ad3495c10cf3a36d432787591f5edb"
    )


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


@pytest.mark.parametrize("source", ["text", "bytes", "path"])
def test_rsa_signature_verifies_with_the_public_half(
    private_key: rsa.RSAPrivateKey, tmp_path: Path, source: str
) -> None:
    (tmp_path / "key.pem").write_bytes(pem(private_key))
    sources: dict[str, str | bytes | Path] = {
        "text": pem(private_key).decode(),
        "bytes": pem(private_key),
        "path": tmp_path / "key.pem",
    }
    signature = RsaCredentials(API_KEY, sources[source]).sign(CHANGE_MODE, b'{"mode": "paper"}')
    assert "\n" not in signature
    private_key.public_key().verify(
        base64.b64decode(signature),
        CHANGE_MODE.encode() + b'{"mode": "paper"}',
        padding.PKCS1v15(),
        hashes.SHA256(),
    )


@pytest.mark.parametrize(
    ("api_key", "api_secret", "rsa_private_key", "message"),
    [
        (None, "s", None, "api_key is missing"),
        ("", "s", None, "api_key is missing"),
        ("k", None, None, "api_secret is missing"),
        ("k", "", None, "api_secret is empty"),
        ("k", "s", "pem", "not both"),
        ("k\r\nX-Evil: 1", "s", None, "api_key has white space, a line break"),
        ("k", "s\n", None, "api_secret has white space, a line break"),
        ("kéy", "s", None, "api_key has white space, a line break or a character"),
        ("k", None, "not a key", "not a readable PEM"),
        ("k", None, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a readable PEM"),
    ],
)
def test_unusable_credentials_are_a_value_error(
    api_key: str | None, api_secret: str | None, rsa_private_key: str | bytes | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_credentials(api_key, api_secret, rsa_private_key)


def test_unusable_private_keys_are_a_value_error(private_key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="encrypted"):
        RsaCredentials("k", pem(private_key, b"password"))
    with pytest.raises(ValueError, match="not an RSA key"):
        RsaCredentials("k", pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(ValueError, match="cannot be read"):
        RsaCredentials("k", tmp_path / "missing.pem")
    (tmp_path / "empty.pem").write_bytes(b"")
    with pytest.raises(ValueError, match="does not hold"):
        RsaCredentials("k", tmp_path / "empty.pem")


@pytest.mark.parametrize("form", ["", "path", "PATH+BODY", None])
def test_a_form_of_the_payload_that_there_is_not_is_refused(
    form: Any, private_key: rsa.RSAPrivateKey
) -> None:
    """Signed in another form than was meant, every write is a 401."""
    with pytest.raises(ValueError, match=r"json_payload must be one of path\?body, path\+body, not"):
        HmacCredentials(API_KEY, API_SECRET, json_payload=form)
    with pytest.raises(ValueError, match="json_payload must be one of"):
        RsaCredentials(API_KEY, pem(private_key), json_payload=form)
    if form is not None:
        with pytest.raises(ValueError, match="json_payload must be one of"):
            make_credentials(API_KEY, API_SECRET, json_payload=form)


@pytest.mark.parametrize("kind", ["hmac", "rsa"])
def test_credentials_cannot_be_printed_pickled_or_copied(kind: str, private_key: rsa.RSAPrivateKey) -> None:
    credentials = (
        HmacCredentials(API_KEY, API_SECRET) if kind == "hmac" else RsaCredentials(API_KEY, pem(private_key))
    )
    for text in (repr(credentials), str(credentials), f"{credentials}"):
        assert API_KEY not in text
        assert API_SECRET not in text
        assert "***" in text
    for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="holds a secret"):
            duplicate(credentials)
    with pytest.raises(TypeError):
        vars(credentials)


def test_traceback_with_locals_of_refused_credentials_holds_no_secret() -> None:
    with pytest.raises(ValueError, match="white space") as caught:
        make_credentials("key-of-mine", "secret of mine", None)
    own_frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(own_frames.format())
    assert "api_secret has white space" in text
    assert text.count("secret of mine") == 1  # The line of this test itself.
