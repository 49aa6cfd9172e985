"""TRL's own ``GRPOTrainer`` with ResT's token weights, on CPU: a model made from scratch and a handful of tasks.

``python examples/trl_grpo.py tools``: one request per task; TRL reads and makes the calls (``environment_factory``).
``python examples/trl_grpo.py episodes``: two requests per task, the gym's own episodes (``rollout_func``).
"""

import os
import sys
from tempfile import mkdtemp

import numpy as np
import torch
from datasets import Dataset
from trl import GRPOConfig

from rest_agent import policy, trl
from rest_agent.config import EnvironmentConfig, ModelConfig, WeightsConfig
from rest_agent.sft import demonstration_batch, sft_loss
from tooluse_gym.adapters.trl import environment_tasks, episode_reward

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
torch.manual_seed(0)
EPISODES, UPDATES, COLD = "episodes" in sys.argv, 3, 70
STARTER = {"turns": 2 if EPISODES else 1, "tools_shown": 2, "requests": ["post"]}
CONFIG = EnvironmentConfig(options={"starter": STARTER})

tokenizer = policy.train_tokenizer(policy.corpus(CONFIG, episodes=100), vocabulary=600)
tokenizer.response_template = policy.RESPONSE_WITH_CALLS
model = policy.new_model(ModelConfig(hidden_size=64, layers=2, intermediate_size=128), tokenizer)
play = trl.Episodes(CONFIG, tokenizer)
rows, how = play.rows(count=4), {"rollout_func": play, "reward_funcs": trl.episode_reward}
task_ids = [row["prompt"][0][trl.TASK_ID] for row in rows]
if not EPISODES:
    tasks = environment_tasks(CONFIG.id, task_ids=task_ids, starter=STARTER)
    rows, how = tasks.rows, {"environment_factory": tasks.environment_factory, "reward_funcs": episode_reward}

rng, optimizer = np.random.default_rng(0), torch.optim.AdamW(model.parameters())
for update in range(COLD):  # a cold start: demonstrations, some of which err
    played = [play.demonstration(task_id, rng, noise=0.3) for task_id in task_ids * 2]
    batch = demonstration_batch(played, tokenizer.pad_token_id)
    sft_loss(model, batch, batch.weights.sum()).backward()
    optimizer.param_groups[0]["lr"] = 8e-3 * (1 - update / COLD)
    optimizer.step()
    optimizer.zero_grad()

options = {
    "output_dir": mkdtemp(),
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "logging_steps": 1,
}
options |= {"max_steps": UPDATES, "num_generations": 8, "per_device_train_batch_size": 32, "learning_rate": 5e-4}
options |= {"max_completion_length": 200, "generation_kwargs": {"max_new_tokens": 48}, "use_cpu": True, "bf16": False}
how |= {"args": GRPOConfig(**options), "train_dataset": Dataset.from_list(rows), "processing_class": tokenizer}
trainer = trl.ResTTrainer(model, weights=WeightsConfig(preset="structure"), **how)
trainer.train()
for log in trainer.state.log_history[:-1]:
    print("update {step}: reward {reward:.3f}, valid {valid:.3f}, gradient {grad_norm:.3f}".format(**log))
