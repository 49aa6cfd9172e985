"""What all levels have: a calculator, and the search for tools."""

from __future__ import annotations

from typing import Any

from .base import ApiSet, refuse
from .calculator import calculate, calculate_officially


class Tools(ApiSet):
    """Tools that know nothing of the world."""

    def Calculator(self, formula: str) -> float:
        """Compute a formula.

        Args:
            formula: whole numbers, +, -, *, / and brackets, like '(1 + 2) * 3'.
        """
        return calculate(formula) if self._corrected else calculate_officially(formula)

    def ToolSearcher(self, keywords: str) -> Any:
        """Search for the tool that fits some keywords, and describe it.

        Args:
            keywords: what the tool should do, in a few words.
        """
        if self._episode.retriever is None:
            refuse("There is no tool library to search.")
        return self._episode.retriever(keywords)
