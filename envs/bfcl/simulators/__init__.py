"""The simulated APIs of BFCL's multi-turn and memory tasks, by upstream's class names."""

from __future__ import annotations

from .base import Simulator
from .gorilla_file_system import GorillaFileSystem
from .math_api import MathAPI
from .memory_api import MemoryAPI_kv, MemoryAPI_rec_sum
from .message_api import MessageAPI
from .ticket_api import TicketAPI
from .trading_bot import TradingBot
from .travel_api import TravelAPI
from .twitter_api import TwitterAPI
from .vehicle_control_api import VehicleControlAPI

SIMULATORS: dict[str, type[Simulator]] = {
    simulator.__name__: simulator
    for simulator in (
        GorillaFileSystem,
        MathAPI,
        MessageAPI,
        TicketAPI,
        TradingBot,
        TravelAPI,
        TwitterAPI,
        VehicleControlAPI,
        MemoryAPI_kv,
        MemoryAPI_rec_sum,
    )
}
