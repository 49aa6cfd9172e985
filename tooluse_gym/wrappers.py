"""Wrappers for agents that want something other than chat messages."""

from __future__ import annotations

import gymnasium

from tooluse_gym.env import Observation
from tooluse_gym.messages import render
from tooluse_gym.spaces import UnicodeText


class TextObservation(gymnasium.ObservationWrapper[str, str, Observation], gymnasium.utils.RecordConstructorArgs):
    """The new messages as one text, each under its ``[role]`` heading."""

    def __init__(self, env: gymnasium.Env[Observation, str]):
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        gymnasium.ObservationWrapper.__init__(self, env)
        self.observation_space = UnicodeText()

    def observation(self, observation: Observation) -> str:
        return render(observation)
