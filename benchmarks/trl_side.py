"""TRL's side of ``vs_trl.py``, which starts it; needs TRL and the gym, not our trainer.

One user request per task: ``GRPOTrainer(environment_factory=…)``. TRL parses the replies, calls the tools, which are
methods of an environment class, and owns the loop; the environment hears of calls alone, so that what a reply says
besides them is not graded here. The tools stand in the prompt as a message of their own, because TRL would show every
method of the class where the tasks show five tools each: both sides' prompts are the same tokens.

Several requests per task: TRL's environments cannot speak as the user, so ``rollout_func`` plays the gym's episodes. It
generates as TRL's own loop over tool calls does, with the same method of the trainer: all conversations that wait for a
reply in one batch, each from its first token on. Replies are graded by the gym, word for word as on our side.

Both take tokens as they were sampled; nothing is encoded again.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import torch
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from vs_trl import Stopwatch, memory, own_channel, tell, wait_for_turn

import tooluse_gym  # noqa: F401 (registers the environment)
from tooluse_gym.env import Snapshot, ToolUseEnv
from tooluse_gym.formats import Call
from tooluse_gym.tasks import CLOSING, Utterance

# Renders as rest_agent's compact template does, but a message shows the tools, and calls have the form that TRL makes.
TEMPLATE = (
    "{%- for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{%- for call in message.tool_calls or [] %}<tool_call>\n{{ call.function | tojson }}\n</tool_call>{% endfor %}"
    "<|end|>{% endfor %}{%- if add_generation_prompt %}<|assistant|>{% endif %}"
)
RESPONSE = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<|assistant|>",
    "fields": {
        "reasoning_content": {"open": "<think>", "close_pattern": r"</think>\s*", "content": "text"},
        "tool_calls": {
            "open": "<tool_call>",
            "close_pattern": r"</tool_call>\s*",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"<\|end\|>\s*", "content": "text"},
    },
}
PYTHON_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list, "object": dict}


class Tasks:
    """The gym: environments by number, and the beginning of each task, which its group shares."""

    def __init__(self, options: dict[str, Any]):
        self._options = options
        self._envs: list[ToolUseEnv] = []
        self._starts: dict[str, Snapshot] = {}

    def begin(self, task_id: str, number: int) -> ToolUseEnv:
        """Environment ``number`` at the beginning of a task."""
        while len(self._envs) <= number:
            self._envs.append(self.make())
        env = self._envs[number]
        if task_id not in self._starts:
            env.reset(options={"task_id": task_id})
            self._starts[task_id] = env.snapshot()
        env.restore(self._starts[task_id])
        return env

    def make(self) -> ToolUseEnv:
        env = gymnasium.make("BFCLMultiTurn-v0", disable_env_checker=True, **self._options).unwrapped
        assert isinstance(env, ToolUseEnv)
        return env


class ToolMethods:
    """An environment as TRL wants it: ``reset``, ``get_reward``; the tools are methods of a subclass."""

    played: list[ToolMethods]
    tasks: Tasks

    def __init__(self) -> None:
        self._number = len(self.played)
        self.played.append(self)

    def reset(self, task_id: str, **row: Any) -> None:
        self._env = self.tasks.begin(task_id, self._number)
        self._reward, self._over = 0.0, False

    def get_reward(self) -> float:
        if not self._over:
            self._step(CLOSING)
        return self._reward

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        if self._over:
            raise RuntimeError("the episode is over")
        heard = self._step(Utterance(calls=(Call(name, arguments),)))
        return str(heard[0]["content"])

    def _step(self, said: Utterance) -> Any:
        heard, reward, terminated, truncated, _ = self._env.step(self._env.write(said))
        self._reward += reward
        self._over = terminated or truncated
        return heard


def environment_class(tasks: Tasks, tools: Sequence[dict[str, Any]]) -> type[ToolMethods]:
    """A subclass of ``ToolMethods`` with a method for each tool (OpenAI form)."""
    methods = {tool["function"]["name"]: tool_method(tool["function"]) for tool in tools}
    return type("GymEnvironment", (ToolMethods,), {"tasks": tasks, "played": [], **methods})


def tool_method(function: dict[str, Any]) -> Callable[..., str]:
    """A method with the signature and the docstring that make ``function``'s schema."""
    name, schema = function["name"], function["parameters"]
    required = set(schema.get("required", ()))
    parameters, lines = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)], []
    for key, about in schema["properties"].items():
        named = about["type"] if isinstance(about["type"], list) else [about["type"]]
        kind = PYTHON_TYPES[next(one for one in named if one != "null")]
        default = inspect.Parameter.empty if key in required else None
        parameters.append(inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))
        lines.append(f"    {key}: {about.get('description', key)}")

    def method(self: ToolMethods, **arguments: Any) -> str:
        return self._call(name, arguments)

    method.__name__ = name
    method.__signature__ = inspect.Signature(parameters, return_annotation=str)  # type: ignore[attr-defined]
    method.__annotations__ = {p.name: p.annotation for p in parameters[1:]} | {"return": str}
    method.__doc__ = "\n".join([function.get("description", name), "", "Args:", *lines] if lines else [name])
    return method


class Episode:
    """A conversation of several requests: its tokens, and which of them were sampled."""

    def __init__(self, env: ToolUseEnv, tokenizer: Any):
        self._env, self._tokenizer = env, tokenizer
        self.prompt = _encode(tokenizer, list(env.conversation), tools=list(env.tools))
        self.ids: list[int] = []
        self.sampled: list[int] = []
        self.reward, self.valid, self.over = 0.0, False, False

    def say(self, ids: list[int], max_tokens: int) -> None:
        """Go on by a sampled reply; over when the environment says so or the conversation has ``max_tokens``."""
        end = self._tokenizer.eos_token_id
        ended = ids[-1] == end
        if len(self.prompt) + len(self.ids) + len(ids) >= max_tokens:
            self._append(ids[: max_tokens - len(self.prompt) - len(self.ids)], 1)
            self.over = True
            return
        self._append(ids, 1)
        text = self._tokenizer.decode(ids[:-1] if ended else ids, clean_up_tokenization_spaces=False)
        heard, reward, terminated, truncated, info = self._env.step(text)
        self.reward += reward
        self.over = terminated or truncated
        if self.over:
            self.valid = bool(info["verdict"]["valid"])
            return
        said = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]
        before = _encode(self._tokenizer, said, prompt=False)
        after = _encode(self._tokenizer, said + list(heard))
        suffix = after[len(before) - before[::-1].index(end) :]
        self._append(suffix if ended else [end, *suffix], 0)
        if len(self.prompt) + len(self.ids) >= max_tokens:
            self.over = True
        if self.over:  # nobody answers what was heard last
            keep = len(self.sampled) - self.sampled[::-1].index(1)
            del self.ids[keep:], self.sampled[keep:]

    def _append(self, ids: list[int], sampled: int) -> None:
        self.ids += ids
        self.sampled += [sampled] * len(ids)


def _encode(tokenizer: Any, said: list[Any], tools: list[Any] | None = None, prompt: bool = True) -> list[int]:
    text = tokenizer.apply_chat_template(said, tools=tools, add_generation_prompt=prompt, tokenize=False)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


class Timed(GRPOTrainer):
    """Takes the time of rollouts and counts their sampled tokens."""

    def _generate(self, prompts: list[Any]) -> Any:
        watch = Stopwatch()
        out = super()._generate(prompts)
        self.rollout = watch.read("rollout_")
        _, completions, mask, *_ = out
        self.tokens = sum(map(sum, mask)) if mask is not None else sum(map(len, completions))
        return out


class InTurn(TrainerCallback):
    """Every step waits for a line on stdin and answers with one on stdout."""

    def __init__(self, channel: Any, outcome: Callable[[], dict[str, float]]):
        self._channel, self._outcome = channel, outcome
        self.trainer: Any = None

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        wait_for_turn()
        self._watch = Stopwatch()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        trainer = self.trainer
        told = {**self._watch.read(), **trainer.rollout, "tokens": trainer.tokens}
        tell(self._channel, told | self._outcome() | memory())


def settings(plan: dict[str, Any], completion: int) -> GRPOConfig:
    rows = plan["group"] * len(plan["tasks"][0])
    return GRPOConfig(
        output_dir=plan["folder"],
        max_steps=len(plan["tasks"]),
        per_device_train_batch_size=plan["micro_rows"],
        gradient_accumulation_steps=rows // plan["micro_rows"],
        num_generations=plan["group"],
        max_completion_length=completion,
        generation_kwargs={"max_new_tokens": plan["max_reply_tokens"]},
        max_tool_calling_iterations=plan["options"]["max_steps_per_turn"] + 1,  # the last ends the episode
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        use_vllm=False,
        cache_implementation=plan["trl_cache"],
        beta=0.0,
        num_iterations=1,
        epsilon=0.2,
        loss_type="dapo",
        scale_rewards="group",
        learning_rate=plan["learning_rate"],
        lr_scheduler_type="constant",
        adam_beta1=plan["betas"][0],
        adam_beta2=plan["betas"][1],
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        shuffle_dataset=False,
        seed=plan["seed"],
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=len(plan["tasks"]),
    )


def shown(tools: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The message that rest_agent's compact template makes of the tools."""
    functions = [tool["function"] for tool in tools]
    lines = [f"{one['name']}({', '.join(one['parameters']['properties'])})" for one in functions]
    return {"role": "tools", "content": "".join(lines)}


def single(plan: dict[str, Any], tokenizer: Any, tasks: Tasks) -> dict[str, Any]:
    """What the trainer of one-request tasks takes; ``outcome`` is for us."""
    if "<|tools|>" not in tokenizer.chat_template:
        raise SystemExit("one request per task: this side knows only the chat template of models made from scratch")
    tokenizer.chat_template, tokenizer.response_template = TEMPLATE, RESPONSE
    env = tasks.make()
    rows, tools = [], {}
    for task_id in (task_id for update in plan["tasks"] for task_id in update):
        env.reset(options={"task_id": task_id})
        said = [{key: message[key] for key in ("role", "content")} for message in env.conversation]
        rows.append({"prompt": [shown(env.tools), *said], "task_id": task_id})
        tools |= {tool["function"]["name"]: tool for tool in env.tools}
    longest = max(len(_encode(tokenizer, row["prompt"])) for row in rows)
    factory = environment_class(tasks, list(tools.values()))

    def outcome() -> dict[str, float]:
        played = factory.played[: len(plan["tasks"][0]) * plan["group"]]
        verdicts = [one._env.trajectory().verdict for one in played]
        valid = sum(verdict is not None and verdict.valid for verdict in verdicts)
        return {"reward": sum(one._reward for one in played) / len(played), "success": valid / len(played)}

    return {
        "args": settings(plan, plan["max_tokens"] - longest),
        "train_dataset": Dataset.from_list(rows),
        "environment_factory": factory,
        "outcome": outcome,
    }


def several(plan: dict[str, Any], tokenizer: Any, tasks: Tasks) -> dict[str, Any]:
    """What the trainer of tasks with several requests takes; ``outcome`` is for us."""
    episodes: list[Episode] = []

    def play(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        started = [tasks.begin(prompt[0]["content"], number) for number, prompt in enumerate(prompts)]
        episodes[:] = [Episode(env, tokenizer) for env in started]
        while waiting := [one for one in episodes if not one.over]:
            replies, _ = trainer._generate_single_turn([one.prompt + one.ids for one in waiting], None, {}, 1)
            for one, ids in zip(waiting, replies, strict=True):
                one.say(ids, plan["max_tokens"])
        return {
            "prompt_ids": [one.prompt for one in episodes],
            "completion_ids": [one.ids for one in episodes],
            "env_mask": [one.sampled for one in episodes],
            "logprobs": None,
            "earned": [one.reward for one in episodes],
        }

    def earned_reward(earned: list[float], **kwargs: Any) -> list[float]:
        return earned

    def outcome() -> dict[str, float]:
        count = len(episodes)
        reward, valid = sum(one.reward for one in episodes), sum(one.valid for one in episodes)
        return {"reward": reward / count, "success": valid / count}

    ids = [task_id for update in plan["tasks"] for task_id in update]
    rows = [{"prompt": [{"role": "user", "content": task_id}]} for task_id in ids]
    return {
        "args": settings(plan, plan["max_tokens"]),
        "train_dataset": Dataset.from_list(rows),
        "rollout_func": play,
        "reward_funcs": earned_reward,
        "outcome": outcome,
    }


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    channel = own_channel()
    torch.set_num_threads(plan["threads"])
    tokenizer = AutoTokenizer.from_pretrained(plan["checkpoint"])
    parts = {"single": single, "several": several}[plan["kind"]](plan, tokenizer, Tasks(plan["options"]))
    callback = InTurn(channel, parts.pop("outcome"))
    trainer = Timed(model=plan["checkpoint"], processing_class=tokenizer, callbacks=[callback], **parts)
    callback.trainer = trainer
    tell(channel, {"ready": True} | memory())
    trainer.train()
    trainer.model.save_pretrained(plan["folder"])
    AutoTokenizer.from_pretrained(plan["checkpoint"]).save_pretrained(plan["folder"])
    tell(channel, {"saved": plan["folder"]})


if __name__ == "__main__":
    main()
