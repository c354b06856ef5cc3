"""What a command's exit code says."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from threecommas_async import errors

if TYPE_CHECKING:
    from collections.abc import Iterable


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    OK = 0
    """All is as it should be."""
    NOT_ALL = 1
    """Something is left to look at."""
    USAGE = 2
    """The command line cannot be used; nothing was sent."""
    CREDENTIALS = 3
    """There are no usable credentials, or the API does not accept them."""
    NOT_SERVED = 4
    """This IP address is banned, or the subscription plan does not include the call."""
    NOT_TOLD = 5
    """All is as it should be, and standard output could not be written: what it was to say is on standard
    error."""
    INTERRUPTED = 130
    """Ctrl-C or SIGTERM; what had left was let finish."""


def exit_code_of(problems: Iterable[BaseException | None]) -> ExitCode:
    """Return the code for what went wrong: the gravest counts."""
    code = ExitCode.OK
    for problem in problems:
        match problem:
            case None:
                continue
            case errors.BannedError() | errors.PlanLimitError():
                return ExitCode.NOT_SERVED
            case errors.AuthenticationError():
                code = ExitCode.CREDENTIALS
            case _:
                code = max(code, ExitCode.NOT_ALL)
    return code
