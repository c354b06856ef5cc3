"""How the exchange says no: one exception, and the documented bodies.

A call in a state that forbids it is documented for ``reduce_funds`` only: 400 ``Wrong param(s)``. That
the other calls answer in the same style is an assumption.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Refusal(Exception):  # noqa: N818 - an answer of the exchange, not a fault of the program
    """An order or a question that is refused; nothing was changed.

    Args:
        status: HTTP status.
        error: The body's ``error``.
        description: The body's ``error_description``; None leaves it out.
        attributes: The body's ``error_attributes``; None leaves them out.
    """

    def __init__(
        self,
        status: int,
        error: str,
        description: str | None = None,
        attributes: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(f"{status} {error}")
        self.status = status
        self.error = error
        self.description = description
        self.attributes = attributes

    def body(self) -> dict[str, object]:
        """Return the body of the answer."""
        body: dict[str, object] = {"error": self.error}
        if self.description is not None:
            body["error_description"] = self.description
        if self.attributes is not None:
            body["error_attributes"] = {name: list(messages) for name, messages in self.attributes.items()}
        return body


def not_found(status: int, entity: str = "Smart Trade") -> Refusal:
    """Return the refusal of an unknown id: ``get`` and ``cancel`` answer 400, other calls 404."""
    return Refusal(status, "Not found", f"{entity} not found")


def invalid(status: int, attributes: Mapping[str, Sequence[str]]) -> Refusal:
    """Return the refusal of parameters: 400 when malformed, 422 when exchange rules forbid the values."""
    return Refusal(status, "record_invalid", "Invalid parameters", attributes)


def wrong_state(action: str) -> Refusal:
    """Return the refusal of an action that the state of the trade does not allow."""
    return Refusal(400, "Wrong param(s)", f"{action} is not allowed in the current status")


def no_such_account() -> Refusal:
    """Return the refusal of an account that is unknown, or not the user's own, in the calls on accounts."""
    return Refusal(404, "not_found", "Not Found")


def foreign_account() -> Refusal:
    """Return the refusal of an account that is not the user's own."""
    return Refusal(403, "Forbidden", "Account not owned by current user.")


def not_in_plan(request_type: str) -> Refusal:
    """Return the refusal of a type of request that the subscription plan does not include.

    It is a 429 that waiting does not cure, recorded in 2025; only its first sentence is known.
    """
    return Refusal(
        429,
        f"The request type '{request_type}' is not available with your current subscription plan. "
        "Upgrade the plan to use it.",
    )
