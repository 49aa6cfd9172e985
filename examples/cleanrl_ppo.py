"""PPO in one file, in CleanRL's style, learns to serve one-turn requests: words in, a masked menu of calls out."""

import sys

import gymnasium as gym
import torch

from tooluse_gym import CallMenu, ConversationCalls, TextObservation, WordObservation, play

TOOLS = ("touch", "rm", "cat", "mv", "follow_user", "post_tweet", "ls", "pwd")
STARTER = {"turns": 1, "requests": ("create", "remove", "show", "rename", "follow", "post")}


def make(split="train"):
    env = gym.make("tooluse_gym:BFCLMultiTurn-v0", split=split, starter=STARTER, show_tools=False, max_steps_per_turn=3)
    env = CallMenu(env, ConversationCalls(TOOLS, ways=1), size=1 + len(TOOLS))
    return WordObservation(TextObservation(env, whole=True), size=512)


def act(model, words, mask):  # the distribution over the menu, and the value
    value, logits = model(torch.as_tensor(words)).tensor_split([1], dim=-1)
    logits = logits.masked_fill(torch.as_tensor(mask) == 0, -1e9)
    return torch.distributions.Categorical(logits=logits), value.squeeze(-1)


def success(model):  # on 200 held-out tasks
    env, best = make("test"), lambda words, info: act(model, words, info["action_mask"])[0].logits.argmax().item()
    return sum(play(env, best, seed=seed).verdict.valid for seed in range(200)) / 200


torch.manual_seed(seed := int(sys.argv[1]) if len(sys.argv) > 1 else 0)
model = torch.nn.Linear(512, 2 + len(TOOLS))
optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
print(f"valid before training: {success(model):.3f}")
envs = gym.vector.SyncVectorEnv([make] * 16, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
words, info = envs.reset(seed=seed)
for _ in range(8):
    rows, gains = [], []
    for _ in range(32):
        words, mask = torch.tensor(words), torch.tensor(info["action_mask"])
        with torch.no_grad():
            choice, value = act(model, words, mask)
        row = (words, mask, action := choice.sample(), choice.log_prob(action), value)
        words, reward, ended, cut, info = envs.step(action.numpy())
        rows.append((*row, torch.tensor(reward), torch.tensor(ended | cut)))
    later, gain = act(model, words, info["action_mask"])[1].detach(), 0.0
    for *_, value, reward, ended in reversed(rows):  # GAE(1, 0.95)
        gain, later = reward - value + ~ended * (later + 0.95 * gain), value
        gains.insert(0, gain)
    data = [torch.cat(part).float() for part in (*list(zip(*rows, strict=True))[:5], gains)]
    for chosen in (part for _ in range(6) for part in torch.randperm(512).split(64)):
        seen, mask, action, old, guess, gain = (part[chosen] for part in data)
        choice, value = act(model, seen, mask)
        ratio, scaled = (choice.log_prob(action) - old).exp(), (gain - gain.mean()) / (gain.std() + 1e-8)
        loss = (value - guess - gain).square() - torch.min(ratio * scaled, ratio.clamp(0.8, 1.2) * scaled)
        optimizer.zero_grad()
        (loss - 0.01 * choice.entropy()).mean().backward()
        optimizer.step()
print(f"valid after training: {success(model):.3f}")
