"""What a signature costs, and what making the credentials costs: a PEM is read once, not for each signature.

Run: ``python -m benchmarks.signing`` (needs the extra ``bench``). The RSA keys are made for the occasion.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import partial
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.pages import FIRST_ID
from benchmarks.rounds import cpu, spread, take_turns
from benchmarks.tables import table
from threecommas_async.signing import HmacCredentials, RsaCredentials

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET: Final = f"/public/api/v2/smart_trades/{FIRST_ID}/close_by_market"
KEY: Final = "the-key"
SECRET: Final = "the-secret"  # noqa: S105 - of no account
ROUNDS: Final = 40


def pem(bits: int) -> bytes:
    """Return a new private key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def by_hand() -> str:
    """Sign with the standard library alone."""
    return hmac.new(SECRET.encode(), TARGET.encode(), hashlib.sha256).hexdigest()


def measure() -> dict[str, tuple[str, str]]:
    """Return, by kind of key, the microseconds of making the credentials and of a signature."""
    keys = {bits: pem(bits) for bits in (2048, 4096)}
    sides: dict[tuple[str, str], Callable[[], float]] = {
        ("`hmac.new`, by hand", "sign"): partial(cpu, by_hand, 2000),
        ("HMAC", "make"): partial(cpu, partial(HmacCredentials, KEY, SECRET), 500),
        ("HMAC", "sign"): partial(cpu, partial(HmacCredentials(KEY, SECRET).sign, TARGET), 2000),
    }
    for bits, key in keys.items():
        sides[f"RSA, {bits} bit", "make"] = partial(cpu, partial(RsaCredentials, KEY, key), 1)
        sides[f"RSA, {bits} bit", "sign"] = partial(cpu, partial(RsaCredentials(KEY, key).sign, TARGET), 10)
    rounds = take_turns(sides, rounds=ROUNDS)
    micros = {side: _micros(spread(took).median) for side, took in rounds.items()}
    return {kind: (micros.get((kind, "make"), ""), micros[kind, "sign"]) for kind, _ in sides}


def _micros(seconds: float) -> str:
    return f"{seconds * 1e6:.1f}" if seconds < 1e-4 else f"{seconds * 1e6:.0f}"


def main() -> None:
    """Print the table."""
    print(f"CPU time, medians of {ROUNDS} interleaved rounds. Credentials are made once for a client.\n")
    rows = [(kind, made, signature) for kind, (made, signature) in measure().items()]
    print(table(("key", "making the credentials, µs", "a signature, µs"), rows))


if __name__ == "__main__":
    main()
