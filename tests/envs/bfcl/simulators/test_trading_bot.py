"""TradingBot: a market that stands still, orders that cost nothing, and results that long contexts pad."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators.trading_bot import TradingBot
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import DataNotFoundError

PAYLOAD: dict[str, Any] = {
    "TECHNOLOGY_EXTENSION": ["AAPL", "T1"],
    "AUTOMOBILE_EXTENSION": ["TSLA", "A1"],
    "MA_5_EXTENSION": [5.5, 5],
    "MA_20_EXTENSION": [20.5],
    "ORDER_DETAIL_EXTENSION": {"overview": "{symbol} {x} $5, {symbol}", "risks": "none"},
    "WATCH_LIST_EXTENSION": ["W1", ...],
    "TRANSACTION_HISTORY_EXTENSION": [{"type": "deposit", "amount": 1.5, "timestamp": "1999-01-01 00:00:00.5"}],
}
LOGGED_IN: dict[str, Any] = {"authenticated": True}
OPEN: dict[str, Any] = {"authenticated": True, "market_status": "Open"}


def world(scenario: dict[str, Any] | None = None, long_context: bool = False) -> World:
    return World(["TradingBot"], {"TradingBot": scenario or {}}, long_context, payload=PAYLOAD)


def test_timestamps_follow_the_seed() -> None:
    bot = TradingBot(LOGGED_IN)
    for amount in (1, 2.5):
        bot.fund_account(amount)
    assert bot.transaction_history == [
        {"type": "deposit", "amount": 1, "timestamp": "2024-09-02 05:40:15"},
        {"type": "deposit", "amount": 2.5, "timestamp": "2024-09-01 12:26:34"},
    ]
    other = TradingBot({**LOGGED_IN, "random_seed": 1})
    other.fund_account(1)
    assert other.transaction_history != bot.transaction_history[:1]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("trading_get_login_status()", '{"status": false}'),
        ("trading_logout()", '{"status": "No user is currently logged in"}'),
        ("trading_login(None, [])", '{"status": "Logged in successfully"}'),
        ("get_current_time()", '{"current_time": "10:30 AM"}'),
        ("get_account_info()", '{"error": "User not authenticated. Please log in to view account information."}'),
        ("fund_account(0)", '{"error": "User not authenticated. Please log in to fund the account."}'),
        ("withdraw_funds(0)", '{"error": "User not authenticated. Please log in to make a transaction."}'),
        ("place_order('Buy', 'X', 0, 0)", '{"error": "User not authenticated. Please log in to place an order."}'),
        (
            "remove_stock_from_watchlist('X')",
            '{"error": "User not authenticated. Please log in to modify the watchlist."}',
        ),
        ("get_order_history()", "[{'error': 'User not authenticated. Please log in to view order history.'}]"),
        (
            "get_transaction_history('x')",
            "[{'error': 'User not authenticated. Please log in to view transaction history.'}]",
        ),
        ("get_watchlist()", "['Error: User not authenticated. Please log in to view the watchlist.']"),
        ("add_to_watchlist('AAPL')", '{"watchlist": ["NVDA", "AAPL"]}'),
        ("add_to_watchlist('F')", '{"watchlist": ["NVDA"]}'),
        ("add_to_watchlist('NVDA')", '{"watchlist": ["NVDA"]}'),
        ("get_symbol_by_name('Amazon')", '{"symbol": "AMZN"}'),
        ("get_symbol_by_name('apple')", '{"symbol": "Stock not found"}'),
        ("get_stock_info('AMZN')", '{"error": "Stock with symbol \'AMZN\' not found."}'),
        (
            "get_stock_info('ZETA')",
            '{"price": 22.09, "percent_change": -0.05, "volume": 0.789, "MA(5)": 22.12, "MA(20)": 22.34}',
        ),
        ("get_available_stocks('Automobile')", '{"stock_list": ["TSLA", "F", "GM"]}'),
        ("get_available_stocks(['Technology'])", "Error during execution: unhashable type: 'list'"),
        ("filter_stocks_by_price(['NVDA', '?', 'AAPL'], 0, 227.16)", '{"filtered_stocks": ["NVDA", "?", "AAPL"]}'),
        ("filter_stocks_by_price('AB', 0.01, 9)", '{"filtered_stocks": []}'),
        ("filter_stocks_by_price(['AAPL'], 1000, None)", '{"filtered_stocks": []}'),
        (
            "filter_stocks_by_price(['?'], 'a', 9)",
            "Error during execution: '>=' not supported between instances of 'int' and 'str'",
        ),
        (
            "notify_price_change(['TSLA', '?', 'AAPL', 'MSFT'], 0.12)",
            '{"notification": "Stocks TSLA, AAPL have significant price changes."}',
        ),
        (
            "notify_price_change(['NVDA'], 1)",
            '{"notification": "No significant price changes in the selected stocks."}',
        ),
        ("cancel_order(1)", '{"error": "Order with ID 1 not found."}'),
        ("cancel_order(12345)", '{"error": "Can\'t cancel order 12345. Order is already completed."}'),
        ("cancel_order(12446.0)", '{"order_id": 12446.0, "status": "Cancelled"}'),
        (
            "get_order_details('12345')",
            '{"error": "Order with ID 12345 not found.Here is the list of orders_id: [12345, 12446]"}',
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_calls_without_login(call: str, expected: str) -> None:
    assert world().execute(call) == expected


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("trading_login('', '')", '{"status": "Already logged in"}'),
        ("trading_logout()", '{"status": "Logged out successfully"}'),
        ("fund_account(0)", '{"error": "Funding amount must be positive."}'),
        ("fund_account(True)", '{"status": "Account funded successfully", "new_balance": 10001.0}'),
        ("fund_account('5')", "Error during execution: '<=' not supported between instances of 'str' and 'int'"),
        ("fund_account(10**4000)", "Error during execution: int too large to convert to float"),
        ("withdraw_funds(-1)", '{"error": "Transaction amount must be positive."}'),
        ("withdraw_funds(10000.01)", '{"error": "Insufficient funds for withdrawal."}'),
        ("withdraw_funds(10000)", '{"status": "Withdrawal successful", "new_balance": 0.0}'),
        ("remove_stock_from_watchlist('X')", '{"error": "Stock X not found in watchlist."}'),
        ("remove_stock_from_watchlist('NVDA')", '{"status": "Stock NVDA removed from watchlist successfully."}'),
        ("get_order_history()", '{"history": [12345, 12446]}'),
        ("place_order('Buy', 'F', 0, 0)", '{"error": "Invalid stock symbol: F"}'),
        ("place_order('Buy', 'AAPL', 1, 0)", '{"error": "Price and amount must be positive values."}'),
        (
            "place_order('BUY', 'AAPL', 100, 100.9)",
            '{"order_id": 12446, "order_type": "BUY", "status": "Pending", "price": 100.0, "amount": 100.9}',
        ),
        (
            "place_order('buy', 'AAPL', 100.005, 101.9)",
            '{"error": "Insufficient funds: required $10100.50 but only $10000.00 available."}',
        ),
        (
            "place_order('hold', 'AAPL', 1e9, 10**9)",
            '{"order_id": 12446, "order_type": "hold", "status": "Pending", "price": 1000000000.0, '
            '"amount": 1000000000}',
        ),
        ("place_order(1, 'AAPL', 1, 1)", "Error during execution: 'int' object has no attribute 'lower'"),
        ("place_order('Buy', ['AAPL'], 1, 1)", "Error during execution: unhashable type: 'list'"),
        ("place_order('Buy', 'AAPL', 1, 10**400)", "Error during execution: int too large to convert to float"),
        (
            "place_order('Buy', 'AAPL', 1, float('inf'))",
            "Error during execution: cannot convert float infinity to integer",
        ),
        ("get_transaction_history('2024-9-1x')", "Error during execution: unconverted data remains: x"),
        (
            "get_transaction_history(end_date='x')",
            "Error during execution: time data 'x' does not match format '%Y-%m-%d'",
        ),
        ("get_transaction_history(5)", "Error during execution: strptime() argument 1 must be str, not int"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_calls_while_logged_in_and_the_market_is_open(call: str, expected: str) -> None:
    assert world(OPEN).execute(call) == expected


def test_withdrawing_needs_an_open_market_and_funding_does_not() -> None:
    closed = world(LOGGED_IN)
    assert closed.execute("withdraw_funds(-1)") == '{"error": "Market is closed. Transactions are not allowed."}'
    assert closed.execute("fund_account(1)").startswith('{"status": "Account funded')


def test_the_first_default_order_replaces_one_and_no_order_is_paid() -> None:
    bot = TradingBot(LOGGED_IN)
    assert bot.place_order("Buy", "AAPL", 3, 2)["status"] == "Pending"
    assert bot.orders[12446] == {
        "id": 12446,
        "order_type": "Buy",
        "symbol": "AAPL",
        "price": 3.0,
        "amount": 2,
        "status": "Open",
    }
    assert (list(bot.orders), bot.order_counter) == ([12345, 12446], 12447)
    assert bot.account_info["balance"] == 10000.0


def test_a_call_that_fails_draws_no_random_number() -> None:
    calm, busy = TradingBot(OPEN), TradingBot(OPEN)
    busy.fund_account(-1)
    busy.withdraw_funds(1e9)
    for bot in (calm, busy):
        bot.withdraw_funds(1)
    assert calm.state() == busy.state()


def test_the_end_day_is_left_out_after_its_first_second() -> None:
    days = [{"timestamp": f"2024-09-0{day} 00:00:0{second}"} for day in (1, 2) for second in (0, 1)]
    bot = TradingBot({**LOGGED_IN, "transaction_history": days})
    assert bot.get_transaction_history("2024-09-01", "2024-09-02") == {"transaction_history": days[:3]}
    assert bot.get_transaction_history(start_date="2024-9-2") == {"transaction_history": days[2:]}
    assert bot.get_transaction_history("", None) == {"transaction_history": days}


def test_an_account_without_a_balance_buys_nothing() -> None:
    answer = world({**LOGGED_IN, "account_info": {}}).execute("place_order('Buy', 'AAPL', 1, 1)")
    assert answer == '{"error": "Insufficient funds: required $1.00 but only $0.00 available."}'


def test_stray_order_keys_stay_text() -> None:
    scenario = {"orders": {"12345": {"symbol": "AAPL", "status": "Completed"}, "order_type": "Buy"}}
    strays = world({**LOGGED_IN, **scenario})
    assert strays.execute("get_order_history()") == '{"history": [12345, "order_type"]}'
    assert strays.execute("get_order_details('order_type')") == "Buy"
    assert strays.execute("get_order_details(12345)") == '{"symbol": "AAPL", "status": "Completed"}'


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("get_watchlist()", "['NVDA', 'W1', Ellipsis]"),
        ("get_available_stocks('Automobile')", '{"stock_list": ["TSLA", "F", "GM", "TSLA", "A1"]}'),
        (
            "get_stock_info('ZETA')",
            '{"price": 22.09, "percent_change": -0.05, "volume": 0.789, "MA(5)": [5.5, 5], "MA(20)": [20.5]}',
        ),
        (
            "get_order_details(12446)",
            '{"id": 12446, "order_type": "Sell", "symbol": "GOOG", "price": 2840.56, "amount": 5, '
            '"status": "Pending", "metadata": {"overview": "GOOG {x} $5, GOOG", "risks": "none"}}',
        ),
        (
            "get_transaction_history('2024-01-01')",
            '{"transaction_history": [{"type": "deposit", "amount": 1.5, "timestamp": "1999-01-01 00:00:00.5"}]}',
        ),
        ("add_to_watchlist('AAPL')", '{"watchlist": ["NVDA", "AAPL"]}'),
    ],
    ids=lambda value: str(value)[:50],
)
def test_long_contexts_pad_results_and_not_the_state(call: str, expected: str) -> None:
    payload = copy.deepcopy(PAYLOAD)
    padded, plain = world(LOGGED_IN, long_context=True), world(LOGGED_IN)
    for _ in range(2):
        assert padded.execute(call) == expected
        plain.execute(call)
    assert padded.differs(plain) == {"TradingBot": ["long_context"]}
    assert payload == PAYLOAD


def test_long_context_without_payload_names_the_command() -> None:
    for missing in PAYLOAD:
        payload = {name: extension for name, extension in PAYLOAD.items() if name != missing}
        with pytest.raises(DataNotFoundError, match=f"{missing}.*tooluse-gym data get bfcl"):
            TradingBot(long_context=True, payload=payload)


def test_nothing_is_shared_and_a_copy_continues_exactly() -> None:
    commons: dict[str, Any] = {}
    one, other = (World(["TradingBot"], {"TradingBot": OPEN}, commons=commons) for _ in range(2))
    calls = ("fund_account(5)", "place_order('Buy', 'AAPL', 1, 1)", "cancel_order(12446)", "add_to_watchlist('TSLA')")
    for call in calls:
        one.execute(call)
    clone = copy.deepcopy(one)
    for call in ("withdraw_funds(1)", "get_transaction_history()", "get_order_details(12446)", "get_watchlist()"):
        assert clone.execute(call) == one.execute(call)
    assert clone.differs(one) == {}
    assert other.state() == World(["TradingBot"], {"TradingBot": OPEN}).state()
    assert commons == {}
