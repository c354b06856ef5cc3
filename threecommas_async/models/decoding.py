"""Bytes to Structs, so that one odd value costs as little as possible."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, InvalidOperation, getcontext, setcontext
from functools import cached_property
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

DECODING_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError)
"""What bytes raise that are not the JSON that was asked for; arithmetic fails on absurd exponents."""

MAX_ELEMENTS: Final = 1000
"""Elements of a list with malformed ones that are looked at one by one; pages hold 100."""


# Where the caller's context traps nothing, text that is no number would pass for NaN.
_NUMBERS: Final = Context(traps=[InvalidOperation])


MAKING: Final = threading.Lock()
"""Two threads that make decoders at once, for types of which neither is known yet, crash msgspec 0.22."""


class Malformed(Struct, frozen=True):
    """An element of a list that does not fit its type.

    Args:
        index: Its place in the list as it was sent, from 0.
        id: Its ``id``; None where even that cannot be read.
        fault: What does not fit, with the path of the field; without values.
    """

    index: int
    id: int | None
    fault: str


@dataclass(frozen=True, slots=True, repr=False)
class Page(Sequence[T], Generic[T]):
    """One page of a list: a sequence of the elements that could be read.

    Args:
        items: The elements that could be read, in the order of the answer.
        malformed: The elements that could not.
    """

    items: tuple[T, ...] = ()
    malformed: tuple[Malformed, ...] = ()

    @property
    def received(self) -> int:
        """Elements in the answer, read or not: fewer than ``per_page`` make it the last page."""
        return len(self.items) + len(self.malformed)

    def __repr__(self) -> str:
        return f"<Page of {len(self.items)}, {len(self.malformed)} malformed>"

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self.items[index]


def _made(type_: type[T]) -> msgspec.json.Decoder[T]:
    with MAKING:
        return msgspec.json.Decoder(type_)


class Decoder(Generic[T]):
    """Decodes an object, leniently where it must be.

    Strict first, which is quicker: recorded answers spell few whole numbers ``"1"`` or ``"14.0"``. What does
    not fit is read once more, leniently: a whole number may be text, an object or a list that is null is
    taken as absent, and characters that are no text (lone surrogates, bytes that are not UTF-8) are replaced.

    Args:
        type_: Type of the object.
    """

    def __init__(self, type_: type[T]) -> None:
        self._type = type_

    # With the first body: to read the hints of all types takes a good part of the time that importing takes.
    @cached_property
    def _strict(self) -> msgspec.json.Decoder[T]:
        return _made(self._type)

    def __call__(self, body: bytes) -> T:
        """Decode a body.

        Raises:
            msgspec.DecodeError: The body is not JSON or does not fit; the text holds a path and no values.
            RecursionError: The body is nested absurdly deep.
            ArithmeticError: A number has an absurd exponent.
        """
        callers = getcontext()
        setcontext(_NUMBERS)  # localcontext would copy it, which costs more.
        try:
            return self._strict.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # No documented object or list is ever null. Should one be, absence is the nearest meaning.
            return msgspec.convert(_tolerant(body), self._type, strict=False)
        finally:
            setcontext(callers)


class PageDecoder(Generic[T]):
    """Decodes a list so that one malformed element does not cost the others.

    Args:
        item: Type of the elements.
    """

    def __init__(self, item: type[T]) -> None:
        self._item = item

    @cached_property
    def _strict(self) -> msgspec.json.Decoder[tuple[T, ...]]:
        return _made(cast("type[tuple[T, ...]]", GenericAlias(tuple, (self._item, ...))))

    def __call__(self, body: bytes) -> Page[T]:
        """Decode a body.

        Raises:
            msgspec.DecodeError: The body is no list, or one of more than `MAX_ELEMENTS` with malformed ones.
            RecursionError: The body is nested absurdly deep.
        """
        callers = getcontext()
        setcontext(_NUMBERS)
        try:
            return Page(self._strict.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError):
            return self._one_by_one(_elements(body))
        finally:
            setcontext(callers)

    def _one_by_one(self, elements: list[Any]) -> Page[T]:
        items: list[T] = []
        malformed: list[Malformed] = []
        for index, element in enumerate(elements):
            try:
                items.append(msgspec.convert(element, self._item, strict=False))
            except DECODING_ERRORS as problem:
                malformed.append(Malformed(index, _readable_id(element), str(problem)))
        return Page(tuple(items), tuple(malformed))


def decode_texts(body: bytes) -> Page[str]:
    """Decode a list of texts so that one that is none, or empty, does not cost the others.

    Raises:
        msgspec.DecodeError: The body is no list.
        RecursionError: The body is nested absurdly deep.
    """
    try:
        # Not the fallback of other bodies: it keeps numbers as text.
        content = json.loads(
            body.decode(errors="replace"), parse_int=lambda _: None, parse_float=lambda _: None
        )
    except ValueError as problem:
        raise msgspec.DecodeError(f"not JSON: {problem}") from None
    texts: list[str] = []
    malformed: list[Malformed] = []
    for index, element in enumerate(msgspec.convert(content, list[Any])):
        if isinstance(element, str) and element:
            texts.append(_readable(element))
        else:
            malformed.append(Malformed(index, None, f"Expected `str`, not empty - at `$[{index}]`"))
    return Page(tuple(texts), tuple(malformed))


class _Identified(msgspec.Struct):
    id: int | None = None


_made(_Identified)  # So that no thread is the first to read its hints: see MAKING.


def _readable_id(element: object) -> int | None:
    try:
        return msgspec.convert(element, _Identified, strict=False).id
    except DECODING_ERRORS:
        return None


def _elements(body: bytes) -> list[Any]:
    elements: list[Any] = msgspec.convert(_tolerant(body), list[Any])
    if len(elements) > MAX_ELEMENTS:
        raise msgspec.ValidationError(f"Expected `array` of length <= {MAX_ELEMENTS}")
    return elements


def _tolerant(body: bytes) -> Any:
    try:
        # Not msgspec, which gives a whole page up for one lone surrogate. Numbers stay text, to be exact.
        content = json.loads(
            body.decode(errors="replace"), parse_float=str, parse_int=str, parse_constant=lambda _: None
        )
    except ValueError as problem:
        raise msgspec.DecodeError(f"not JSON: {problem}") from None
    return _readable(content)


def _readable(value: Any) -> Any:
    match value:
        case dict():
            items = cast("dict[str, Any]", value).items()
            return {key: _readable(item) for key, item in items if item is not None}
        case list():
            return [_readable(item) for item in cast("list[object]", value)]
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case _:
            return value
