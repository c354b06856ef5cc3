"""How the text of a pair is read: the one place for it.

Source: the official documentation of the market pairs (state of 2026-05), whose contracts stand behind the
first underscore (``BNFCR_1INCHUSDT``), and answers recorded in public repositories from 2021 to 2025.
"""

from __future__ import annotations

from typing import Final, Self

_SEPARATOR: Final = "_"


class Pair(str):
    """A pair as this API writes it: QUOTE_BASE, so ``USDT_BTC`` is BTC priced in USDT.

    It is text, and goes wherever the text of a pair goes. Futures carry the exchange's name of the contract
    where the base stands, which may hold further underscores: ``USDT_BTCUSDT_UMCBL``, ``BTC_BTCUSD_PERP``.
    Text of another shape is kept as it is, without quote and base: only the API knows which pairs there are.

    Example::

        pair = Pair.of(base="BTC", quote="USDT")
        assert pair == "USDT_BTC"
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str, /) -> Self:
        """Return the pair that a text names; the text itself stays exactly as it is.

        Raises:
            ValueError: It is no text, or empty.
        """
        if not isinstance(text, str) or not text:  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError(f"a pair must be text such as USDT_BTC, not {text!r:.80}")
        return cls(text)

    @classmethod
    def of(cls, *, base: str, quote: str) -> Self:
        """Return the pair of two currencies.

        Args:
            base: What is traded: a currency such as ``BTC``, or a contract such as ``BTCUSDT_UMCBL``.
            quote: What it is priced in, such as ``USDT``.

        Raises:
            ValueError: One of them is no text or empty, or the quote holds an underscore.
        """
        for name, text in (("base", base), ("quote", quote)):
            if not isinstance(text, str) or not text:  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
                raise ValueError(f"{name} must be text such as BTC, not {text!r:.80}")
        if _SEPARATOR in quote:
            raise ValueError(f"quote must not hold an underscore, which ends it: {quote!r:.80}")
        return cls(f"{quote}{_SEPARATOR}{base}")

    @property
    def quote(self) -> str | None:
        """Quote currency, what stands before the first underscore; None where the shape is unknown."""
        return self._parts[0]

    @property
    def base(self) -> str | None:
        """Base currency, or the contract: what stands after the first underscore.

        None where the shape is unknown.
        """
        return self._parts[1]

    @property
    def _parts(self) -> tuple[str, str] | tuple[None, None]:
        quote, _, base = self.partition(_SEPARATOR)
        return (quote, base) if quote and base else (None, None)


def is_pair(text: str) -> bool:
    """Whether a text may name a pair: one word with a separator in it."""
    return _SEPARATOR in text and text.isprintable() and " " not in text
