"""Texts that are fit for a person's terminal, whoever wrote them."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text as one line, without the characters that move a cursor or colour, hide and turn text."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def counted(number: int, noun: str) -> str:
    """Return how many there are of something, in words: ``1 trade``, ``2 trades``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
