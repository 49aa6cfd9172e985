"""TradingBot: a brokerage account, its orders, and a stock market that stands still."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from .base import Simulator

_NOW = datetime.datetime(2024, 9, 1, 10, 30)
_DAY = 86_400  # seconds
_DATE = "%Y-%m-%d"
_TIME = "%Y-%m-%d %H:%M:%S"

_STOCK_FIELDS = ("price", "percent_change", "volume", "MA(5)", "MA(20)")
_STOCKS = {
    "AAPL": (227.16, 0.17, 2.552, 227.11, 227.09),
    "GOOG": (2840.34, 0.24, 1.123, 2835.67, 2842.15),
    "TSLA": (667.92, -0.12, 1.654, 671.15, 668.2),
    "MSFT": (310.23, 0.09, 3.234, 309.88, 310.11),
    "NVDA": (220.34, 0.34, 1.234, 220.45, 220.67),
    "ALPH": (1320.45, -0.08, 1.567, 1321.12, 1325.78),
    "OMEG": (457.23, 0.12, 2.345, 456.78, 458.12),
    "QUAS": (725.89, -0.03, 1.789, 726.45, 728.0),
    "NEPT": (88.34, 0.19, 0.654, 88.21, 88.67),
    "SYNX": (345.67, 0.11, 2.112, 345.34, 346.12),
    "ZETA": (22.09, -0.05, 0.789, 22.12, 22.34),
}
_ORDER_FIELDS = ("id", "order_type", "symbol", "price", "amount", "status")
_ORDERS = {
    12345: (12345, "Buy", "AAPL", 210.65, 10, "Completed"),
    12446: (12446, "Sell", "GOOG", 2840.56, 5, "Pending"),
}
# Neither map depends on the scenario, so both name stocks that an account may not know.
_SYMBOLS = {
    "Apple": "AAPL",
    "Google": "GOOG",
    "Tesla": "TSLA",
    "Microsoft": "MSFT",
    "Nvidia": "NVDA",
    "Zeta Corp": "ZETA",
    "Alpha Tech": "ALPH",
    "Omega Industries": "OMEG",
    "Quasar Ltd.": "QUAS",
    "Neptune Systems": "NEPT",
    "Synex Solutions": "SYNX",
    "Amazon": "AMZN",
    "Gorilla": "GORI",
}
_SECTORS = {"Technology": ["AAPL", "GOOG", "MSFT", "NVDA"], "Automobile": ["TSLA", "F", "GM"]}
_MORE_OF_SECTOR = {"Technology": "TECHNOLOGY_EXTENSION", "Automobile": "AUTOMOBILE_EXTENSION"}
_MORE_OF_STOCK = {"MA(5)": "MA_5_EXTENSION", "MA(20)": "MA_20_EXTENSION"}
_MORE_OF_ORDER = "ORDER_DETAIL_EXTENSION"
_MORE_WATCHED = "WATCH_LIST_EXTENSION"
_MORE_TRANSACTIONS = "TRANSACTION_HISTORY_EXTENSION"
_EXTENSIONS = [*_MORE_OF_SECTOR.values(), *_MORE_OF_STOCK.values(), _MORE_OF_ORDER, _MORE_WATCHED, _MORE_TRANSACTIONS]


class TradingBot(Simulator):
    """A stock trading account. No call moves prices, opens the market, fills an order or pays for it.

    Long-context extensions pad results; the state never holds them.
    """

    orders: dict[Any, Any]
    account_info: dict[str, Any]
    authenticated: bool
    market_status: str
    order_counter: int
    stocks: dict[str, dict[str, Any]]
    watch_list: list[str]
    transaction_history: list[dict[str, Any]]
    long_context: bool

    defaults = {  # noqa: RUF012
        "orders": {key: dict(zip(_ORDER_FIELDS, order, strict=True)) for key, order in _ORDERS.items()},
        "account_info": {"account_id": 12345, "balance": 10000.0, "binding_card": 1974202140965533},
        "authenticated": False,
        "market_status": "Closed",
        "order_counter": 12446,  # taken: the first order of a default account replaces order 12446
        "stocks": {symbol: dict(zip(_STOCK_FIELDS, stock, strict=True)) for symbol, stock in _STOCKS.items()},
        "watch_list": ["NVDA"],
        "transaction_history": [],
    }
    default_seed = 1053520

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        super()._load(scenario, long_context)
        # JSON has no integer keys. Many scenarios also hold a stray "order_type", which stays an order of that name.
        self.orders = {_order_id(key): order for key, order in self.orders.items()}
        self.long_context = long_context
        if long_context:  # a payload that lacks something is an error now, not an observation later
            for name in _EXTENSIONS:
                self._extension(name)

    def trading_login(self, username: str, password: str) -> dict[str, Any]:
        """Log in to the account.

        Args:
            username: name of the user; any will do.
            password: the user's password; any will do.
        """
        if self.authenticated:
            return {"status": "Already logged in"}
        self.authenticated = True
        return {"status": "Logged in successfully"}

    def trading_get_login_status(self) -> dict[str, Any]:
        """Tell whether a user is logged in."""
        return {"status": bool(self.authenticated)}

    def trading_logout(self) -> dict[str, Any]:
        """Log out of the account."""
        if not self.authenticated:
            return {"status": "No user is currently logged in"}
        self.authenticated = False
        return {"status": "Logged out successfully"}

    def get_current_time(self) -> dict[str, Any]:
        """Tell the time of day."""
        return {"current_time": "10:30 AM"}

    def get_account_info(self) -> dict[str, Any]:
        """Show the number, balance and card of the account."""
        return self.account_info if self.authenticated else _log_in_first("view account information")

    def fund_account(self, amount: float) -> dict[str, Any]:
        """Pay money into the account.

        Args:
            amount: how much, more than 0.
        """
        if not self.authenticated:
            return _log_in_first("fund the account")
        if amount <= 0:
            return {"error": "Funding amount must be positive."}
        self.account_info["balance"] += amount
        self._record("deposit", amount)
        return {"status": "Account funded successfully", "new_balance": self.account_info["balance"]}

    def withdraw_funds(self, amount: float) -> dict[str, Any]:
        """Take money out of the account while the market is open.

        Args:
            amount: how much, more than 0 and at most the balance.
        """
        if not self.authenticated:
            return _log_in_first("make a transaction")
        if self.market_status != "Open":
            return {"error": "Market is closed. Transactions are not allowed."}
        if amount <= 0:
            return {"error": "Transaction amount must be positive."}
        if amount > self.account_info["balance"]:
            return {"error": "Insufficient funds for withdrawal."}
        self.account_info["balance"] -= amount
        self._record("withdrawal", amount)
        return {"status": "Withdrawal successful", "new_balance": self.account_info["balance"]}

    def _record(self, kind: str, amount: float) -> None:
        time = _NOW + datetime.timedelta(seconds=self._random.randint(0, _DAY))
        self.transaction_history.append({"type": kind, "amount": amount, "timestamp": time.strftime(_TIME)})

    def get_transaction_history(self, start_date: str | None = None, end_date: str | None = None) -> Any:
        """List the transactions of the account.

        Args:
            start_date: leave out what is earlier than this day, YYYY-MM-DD.
            end_date: leave out what is later than the first second of this day, YYYY-MM-DD.
        """
        if not self.authenticated:
            return [_log_in_first("view transaction history")]
        start = datetime.datetime.strptime(start_date, _DATE) if start_date else datetime.datetime.min
        end = datetime.datetime.strptime(end_date, _DATE) if end_date else datetime.datetime.max
        transactions = [
            transaction
            for transaction in self.transaction_history
            if start <= datetime.datetime.strptime(transaction["timestamp"], _TIME) <= end
        ]
        if self.long_context:
            transactions += self._extension(_MORE_TRANSACTIONS)  # whatever their dates
        return {"transaction_history": transactions}

    def get_symbol_by_name(self, name: str) -> dict[str, Any]:
        """Look up the stock symbol of a company.

        Args:
            name: name of the company, exactly.
        """
        return {"symbol": _SYMBOLS.get(name, "Stock not found")}

    def get_stock_info(self, symbol: str) -> dict[str, Any]:
        """Show the price, change, volume and moving averages of a stock.

        Args:
            symbol: symbol of the stock.
        """
        if symbol not in self.stocks:
            return {"error": f"Stock with symbol '{symbol}' not found."}
        stock = self.stocks[symbol]
        if self.long_context:
            stock = stock.copy()
            for field, name in _MORE_OF_STOCK.items():
                stock[field] = self._extension(name)
        return stock

    def get_available_stocks(self, sector: str) -> dict[str, Any]:
        """List the stock symbols of a sector.

        Args:
            sector: name of the sector, Technology or Automobile.
        """
        if sector not in _SECTORS:
            return {"stock_list": []}
        stocks = _SECTORS[sector].copy()
        if self.long_context:
            stocks += self._extension(_MORE_OF_SECTOR[sector])
        return {"stock_list": stocks}

    def filter_stocks_by_price(self, stocks: list[str], min_price: float, max_price: float) -> dict[str, Any]:
        """Keep those stocks of a list whose price lies in a range.

        Args:
            stocks: symbols of the stocks.
            min_price: lowest price.
            max_price: highest price.
        """
        prices = ((symbol, self.stocks.get(symbol, {}).get("price", 0)) for symbol in stocks)
        return {"filtered_stocks": [symbol for symbol, price in prices if price >= min_price and price <= max_price]}

    def notify_price_change(self, stocks: list[str], threshold: float) -> dict[str, Any]:
        """Tell which stocks of a list rose or fell a lot.

        Args:
            stocks: symbols of the stocks.
            threshold: least change that counts, in percent.
        """
        changed = [
            symbol
            for symbol in stocks
            if symbol in self.stocks and abs(self.stocks[symbol]["percent_change"]) >= threshold
        ]
        if not changed:
            return {"notification": "No significant price changes in the selected stocks."}
        return {"notification": f"Stocks {', '.join(changed)} have significant price changes."}

    def get_watchlist(self) -> Any:
        """List the watched stocks."""
        if not self.authenticated:
            return ["Error: User not authenticated. Please log in to view the watchlist."]
        if self.long_context:
            return self.watch_list + self._extension(_MORE_WATCHED)  # bare: upstream leaves out the object around it
        return {"watchlist": self.watch_list}

    def add_to_watchlist(self, stock: str) -> dict[str, Any]:
        """Watch a stock; one that is unknown, or watched already, changes nothing.

        Args:
            stock: symbol of the stock.
        """
        if stock not in self.watch_list and stock in self.stocks:
            self.watch_list.append(stock)
        return {"watchlist": self.watch_list}

    def remove_stock_from_watchlist(self, symbol: str) -> dict[str, Any]:
        """Stop watching a stock.

        Args:
            symbol: symbol of the stock.
        """
        if not self.authenticated:
            return _log_in_first("modify the watchlist")
        if symbol not in self.watch_list:
            return {"error": f"Stock {symbol} not found in watchlist."}
        self.watch_list.remove(symbol)
        return {"status": f"Stock {symbol} removed from watchlist successfully."}

    def place_order(self, order_type: str, symbol: str, price: float, amount: int) -> dict[str, Any]:
        """Order a trade of shares; buying demands that the balance covers it.

        Args:
            order_type: Buy or Sell.
            symbol: symbol of the stock.
            price: price of one share, more than 0.
            amount: number of shares, more than 0.
        """
        if not self.authenticated:
            return _log_in_first("place an order")
        if symbol not in self.stocks:
            return {"error": f"Invalid stock symbol: {symbol}"}
        if price <= 0 or amount <= 0:
            return {"error": "Price and amount must be positive values."}
        if order_type.lower() == "buy":
            required, balance = float(price) * int(amount), self.account_info.get("balance", 0)
            if required > balance:
                return {"error": f"Insufficient funds: required ${required:.2f} but only ${balance:.2f} available."}
        order_id, price = self.order_counter, float(price)
        self.orders[order_id] = {
            "id": order_id,
            "order_type": order_type,
            "symbol": symbol,
            "price": price,
            "amount": amount,
            "status": "Open",
        }
        self.order_counter += 1
        # Upstream answers with another status than it stores.
        return {"order_id": order_id, "order_type": order_type, "status": "Pending", "price": price, "amount": amount}

    def get_order_details(self, order_id: int) -> Any:
        """Show an order.

        Args:
            order_id: number of the order.
        """
        if order_id not in self.orders:
            known = list(self.orders)
            return {"error": f"Order with ID {order_id} not found.Here is the list of orders_id: {known}"}
        order = self.orders[order_id]
        if self.long_context:
            order = order.copy()
            symbol = str(order["symbol"])
            texts = self._extension(_MORE_OF_ORDER)
            order["metadata"] = {name: text.replace("{symbol}", symbol) for name, text in texts.items()}
        return order

    def cancel_order(self, order_id: int) -> dict[str, Any]:
        """Cancel an order that is not completed.

        Args:
            order_id: number of the order.
        """
        if order_id not in self.orders:
            return {"error": f"Order with ID {order_id} not found."}
        order = self.orders[order_id]
        if order["status"] == "Completed":
            return {"error": f"Can't cancel order {order_id}. Order is already completed."}
        order["status"] = "Cancelled"
        return {"order_id": order_id, "status": "Cancelled"}

    def get_order_history(self) -> Any:
        """List the numbers of all orders."""
        if not self.authenticated:
            return [_log_in_first("view order history")]
        return {"history": list(self.orders)}


def _order_id(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdecimal() else key


def _log_in_first(purpose: str) -> dict[str, Any]:
    return {"error": f"User not authenticated. Please log in to {purpose}."}
