"""The simulated APIs of level 3, in tool sets by theme. Some share a name with an API of the other levels."""

from __future__ import annotations

from .base import ApiSet, Episode
from .leisure import Films, Posts
from .places import Places, Travel
from .staff import Calendar, Pay, Staff
from .tools import Tools

LEVEL3_SETS: tuple[type[ApiSet], ...] = (Staff, Pay, Calendar, Films, Posts, Places, Travel, Tools)


def make_level3_sets(episode: Episode) -> dict[str, ApiSet]:
    """A tool set of every theme, by class name, over one episode's tables."""
    return {kind.__name__: kind(episode) for kind in LEVEL3_SETS}
