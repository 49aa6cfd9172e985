"""Tree search on snapshots: a policy that errs, and the same policy that tries what may follow before it acts."""

import re
import sys
from functools import cache

import gymnasium as gym
import numpy as np

from tooluse_gym import CallMenu, ConversationCalls, TreeSearch, play
from tooluse_gym.evaluation.intervals import paired_difference
from tooluse_gym.search import greedy


@cache
def words(text):
    return set(re.findall("[a-z]{3,}", text.lower()))


def policy(env):
    """It likes tools whose descriptions share words with the request, and after a call "Done."; it knows nothing else.

    Places of the menu, with their probabilities.
    """
    inner, scores = env.unwrapped, {}
    asked = words([message["content"] for message in inner.conversation if message["role"] == "user"][-1])
    about = {tool.name: words(f"{tool.name} {tool.description}".replace("_", " ")) for tool in inner.visible_tools}
    called = inner.conversation[-1]["role"] == "tool"
    for place, said in enumerate(env.menu):
        if said is not None:
            scores[place] = np.exp(len(asked & about[said.calls[0].name]) if said.calls else 3.0 * called)
    return {place: score / sum(scores.values()) for place, score in scores.items()}


if __name__ == "__main__":
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    starter = {"turns": 1}
    env = gym.make(
        "tooluse_gym:BFCLMultiTurn-v0", split="test", starter=starter, show_tools=False, max_steps_per_turn=4
    )
    env = CallMenu(env, ConversationCalls(ways=6), size=64)
    agents = {"greedy": lambda *_: greedy(env, policy), "tree search": TreeSearch(env, policy, simulations=32)}
    valid = {
        name: [play(env, agent, seed=seed).verdict.valid for seed in range(tasks)] for name, agent in agents.items()
    }
    for name, right in valid.items():
        print(f"{name}: {sum(right)} of {tasks} held-out tasks valid")
    gain = paired_difference(valid["greedy"], valid["tree search"])
    print(f"gain on the same tasks: {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})")
