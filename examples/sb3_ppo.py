"""Stable-Baselines3's PPO learns to serve one-turn requests: it sees which words were said, and chooses from a menu."""

import sys

import gymnasium as gym
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from tooluse_gym import CallMenu, ConversationCalls, TextObservation, WordObservation, play

TOOLS = ("touch", "rm", "cat", "mv", "follow_user", "post_tweet", "ls", "pwd")
STARTER = {"turns": 1, "requests": ("create", "remove", "show", "rename", "follow", "post")}


def make(split="train"):
    """The menu: "Done.", and one call of each tool with values that the user said."""
    env = gym.make("tooluse_gym:BFCLMultiTurn-v0", split=split, starter=STARTER, show_tools=False, max_steps_per_turn=3)
    env = CallMenu(env, ConversationCalls(TOOLS, ways=1), size=1 + len(TOOLS))
    return WordObservation(TextObservation(env, whole=True), size=512)


def success(model, tasks=200):
    """Share of held-out tasks that the greedy policy serves without a fault."""
    env = make("test")

    def greedy(observation, info):
        return model.predict(observation, deterministic=True)[0]

    return sum(play(env, greedy, seed=seed).verdict.valid for seed in range(tasks)) / tasks


if __name__ == "__main__":
    model = PPO(
        "MlpPolicy",
        DummyVecEnv([make] * 16),
        learning_rate=lambda left: 0.01 * left,
        n_steps=32,
        gamma=1.0,
        ent_coef=0.01,
        policy_kwargs={"net_arch": []},  # linear in the words
        seed=int(sys.argv[1]) if len(sys.argv) > 1 else 0,
        device="cpu",
    )
    print(f"valid before training: {success(model):.3f}")
    model.learn(total_timesteps=4_096)
    print(f"valid after training: {success(model):.3f}")
