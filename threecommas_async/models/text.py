"""Text that others wrote, fit for a person's terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text as one line, without the characters that move a cursor or colour, hide and turn text."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
