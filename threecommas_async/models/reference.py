"""The marker in a note by which an order is found again.

The API knows no idempotency keys and gives the note back as ``note_raw``. So an order that carries a
reference has ``[ref:REFERENCE:NONCE]`` at the beginning of its note, where nothing cuts it off; the nonce,
six hexadecimal digits, keeps two orders with the same reference apart.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from threecommas_async.models.rules import MAX_NOTE

if TYPE_CHECKING:
    from threecommas_async.models.smart_trade import SmartTrade

_REFERENCE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MARKER: Final = re.compile(r"\[ref:([A-Za-z0-9_.-]{1,64}):([0-9a-f]{6})\]")


def check_reference(reference: str) -> None:
    """Raise unless this can be a reference.

    Raises:
        ValueError: It is anything but 1 to 64 letters, digits and ``_ . -``.
    """
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise ValueError(f"reference must be 1 to 64 letters, digits, _ . or -, not {reference!r:.80}")


def marked(note: str | None, reference: str, nonce: str) -> str:
    """Return the note with the marker of a reference before it.

    Args:
        note: The user's note.
        reference: 1 to 64 letters, digits and ``_ . -``.
        nonce: Six hexadecimal digits.

    Raises:
        ValueError: The reference is none, the note holds a marker already, or both together are too long.
    """
    check_reference(reference)
    if note and _MARKER.search(note):
        raise ValueError("note: it has the marker of a reference already")
    marker = f"[ref:{reference}:{nonce}]"
    text = f"{marker} {note}" if note else marker
    if len(text) > MAX_NOTE:
        raise ValueError(
            f"note: with the marker of the reference ({len(marker) + 1} characters) it has {len(text)}, "
            f"and {MAX_NOTE} are allowed"
        )
    return text


def marker_in(note: str | None) -> str | None:
    """Return the marker in a note; None if there is none."""
    found = _MARKER.search(note or "")
    return found and found[0]


def reference_in(note: str | None) -> str | None:
    """Return the reference in a note; None if there is none."""
    found = _MARKER.search(note or "")
    return found and found[1]


def note_of(trade: SmartTrade) -> str:
    """Return the note of a trade as it was written."""
    if trade.note_raw or not trade.note:
        return trade.note_raw or ""
    import html  # Its table of entities takes its time to import, and few trades need it.

    return html.unescape(trade.note)
