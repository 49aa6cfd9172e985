"""Play one episode with an agent that looks up its replies: here the task's own ground truth."""

import gymnasium as gym

import tooluse_gym
from tooluse_gym.messages import render

env = gym.make("tooluse_gym:BFCLMultiTurn-v0")
script = [step.action for step in env.unwrapped.demonstrate(seed=7).steps]
agent = tooluse_gym.ScriptedAgent(script)

observation, info = env.reset(seed=7)
ended = False
while not ended:
    action = agent.act(observation, info)  # your model: the chat messages go in, a reply comes out
    observation, reward, terminated, truncated, info = env.step(action)
    print(f"[assistant]\n{action}\n\n{render(observation)}reward {reward:.2f}\n")
    ended = terminated or truncated
print(info["verdict"])
