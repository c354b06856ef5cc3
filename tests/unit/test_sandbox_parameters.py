from __future__ import annotations

from threecommas_async.sandbox.parameters import from_form, merged


def test_brackets_in_a_form_make_groups_and_arrays_are_lost() -> None:
    text = (
        "pair=USDT_DOGE&position%5Bunits%5D%5Bvalue%5D=1&position[type]=buy&take_profit[steps][][volume]=100"
    )
    assert from_form(text) == {
        "pair": "USDT_DOGE",
        "position": {"units": {"value": "1"}, "type": "buy"},
    }


def test_the_query_wins_over_the_body_parameter_by_parameter() -> None:
    body = {"pair": "A", "position": {"type": "buy", "order_type": "market"}}
    query = {"pair": "B", "position": {"type": "sell"}}
    assert merged(body, query) == {"pair": "B", "position": {"type": "sell", "order_type": "market"}}


def test_a_group_in_the_query_replaces_what_is_no_group_in_the_body() -> None:
    assert merged({"position": "x"}, {"position": {"type": "sell"}}) == {"position": {"type": "sell"}}
    assert merged({"position": {"type": "sell"}}, {"position": "x"}) == {"position": "x"}
