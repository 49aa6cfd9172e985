"""The simulated APIs of levels 1 and 2, in tool sets by theme."""

from __future__ import annotations

from .accounts import Accounts, Bank
from .agenda import Agenda, Alarms, Reminders
from .base import ApiSet, Episode
from .home import Scenes, Switches
from .hospital import Health, Hospital
from .knowledge import Knowledge
from .media import Media
from .meetings import Meetings
from .services import Services
from .tools import Tools

SETS: tuple[type[ApiSet], ...] = (
    Accounts,
    Bank,
    Agenda,
    Alarms,
    Reminders,
    Meetings,
    Hospital,
    Health,
    Scenes,
    Switches,
    Media,
    Knowledge,
    Services,
    Tools,
)


def make_sets(episode: Episode) -> dict[str, ApiSet]:
    """A tool set of every theme, by class name, over one episode's tables."""
    return {kind.__name__: kind(episode) for kind in SETS}
