from __future__ import annotations

import pickle
from decimal import Decimal

import msgspec
import pytest

from threecommas_async import endpoints, errors
from threecommas_async.batch import BatchReport, Outcome, Totals, Verdict
from threecommas_async.batch.report import lighten
from threecommas_async.models.status import StatusCode
from threecommas_async.models.summary import TradeSummary

LOST = errors.OutcomeUnknownError("the connection\nbroke")
SUMMARY = TradeSummary(
    id=1,
    status=StatusCode.PANIC_SOLD,
    pair="USDT_DOGE",
    account_id=7,
    entered_amount=Decimal("15.000"),
    entered_total=Decimal("4.5"),
    profit=Decimal("-0.25"),
    is_terminal=True,
    is_filled=True,
)


def summary(id: int, pair: str | None, amount: str, total: str, profit: str | None) -> TradeSummary:
    ended = profit is not None
    return msgspec.structs.replace(
        SUMMARY,
        id=id,
        pair=pair,
        entered_amount=Decimal(amount),
        entered_total=Decimal(total),
        profit=Decimal(profit or 5),
        is_terminal=ended,
    )


def test_a_report_prints_what_matters() -> None:
    report = BatchReport(
        (
            Outcome(1, Verdict.CLOSED, SUMMARY),
            Outcome(2, Verdict.CLOSING),
            Outcome(3, Verdict.UNKNOWN, error=LOST),
        ),
        elapsed=61.25,
        floor=60.0,
        requests=104,
        retries=3,
        rate_limited=1,
        opened=(8, 9),
    )
    assert str(report).splitlines() == [
        "closing              1",
        "closed               1",
        "unknown              1",
        "total                3   in 61.2 s (floor 60 s), 104 requests, 3 of them repeated, 1 x 429",
        "USDT_DOGE: 1 trade, 15.000 DOGE for 4.5 USDT, realised -0.25 USDT",
        "opened meanwhile and left alone: 8, 9",
        "3: unknown (the connection broke)",
    ]
    assert report.table().splitlines() == [
        "id  pair       verdict  status      profit  reason",
        "1   USDT_DOGE  closed   panic_sold  -0.25",
        "2              closing",
        "3              unknown                      the connection broke",
    ]
    assert repr(report) == "<BatchReport of 3: 1 closed, 1 closing, 1 unknown>"


def answered(id: int) -> errors.PermissionDeniedError:
    return errors.PermissionDeniedError(f"POST /v2/smart_trades/{id}/close_by_market answered 403: no")


def test_failures_of_one_kind_are_one_line_once_there_are_more_than_a_few() -> None:
    late = errors.BatchStoppedError("the deadline of 3 s had passed")
    report = BatchReport(
        (
            *(Outcome(id, Verdict.SKIPPED, error=late) for id in (1, 2)),
            Outcome(40, Verdict.UNKNOWN, error=LOST),
            *(Outcome(id, Verdict.SKIPPED, error=late) for id in range(3, 152)),
            *(Outcome(id, Verdict.REFUSED, error=answered(id)) for id in (403, 404, 405, 406)),
            *(Outcome(id, Verdict.REFUSED, SUMMARY, error=LOST) for id in (7, 8, 9)),
            *(Outcome(None, Verdict.REFUSED, error=LOST) for _ in range(3)),
            *(Outcome(id, Verdict.REFUSED) for id in range(500, 504)),
            *(Outcome(None, Verdict.UNKNOWN, error=ValueError("no id")) for _ in range(4)),
        ),
        1.0,
    )
    assert str(report) == report.summary() + (
        "\n151 skipped: the deadline of 3 s had passed (ids 1, 2, 3, …)"
        "\n40: unknown (the connection broke)"
        "\n4 refused: POST /v2/smart_trades/…/close_by_market answered 403: no (ids 403, 404, 405, …)"
        "\n6 refused: the connection broke (ids 7, 8, 9)"
        "\n4 refused (ids 500, 501, 502, …)"
        "\n4 unknown: no id"
    )
    few = BatchReport(tuple(Outcome(id, Verdict.SKIPPED, error=late) for id in (1, 2, 3)), 1.0)
    assert str(few).splitlines()[-3:] == [
        f"{id}: skipped (the deadline of 3 s had passed)" for id in (1, 2, 3)
    ]


def test_one_is_no_plural() -> None:
    def told(requests: int) -> str:
        return BatchReport((Outcome(1, Verdict.CLOSED),), 1.0, requests=requests).summary()

    assert "(floor 0 s), 1 request, 0 of them" in told(1)
    assert "(floor 0 s), 2 requests, 0 of them" in told(2)


CLOSE_REFUSED = errors.InvalidRequestError("answered 422: no", endpoint=endpoints.CLOSE_BY_MARKET)
UNFILLED = msgspec.structs.replace(SUMMARY, is_unfilled=True, is_filled=False)


@pytest.mark.parametrize(
    ("trade", "error", "hint"),
    [
        (UNFILLED, CLOSE_REFUSED, "; the entry is not filled: cancel is the call"),
        (SUMMARY, CLOSE_REFUSED, ""),
        (None, CLOSE_REFUSED, ""),
        (UNFILLED, errors.InvalidRequestError("answered 422: no", endpoint=endpoints.CANCEL_SMART_TRADE), ""),
        (UNFILLED, errors.ThreeCommasError("answered 422: no"), ""),
        (UNFILLED, errors.AuthenticationError("answered 422: no", endpoint=endpoints.CLOSE_BY_MARKET), ""),
    ],
)
def test_a_close_that_is_refused_because_nothing_is_filled_names_the_call_for_it(
    trade: TradeSummary | None, error: errors.ThreeCommasError, hint: str
) -> None:
    outcome = Outcome(1, Verdict.REFUSED, trade, error)
    assert outcome.reason == "answered 422: no" + hint
    assert outcome.to_dict()["reason"] == outcome.reason
    assert outcome.reason in str(outcome)
    assert outcome.reason in BatchReport((outcome,), 1.0).table()
    assert pickle.loads(pickle.dumps(outcome)).reason == outcome.reason
    assert str(error) == "answered 422: no"


def test_the_summary_names_no_trade() -> None:
    report = BatchReport((Outcome(1234, Verdict.CLOSED), Outcome(3456, Verdict.UNKNOWN, error=LOST)), 1.0)
    assert report.summary().splitlines() == [
        "closed               1",
        "unknown              1",
        "total                2   in 1.0 s (floor 0 s), 0 requests, 0 of them repeated, 0 x 429",
    ]


def test_a_report_is_json() -> None:
    outcomes = (Outcome(1, Verdict.CLOSED, SUMMARY), Outcome(3, Verdict.UNKNOWN, error=LOST))
    report = BatchReport(outcomes, elapsed=1.5, requests=4)
    told = msgspec.json.decode(report.to_json())
    assert told == report.to_dict()
    assert told["counts"] == {"closed": 1, "unknown": 1}
    assert told["ok"] is False
    assert (told["elapsed"], told["requests"], told["opened"]) == (1.5, 4, [])
    assert told["totals"] == [
        {"pair": "USDT_DOGE", "trades": 1, "base": "15.000", "quote": "4.5", "realised_profit": "-0.25"}
    ]
    assert told["outcomes"][1] == {
        "id": 3,
        "verdict": "unknown",
        "reason": "the connection broke",
        "error": "OutcomeUnknownError",
        "trade": None,
    }
    assert told["outcomes"][0]["trade"]["entered_amount"] == "15.000"


def test_totals_add_up_by_pair_exactly_and_count_each_trade_once() -> None:
    long = "0." + "1" * 56
    outcomes = (
        Outcome(1, Verdict.CLOSED, summary(1, "USDT_BTC", "1e30", "100", "-3.5")),
        Outcome(1, Verdict.CLOSED, summary(1, "USDT_BTC", "1e30", "100", "-3.5")),
        Outcome(2, Verdict.CLOSING, summary(2, "USDT_BTC", long, "1", None)),
        Outcome(3, Verdict.ALREADY_CLOSED, summary(3, "USDT_BTC", "7", "7", "7")),
        Outcome(4, Verdict.REFUSED, summary(4, "USDT_ETH", "7", "7", "7"), LOST),
        Outcome(5, Verdict.CLOSING, summary(5, None, "2", "3", None)),
        Outcome(6, Verdict.CANCELLED, msgspec.structs.replace(SUMMARY, id=6, is_filled=False)),
    )
    assert BatchReport(outcomes, 1.0).totals == (
        Totals(
            pair="USDT_BTC",
            trades=2,
            base=Decimal("1" + "0" * 30 + "." + "1" * 56),
            quote=Decimal(101),
            realised_profit=Decimal("-3.5"),
        ),
        Totals(pair=None, trades=1, base=Decimal(2), quote=Decimal(3), realised_profit=None),
    )


def test_failures_raise_together() -> None:
    refusal = errors.InvalidRequestError("422")
    outcomes = [Outcome(id, Verdict.REFUSED, error=refusal) for id in range(1, 8)]
    report = BatchReport(
        (*outcomes, Outcome(8, Verdict.UNKNOWN, error=LOST), Outcome(9, Verdict.CLOSED)), 1.0
    )
    with pytest.raises(ExceptionGroup, match="8 of 9 failed: 1, 2, 3, 4, 5 and 3 more") as caught:
        report.raise_for_failures()
    assert caught.value.exceptions == (refusal, LOST)
    BatchReport((Outcome(9, Verdict.CLOSED),), 1.0).raise_for_failures()


def test_a_report_that_does_not_know_everything_is_no_success() -> None:
    report = BatchReport((), 1.0, unread="the open trades")
    assert (report.ok, report.is_complete, report.failed) == (False, False, ())
    assert repr(report) == "<BatchReport of 0: nothing, stopped before the open trades were read>"
    assert str(report).splitlines()[-1] == "stopped before the open trades were read: there may be more"
    told = report.to_dict()
    assert (told["ok"], told["is_complete"], told["unread"]) == (False, False, "the open trades")
    with pytest.raises(ExceptionGroup, match=r"^stopped before the open trades were read") as caught:
        report.raise_for_failures()
    assert [type(error) for error in caught.value.exceptions] == [errors.BatchStoppedError]
    some = BatchReport((Outcome(1, Verdict.UNKNOWN, error=LOST),), 1.0, unread="all items")
    with pytest.raises(ExceptionGroup, match="1 of 1 failed: 1; stopped before all items were read") as both:
        some.raise_for_failures()
    assert len(both.value.exceptions) == 2
    assert BatchReport((), 1.0).to_dict()["is_complete"] is True


def test_a_report_can_be_pickled() -> None:
    report = BatchReport((Outcome(1, Verdict.CLOSED, SUMMARY), Outcome(3, Verdict.UNKNOWN, error=LOST)), 1.0)
    copy = pickle.loads(pickle.dumps(report))
    assert copy.outcomes[0] == report.outcomes[0]
    assert str(copy) == str(report)


@pytest.mark.parametrize("verdict", Verdict)
def test_three_verdicts_leave_something_to_look_at(verdict: Verdict) -> None:
    assert Outcome(1, verdict, error=LOST).ok == (verdict not in {"refused", "unknown", "skipped"})
    assert Outcome(1, verdict).ok == (verdict not in {"refused", "unknown"})


def test_nothing_that_a_server_says_commands_a_terminal() -> None:
    evil = "USDT_\x1b[31mDOGE\x1b]0;title\x07\r\n7 closed\u202e"
    trade = msgspec.structs.replace(SUMMARY, pair=evil, status=StatusCode("weird\x1b[2J"))
    report = BatchReport(
        (
            Outcome(1, Verdict.CLOSED, trade),
            Outcome(1, Verdict.REFUSED, trade, errors.ThreeCommasError("\x1b[2Jno")),
        ),
        1.0,
    )
    for line in [*report.table().splitlines(), *str(report).splitlines()]:
        assert line.isprintable()
    assert len(report.table().splitlines()) == 3
    assert [outcome.reason.isprintable() for outcome in report] == [True, True]
    assert report.to_dict()["outcomes"][0]["trade"]["pair"] == evil


@pytest.mark.parametrize("odd", ["NaN", "sNaN", "Infinity", "1E+999999", "9E+999999", "-1E-999999"])
def test_a_number_that_is_none_costs_no_report(odd: str) -> None:
    trades = [summary(1, "USDT_DOGE", odd, odd, odd), summary(2, "USDT_DOGE", odd, odd, odd)]
    good = summary(3, "USDT_ADA", "2", "1", "0.5")
    report = BatchReport(tuple(Outcome(t.id, Verdict.CLOSED, t) for t in [*trades, good]), 1.0)
    assert report.totals[1].base == 2
    assert len(str(report)) + len(report.table()) < 2000
    assert msgspec.json.decode(report.to_json())["ok"] is True


def test_a_light_error_holds_no_frames_nor_do_those_that_it_is_made_of() -> None:
    def fail(cause: Exception | None = None) -> Exception:
        with pytest.raises(LookupError) as caught:
            raise LookupError from cause
        return caught.value

    parts = [fail(fail()), fail()]
    light = lighten(ExceptionGroup("both", parts))
    assert isinstance(light, ExceptionGroup)
    causes = [part.__cause__ for part in parts if part.__cause__ is not None]
    assert [error.__traceback__ for error in (*light.exceptions, *causes)] == [None, None, None]
