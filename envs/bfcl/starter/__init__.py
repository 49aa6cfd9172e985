"""The starter world: small multi-turn tasks without end, verified by execution, for a first agent.

``StarterTasks()["starter/train/9"]`` has two requests; a clean demonstration plans and calls as shown below each::

    i want you to make a folder "nectar" and move "pearl" there right away
            first create folder "nectar"        mkdir(dir_name='nectar')
            now move "pearl" to "nectar"        mv(source='pearl', destination='nectar')
    now go to the folder "nectar" and create "basil" there thanks
            first open folder "nectar"          cd(folder='nectar')
            now create file "basil"             touch(file_name='basil')

Names stand in double quotes everywhere, so that a model learns to copy them. README.md tells the kinds of requests, the
splits, and how to add a kind.
"""

from __future__ import annotations

from .demonstrations import NoiseProfile
from .lexicon import WORDS, Lexicon
from .requests import STARTER_REQUESTS, Act, Request
from .single_turn import SingleTurnStarter
from .tasks import StarterTasks

__all__ = [
    "STARTER_REQUESTS",
    "WORDS",
    "Act",
    "Lexicon",
    "NoiseProfile",
    "Request",
    "SingleTurnStarter",
    "StarterTasks",
]
