"""Things to look up: stocks, history, encyclopedia, web, dictionary, translations.

Dictionary and Translate asked the network upstream; here they know what recorded dialogues were told, nothing else.
"""

from __future__ import annotations

from typing import Any

from tooluse_gym.bm25 import best_first
from tooluse_gym.envs.api_bank.words import words

from .base import ApiSet, refuse
from .dates import DAY, lenient, month_and_day

_MOST_RESULTS = 2
_LONGEST_QUERY = 10_000  # characters; search takes time in proportion


class Knowledge(ApiSet):
    """Reference works."""

    def QueryStock(self, stock_code: str, date: str) -> float:
        """Tell the price of a stock on a day.

        Args:
            stock_code: code of the stock, in upper or lower case.
            date: the day, as %Y-%m-%d.
        """
        stock_code = stock_code.upper().strip()
        if stock_code == "":
            refuse("The stock code cannot be empty.")
        date = lenient(date, DAY)
        stocks: dict[str, dict[str, float]] = self._episode.library["Stock"]
        if stock_code not in stocks:
            refuse("The stock code does not exist.")
        if date not in stocks[stock_code]:
            refuse("The stock price of this date is not maintained.")
        return stocks[stock_code][date]

    def QueryHistoryToday(self, date: str) -> list[str]:
        """Tell what happened on a day of the year.

        Args:
            date: the day, as %Y-%m-%d or %m-%d.
        """
        day = month_and_day(date)
        if day not in self._episode.library["History"]:
            refuse("The date is not in the database.")
        return [
            f"Title: {row['Title'].strip()}, Date: {row['Date'].strip()}, Description: {row['Description'].strip()}"
            for row in self._episode.library["History"][day]
        ]

    def Wiki(self, keyword: str) -> dict[str, str]:
        """Look up an article of an encyclopedia.

        Args:
            keyword: title of the article.
        """
        keyword = plain_keyword(keyword)
        if keyword not in self._episode.library["Wiki"]:
            refuse("Keyword not found.")
        article = self._episode.library["Wiki"][keyword]
        return {"url": article["url"], "summary": article["summary"]}

    def SearchEngine(self, keyword: str) -> list[dict[str, str]]:
        """Search the web for the two pages that fit best.

        Args:
            keyword: what to search for.
        """
        if len(keyword) > _LONGEST_QUERY:
            refuse("The keyword is too long.")
        library = self._episode.library
        documents: list[dict[str, str]] = library["SearchEngine"]["raw_documents"]
        scores = library.search_index.okapi(words(keyword.lower().strip()))
        return [documents[place] for place in best_first(scores)[:_MOST_RESULTS]]

    def Dictionary(self, keyword: str) -> Any:
        """Look up the meanings of a word.

        Args:
            keyword: the word.
        """
        keyword = plain_keyword(keyword)
        for row in self._episode.library["Dictionary"]:
            if plain_keyword(row["input"]["keyword"]) == keyword:
                return row["output"]
        refuse("Failed.")

    def Translate(self, src: str, src_lang: str | None = None, tgt_lang: str | None = None) -> str:
        """Translate a text.

        Args:
            src: the text.
            src_lang: language of the text, by its code or name; found out if not given.
            tgt_lang: language to translate into, by its code or name; English if not given.
        """
        target = (tgt_lang or "en").lower()
        for row in self._episode.library["Translate"]:
            if row["input"]["src"] == src and row["input"].get("tgt_lang", "en").lower() == target:
                return str(row["output"])
        refuse("There is no translation of this text into this language: translations are recorded ones only.")


def plain_keyword(keyword: str) -> str:
    """A keyword as reference works list it."""
    return keyword.replace("_", " ").strip().lower()
