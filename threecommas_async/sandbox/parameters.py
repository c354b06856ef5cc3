"""Request parameters, read with the documented fault messages."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qsl

from threecommas_async.sandbox.refusals import invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_LONGEST_WHOLE: Final = 18
_WHOLE: Final = re.compile(rf"\d{{1,{_LONGEST_WHOLE}}}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?", re.ASCII)
_BRACKETED: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]+\])*)")

# Longer than any number that the API has been seen to send.
_LONGEST_NUMBER: Final = 50

MISSING: Final = "is missing"
INVALID: Final = "is invalid"
NOT_ALLOWED: Final = "does not have a valid value"


class Fields:
    """The parameters of one request, or of one group in it; collects what is wrong with them.

    A required parameter that is missing or unusable is read as an empty value: call `check` before
    anything is done with what was read.

    Args:
        values: The parameters; null counts as not given.
        path: Name of the group in bracket style, such as ``position[units]``; empty at the top.
        faults: Messages by parameter, shared by all groups of one request.
    """

    def __init__(
        self, values: Mapping[str, object], path: str = "", faults: dict[str, list[str]] | None = None
    ) -> None:
        self._values = values
        self._path = path
        self.faults: dict[str, list[str]] = {} if faults is None else faults

    def check(self) -> None:
        """Refuse the request if anything was wrong.

        Raises:
            Refusal: 400 with every message.
        """
        if self.faults:
            raise invalid(400, self.faults)

    def key(self, name: str) -> str:
        """Return the name of a parameter as fault messages spell it."""
        return f"{self._path}[{name}]" if self._path else name

    def blame(self, name: str, *messages: str) -> None:
        """Note what is wrong with a parameter."""
        self.faults.setdefault(self.key(name), []).extend(messages)

    def has(self, name: str) -> bool:
        """Tell whether a parameter was given."""
        return self._values.get(name) is not None

    def group(self, name: str, *, required: bool = False) -> Fields:
        """Return a group; a missing required one is empty, so that its required members are named too."""
        value = self._values.get(name)
        if value is None and required:
            self.blame(name, MISSING)
        elif value is not None and not isinstance(value, dict):
            self.blame(name, INVALID)
        members = cast("dict[str, object]", value) if isinstance(value, dict) else {}
        return Fields(members, self.key(name), self.faults)

    def groups(self, name: str) -> list[Fields]:
        """Return a required list of groups."""
        value = self._values.get(name)
        if not isinstance(value, list) or not value:
            self.blame(name, MISSING)
            return []
        return [
            Fields(
                cast("dict[str, object]", item) if isinstance(item, dict) else {},
                f"{self.key(name)}[{index}]",
                self.faults,
            )
            for index, item in enumerate(cast("list[object]", value))
        ]

    def flag(self, name: str, *, required: bool = False) -> bool:
        """Return a boolean, also one spelled as text; False when not given."""
        value = self._values.get(name)
        if value is None:
            if required:
                self.blame(name, MISSING)
            return False
        if isinstance(value, bool):
            return value
        if value not in ("true", "false"):
            self.blame(name, INVALID)
        return value == "true"

    def choice(
        self,
        name: str,
        allowed: Collection[str],
        *,
        default: str | None = None,
        missing: tuple[str, ...] = (MISSING, NOT_ALLOWED),
    ) -> str:
        """Return one of the allowed texts; required without a default, with the faults for a missing one."""
        value = self._values.get(name)
        value = default if value is None else value
        if value is None:
            self.blame(name, *missing)
        elif isinstance(value, str) and value in allowed:
            return value
        else:
            self.blame(name, NOT_ALLOWED)
        return ""

    def text(self, name: str) -> str | None:
        """Return a text; None when not given."""
        value = self._values.get(name)
        if value is None or isinstance(value, str):
            return value
        self.blame(name, INVALID)
        return None

    def whole(self, name: str) -> int | None:
        """Return a whole number, also one spelled as text; None when not given."""
        value = self._values.get(name)
        if isinstance(value, str) and _WHOLE.fullmatch(value):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_LONGEST_WHOLE:
            return value
        if value is not None:
            self.blame(name, INVALID)
        return None

    def number(self, name: str, *, signed: bool = False) -> Decimal | None:
        """Return a number, exactly as sent; above zero unless ``signed``; None when not given."""
        value = self._values.get(name)
        if value is None:
            return None
        number = _exact(value)
        if number is None:
            self.blame(name, INVALID)
        elif not signed and number <= 0:
            self.blame(name, "must be greater than 0")
        return number

    def required_number(self, name: str, default: Decimal | None = None) -> Decimal:
        """Return a number above zero; required without a default."""
        if not self.has(name):
            if default is not None:
                return default
            self.blame(name, MISSING)
        return self.number(name) or Decimal(0)


def _exact(value: object) -> Decimal | None:
    # Numbers of a JSON body arrive as int or Decimal: the body is decoded without floats.
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        return None
    number = Decimal(value)
    # The exponent first: written out, 1e999999999 fills the memory.
    fits = abs(number.adjusted()) < _LONGEST_NUMBER and len(format(number, "f")) <= _LONGEST_NUMBER
    return number if fits else None


def from_form(text: str) -> dict[str, object]:
    """Read a query string or a form body; ``position[type]`` is a member of a group.

    Names with empty brackets are dropped: arrays are reported to lose their structure in forms.
    """
    values: dict[str, object] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        if (match := _BRACKETED.fullmatch(name)) is None:
            continue
        *groups, last = (match[1], *re.findall(r"\[([^\[\]]+)\]", match[2]))
        target = values
        for group in groups:
            member = target.get(group)
            if not isinstance(member, dict):
                member = target[group] = {}
            target = cast("dict[str, object]", member)
        target[last] = value
    return values


def merged(body: Mapping[str, object], query: Mapping[str, object]) -> dict[str, object]:
    """Return the parameters of both places; where one is in both, the query string wins."""
    values = dict(body)
    for name, value in query.items():
        ours = values.get(name)
        if isinstance(value, dict) and isinstance(ours, dict):
            values[name] = merged(cast("dict[str, object]", ours), cast("dict[str, object]", value))
        else:
            values[name] = value
    return values
