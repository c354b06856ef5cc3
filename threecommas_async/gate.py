"""What keeps a client from sending anything at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from threecommas_async import errors

if TYPE_CHECKING:
    from collections.abc import Callable


class Gate:
    """Whether anything may be sent: not once the client is closed, from another loop, or during a ban.

    Args:
        clock: Seconds of a clock that never goes back.

    Attributes:
        is_shut: Something may be in the way: `check` says what.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.is_shut: bool = False
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._ban: errors.BannedError | None = None
        self._banned_until = 0.0

    def close(self) -> None:
        """Let nothing through any more."""
        self._closed = self.is_shut = True

    def ban(self, error: errors.BannedError, seconds: float) -> None:
        """Let nothing through for this many seconds."""
        self._ban, self._banned_until = error, self._clock() + seconds
        self.is_shut = True

    def check(self) -> None:
        """Raise unless a request may be sent here and now.

        Raises:
            ClientStateError: The client is closed, or was first used in another event loop.
            BannedError: The API has banned this IP address, as far as is known still.
        """
        if self._closed:
            raise errors.ClientStateError("the client is closed: nothing was sent")
        if self._ban and self._clock() < self._banned_until:
            banned = errors.BannedError(
                f"nothing was sent: this IP address is banned ({self._ban})",
                status=self._ban.status,
                error=self._ban.error,
                endpoint=self._ban.endpoint,
                request_id=self._ban.request_id,
            )
            banned.until = self._ban.until
            raise banned
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise errors.ClientStateError(
                "the client belongs to another event loop: make one for each loop; nothing was sent"
            )
