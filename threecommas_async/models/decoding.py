"""Bytes to Structs, so that one odd value costs as little as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

DECODING_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON that was asked for."""


@dataclass(frozen=True, slots=True)
class Malformed:
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


def json_decoder(type_: type[T]) -> msgspec.json.Decoder[T]:
    """Return the decoder for one type; recorded answers spell some whole numbers "1" or 14.0."""
    return msgspec.json.Decoder(type_, strict=False)


def decode(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """Decode a body; where an object or a list is null, take it as absent.

    Raises:
        msgspec.DecodeError: The body is not JSON or does not fit; the text holds a path and no values.
        UnicodeDecodeError: The body is not UTF-8.
        RecursionError: The body is nested absurdly deep.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        # No documented object or list is ever null. Should one be, absence is the nearest meaning.
        tolerant = _without_nulls(_EXACT_NUMBERS.decode(body))
        return msgspec.convert(tolerant, decoder.type, strict=False)


class PageDecoder(Generic[T]):
    """Decodes a list so that one malformed element does not cost the others.

    Args:
        item: Type of the elements.
    """

    __slots__ = ("_item", "_page")

    def __init__(self, item: type[T]) -> None:
        self._item = json_decoder(item)
        self._page = json_decoder(cast("type[tuple[T, ...]]", GenericAlias(tuple, (item, ...))))

    def __call__(self, body: bytes) -> Page[T]:
        try:
            return Page(self._page.decode(body))
        except msgspec.ValidationError:
            return self._one_by_one(_ELEMENTS.decode(body))

    def _one_by_one(self, elements: list[msgspec.Raw]) -> Page[T]:
        items: list[T] = []
        malformed: list[Malformed] = []
        for index, element in enumerate(elements):
            try:
                items.append(decode(self._item, element))
            except DECODING_ERRORS as problem:
                malformed.append(Malformed(index, _readable_id(element), str(problem)))
        return Page(tuple(items), tuple(malformed))


class _Identified(msgspec.Struct):
    id: int | None = None


_EXACT_NUMBERS: Final = msgspec.json.Decoder(float_hook=Decimal)
_ELEMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ID: Final = json_decoder(_Identified)


def _readable_id(element: msgspec.Raw) -> int | None:
    try:
        return _ID.decode(element).id
    except DECODING_ERRORS:
        return None


def _without_nulls(value: Any) -> Any:
    match value:
        case dict():
            items = cast("dict[str, Any]", value).items()
            return {key: _without_nulls(item) for key, item in items if item is not None}
        case list():
            return [_without_nulls(item) for item in cast("list[object]", value)]
        case _:
            return value
