"""Side by side with TRL's GRPO on CPU: rollout speed, seconds per step, memory, and success after equal updates.

    python3 -m venv TRL
    TRL/bin/pip install torch trl .              # the gym, without our trainer's dependencies
    python benchmarks/vs_trl.py --trl TRL/bin/python [--kinds single several] [--checkpoint FOLDER]

Both sides start from one checkpoint of supervised training (the quickstart's cold start, made once if none is given)
and make the same number of updates on the same tasks in the same order, from the same prompts, token by token:

* ``single``: one user request per task; TRL's ``environment_factory``;
* ``several``: two requests per task, tool results in between; TRL's ``rollout_func`` (``trl_side.py`` says how).

The same on both sides: one process, the same threads; float32; groups of the same size; temperature 1, no truncation of
the distribution; the same longest reply and longest episode; GRPO with a token mean over the batch, rewards scaled by
the group's standard deviation, clipping at 0.2, one optimizer step per batch of rollouts, no KL term and no reference
model; AdamW with the same betas, no weight decay, gradients clipped at 1, one constant learning rate; no gradient
checkpointing; no vLLM, which needs a GPU. A backward pass has so many episodes with TRL and so many tokens with us,
padding included: that is how each is told. On our side ResT's weights and diagnostics are off: both train the same
objective.

The two processes take turns, one step each, and wait for each other, so that a noisy machine is as noisy for both; CPU
time is what such a machine tells best (with ``--threads 1`` it is the time of an idle one). Figures are medians over
the steps after the warm-up, ratios medians of the ratios of neighbouring steps. A step is everything from the choice of
tasks to the new weights. The rollout is all our ``Arena.rollouts`` and TRL's ``_generate`` do: sampling, tools, and on
our side grading; TRL sets its environments up outside, and grades outside for ``single``. Tokens are sampled ones.
Memory is the peak of resident memory (Linux), imports included, and that above what was resident before the first
step. Success is our evaluation of the weights that each side ends with, on test tasks.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium

import tooluse_gym  # noqa: F401 (registers the environment)

HERE = Path(__file__).resolve().parent
TURNS = {"single": 1, "several": 2}
BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class Step:
    """What a side measured of one update."""

    seconds: float
    cpu: float
    rollout_seconds: float
    rollout_cpu: float
    tokens: float
    reward: float
    success: float
    rss: float
    rss_peak: float


@dataclass(frozen=True)
class Finish:
    """A side at its end."""

    resident: float
    """MiB before the first step."""
    steps: list[Step]
    checkpoint: str
    """Folder of the weights it ended with."""


class Side:
    """A process that trains, one update whenever it is told to."""

    def __init__(self, command: list[str], log: Path, threads: int):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
        environment |= {"TRL_EXPERIMENTAL_SILENCE": "1", "TOKENIZERS_PARALLELISM": "false"}
        self._command, self._log = command, log
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w", encoding="utf-8"),
            text=True,
            env=environment,
        )
        self._resident = float(self._hear()["rss"])
        self._steps: list[Step] = []

    def step(self) -> Step:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._steps.append(Step(**self._hear()))
        return self._steps[-1]

    def finish(self) -> Finish:
        checkpoint = str(self._hear()["saved"])
        self._process.wait()
        return Finish(self._resident, self._steps, checkpoint)

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            tail = "\n".join(self._log.read_text(encoding="utf-8").splitlines()[-15:])
            raise SystemExit(f"{shlex.join(self._command)} ended early; the end of {self._log}:\n{tail}")
        message: dict[str, Any] = json.loads(line)
        return message


def draw_tasks(options: dict[str, Any], seed: int, updates: int, count: int) -> list[list[str]]:
    """Ids of training tasks for every update."""
    env: Any = gymnasium.make("BFCLMultiTurn-v0", disable_env_checker=True, **options).unwrapped
    env.reset(seed=seed)
    drawn: list[list[str]] = []
    for _ in range(updates):
        drawn.append([])
        for _ in range(count):
            env.reset(options={"split": "train"})
            drawn[-1].append(env.task.id)
    return drawn


def make_checkpoint(folder: Path) -> Path:
    """The quickstart's cold start; not again if it is there."""
    run = folder / "sft-seed0"
    if not list(run.glob("checkpoints/step-*")):
        settings = ["run.name=sft", f"run.folder={folder}", "rl.updates=0", "evaluation.tasks=64"]
        subprocess.run([sys.executable, str(HERE.parent / "train_agent.py"), *settings], check=True)
    return max(run.glob("checkpoints/step-*"))


def race(plan: dict[str, Any], trl: str, folder: Path) -> dict[str, Finish]:
    """Both sides train, step by step in turn."""
    sides = {}
    for name, command in (("ours", [sys.executable, __file__, "--ours"]), ("TRL", [trl, str(HERE / "trl_side.py")])):
        own = folder / name.lower()
        own.mkdir(parents=True)
        (own / "plan.json").write_text(json.dumps({**plan, "folder": str(own)}), encoding="utf-8")
        sides[name] = Side([*command, str(own / "plan.json")], own / "log.txt", plan["threads"])
    updates = len(plan["tasks"])
    for number in range(updates):
        for name, side in sides.items():
            step = side.step()
            speed = f"{step.seconds:.2f} s, {step.tokens / step.rollout_seconds:.0f} tokens/s"
            outcome = f"reward {step.reward:.3f}, success {step.success:.3f}"
            print(f"{plan['kind']} {number + 1}/{updates} {name}: {speed}, {outcome}", file=sys.stderr)
    return {name: side.finish() for name, side in sides.items()}


def solved(checkpoint: str, plan: dict[str, Any], tasks: int, folder: Path, name: str) -> str:
    """Success on test tasks, greedy / sampled."""
    from rest_agent.results import read_results

    base = [f"model.path={checkpoint}", "sft=[]", "rl.updates=0", f"evaluation.tasks={tasks}"]
    run = [f"run.name={name}", f"run.folder={folder}", "run.tensorboard=false"]
    command = [sys.executable, str(HERE.parent / "train_agent.py"), *base, *run, *_environment(plan)]
    subprocess.run(command, check=True, capture_output=True)
    results = read_results(max(folder.glob(f"{name}-seed0*"), key=lambda path: path.stat().st_mtime))
    return " / ".join(f"{results.of_mode(mode)['start'].rate:.3f}" for mode in results.modes)


def _environment(plan: dict[str, Any]) -> list[str]:
    steps, starter = plan["options"]["max_steps_per_turn"], json.dumps(plan["options"]["starter"])
    return [f"environment.options={{max_steps_per_turn: {steps}, starter: {starter}}}"]


FIGURES: tuple[tuple[str, str, Callable[[Step], float]], ...] = (
    ("rollouts, sampled tokens/s", "{:,.0f}", lambda step: step.tokens / step.rollout_seconds),
    ("rollouts, sampled tokens per CPU s", "{:,.0f}", lambda step: step.tokens / step.rollout_cpu),
    ("step, s", "{:.2f}", lambda step: step.seconds),
    ("step, CPU s", "{:.2f}", lambda step: step.cpu),
    ("of it, rollouts, CPU s", "{:.2f}", lambda step: step.rollout_cpu),
    ("of it, the rest, CPU s", "{:.2f}", lambda step: step.cpu - step.rollout_cpu),
    ("sampled tokens per step", "{:,.0f}", lambda step: step.tokens),
)


def table(kind: str, found: Mapping[str, Finish], warm_up: int) -> list[str]:
    """Markdown rows of one kind: ours, TRL's, and the ratio."""
    ours, theirs = (found[name].steps for name in ("ours", "TRL"))
    rows = []
    for what, form, value in FIGURES:
        pairs = [(value(one), value(other)) for one, other in zip(ours, theirs, strict=True)][warm_up:]
        cells = [form.format(median(side)) for side in zip(*pairs, strict=True)]
        rows.append((what, *cells, f"{median(one / other for one, other in pairs):.2f}"))
    peaks = [steps[-1].rss_peak for steps in (ours, theirs)]
    grown = [peak - found[name].resident for peak, name in zip(peaks, ("ours", "TRL"), strict=True)]
    for what, (one, other) in (("peak memory, MiB", peaks), ("of it, above the start's, MiB", grown)):
        rows.append((what, f"{one:,.0f}", f"{other:,.0f}", f"{one / other:.2f}"))
    return [f"| {' | '.join((kind, *row))} |" for row in rows]


def tell(channel: Any, message: dict[str, Any]) -> None:
    """One line of JSON to the process that holds the race."""
    channel.write(json.dumps(message) + "\n")
    channel.flush()


def own_channel() -> Any:
    """The pipe to that process; whatever else is printed to stdout goes to the log from now on."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return channel


def wait_for_turn() -> None:
    """End with the process that holds the race."""
    if not sys.stdin.readline():
        raise SystemExit("the race is over")


class Stopwatch:
    """Seconds by the clock, and of all threads' CPU time."""

    def __init__(self) -> None:
        self._began = time.monotonic(), time.process_time()

    def read(self, prefix: str = "") -> dict[str, float]:
        return {
            f"{prefix}seconds": time.monotonic() - self._began[0],
            f"{prefix}cpu": time.process_time() - self._began[1],
        }


def memory() -> dict[str, float]:
    """Resident memory of this process in MiB: now, and the most so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    return {"rss": kib["VmRSS"] / 1024, "rss_peak": kib["VmHWM"] / 1024}


def ours(plan: dict[str, Any]) -> None:
    """Our side: the trainer's own reinforcement phase, which waits for its turn before every update."""
    channel = own_channel()
    from rest_agent import engine
    from rest_agent.batch import Rollout
    from rest_agent.config_text import load
    from rest_agent.environments import Start, make_env
    from rest_agent.metrics import read_log
    from rest_agent.rollout import Arena
    from rest_agent.run import Run
    from rest_agent.trainer import reinforce

    rollout: dict[str, float] = {}

    class InTurn(Run):
        def updates(self, phase: str, total: int) -> Iterator[int]:
            for update in super().updates(phase, total):
                wait_for_turn()
                watch = Stopwatch()
                yield update
                spent = watch.read()
                last = read_log(self.folder)[-1].values
                told = {
                    **spent,
                    **rollout,
                    "tokens": last["tokens_policy"] * self.config.rl.tasks * self.config.rl.group,
                    "reward": last["reward"],
                    "success": last["success"],
                }
                tell(channel, told | memory())

    class TimedArena(Arena):
        def rollouts(self, *arguments: Any, **options: Any) -> list[Rollout]:
            watch = Stopwatch()
            played = super().rollouts(*arguments, **options)
            rollout.update(watch.read("rollout_"))
            return played

    config = load(None, [*_settings(plan), *_environment(plan)])
    device = engine.start_process_group()
    run = InTurn(config, engine.read_deepspeed_config(None), device, Path(plan["folder"]), None)
    env, updates = make_env(config.environment), iter(plan["tasks"])

    def planned(split: str, seed: int, count: int, update: int = 1, one_step: bool = False) -> list[Start]:
        starts = []
        for task_id in next(updates):
            env.reset(options={"task_id": task_id})
            starts.append(Start(env.snapshot(), env.task))
        return starts

    run.arena.__class__ = TimedArena
    run.arena.sample_tasks = planned  # type: ignore[method-assign]
    tell(channel, {"ready": True} | memory())
    reinforce(run)
    tell(channel, {"saved": str(run.save())})
    run.close()


def _settings(plan: dict[str, Any]) -> list[str]:
    """The configuration of our side, over the quickstart's."""
    return [
        f"model.path={plan['checkpoint']}",
        "sft=[]",
        f"rl.updates={len(plan['tasks'])}",
        f"rl.tasks={len(plan['tasks'][0])}",
        f"rl.group={plan['group']}",
        f"rl.learning_rate={plan['learning_rate']}",
        "rl.warmup=1",
        "rl.final_rate=1.0",
        f"rl.max_reply_tokens={plan['max_reply_tokens']}",
        f"rl.max_tokens={plan['max_tokens']}",
        "rl.weights.preset=uniform",
        "rl.loss.dual_clip=null",
        "diagnostics.every=0",
        f"optimizer.betas=[{BETAS[0]}, {BETAS[1]}]",
        f"optimizer.micro_batch_tokens={plan['micro_tokens']}",
        f"run.seed={plan['seed']}",
        "run.save_every=100000",
        "run.progress=false",
        "run.tensorboard=false",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", help="the Python interpreter that has TRL")
    parser.add_argument("--kinds", nargs="+", choices=TURNS, default=list(TURNS))
    parser.add_argument("--checkpoint", type=Path, help="a model and tokenizer to start from")
    parser.add_argument("--folder", type=Path, default=Path("runs/vs_trl"))
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--warm-up", type=int, default=2, help="steps that are not timed")
    parser.add_argument("--tasks", type=int, default=12, help="tasks per update")
    parser.add_argument("--group", type=int, default=8, help="rollouts per task")
    parser.add_argument("--micro-rows", type=int, default=16, help="episodes per backward pass of TRL")
    parser.add_argument("--micro-tokens", type=int, default=2048, help="tokens per backward pass of ours")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--max-reply-tokens", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=320, help="of an episode")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--trl-cache", help="TRL's cache_implementation, such as static")
    parser.add_argument("--evaluate", type=int, default=128, help="test tasks; 0: no evaluation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)  # a plan: be our side of the race
    options = parser.parse_args()
    if options.ours:
        ours(json.loads(options.ours.read_text(encoding="utf-8")))
        return
    if options.trl is None:
        parser.error("--trl is missing: " + str(__doc__).partition("\n\n")[2].partition("\n\nBoth")[0])
    rows = options.tasks * options.group
    if rows % options.micro_rows:
        parser.error(f"--micro-rows must divide tasks x group ({rows})")
    options.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = options.checkpoint or make_checkpoint(options.folder)
    print("| | | ours | TRL | ours / TRL |\n|---|---|---|---|---|")
    for kind in options.kinds:
        gym = {"starter": {"turns": TURNS[kind]}, "max_steps_per_turn": 3, "format": "hermes", "show_tools": False}
        plan = {
            "kind": kind,
            "checkpoint": str(checkpoint.resolve()),
            "options": gym,
            "tasks": draw_tasks(gym, options.seed, options.updates, options.tasks),
            "betas": BETAS,
            **{name: getattr(options, name) for name in _SHARED},
        }
        folder = Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=options.folder))
        found = race(plan, options.trl, folder)
        lines = table(kind, found, options.warm_up)
        if options.evaluate:
            models = {"start": plan["checkpoint"], **{name: one.checkpoint for name, one in found.items()}}
            rates = {name: solved(path, plan, options.evaluate, folder, name) for name, path in models.items()}
            what = f"success of {options.evaluate} tasks, greedy / sampled (start {rates['start']})"
            lines.append(f"| {kind} | {what} | {rates['ours']} | {rates['TRL']} | |")
        print("\n".join(lines), flush=True)


_SHARED = (
    *("group", "micro_rows", "micro_tokens", "learning_rate", "max_reply_tokens", "max_tokens"),
    *("threads", "trl_cache", "seed"),
)


if __name__ == "__main__":
    main()
