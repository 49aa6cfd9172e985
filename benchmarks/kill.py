"""A run that is killed again and again ends as one that never was.

    python benchmarks/kill.py [--kills 20] [--stages 1,2,3] [--ranks 1] [--seed 0] [--folder FOLDER] [key.sub=value ...]

A small run (a few updates of each kind, validation, a checkpoint every other update of which one is kept, dropout in
the model) is made once undisturbed. Then the same command with ``--resume auto`` is given again and again, and SIGKILL
sent to it, until it ends by itself; then the next such run, until there were enough kills. The moments are random: some
in the whole length of its training, some in its start, and some wherever it then is next in a rollout, an update or a
save, each of which is struck at least once. Of several ranks one dies first, and the others within half a second.
Weights, optimizer, random generators, metrics, TensorBoard, results and evaluated episodes must be those of the
undisturbed run, to the bit (seconds aside).

A control shows that a difference would be found: a run whose random generators are changed in its checkpoint, with the
checksum to match, must not end the same.

Prints a Markdown table with where the kills struck; the exit status is 1 if anything differs, or the control does not.
``key.sub=value`` changes the run's settings (``rl.algorithm=ppo``). Processes are forked from this one, which has
imported PyTorch and done nothing else, to save time; ranks find each other as under DeepSpeed's launcher. A run counts
as ended when it draws its report, which takes long. Where a run is, its first rank notes a hundred times a second.
"""

from __future__ import annotations

import argparse
import importlib
import json
import mmap
import os
import random
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLACES = ("start", "rollout", "update", "save", "evaluation", "between")
STRUCK = ("save", "update", "rollout")
"""Places that must be struck, by as many kills as there are."""
_OVER = "report"
_FUNCTIONS = {  # the outermost of these on the stack says where a run is; before there is one, it starts
    ("trainer", "train"): "between",
    ("report", "write"): _OVER,
    ("checkpoint", "save"): "save",
    ("evaluate", "evaluate"): "evaluation",
    ("rollout", "rollouts"): "rollout",
    ("engine", "update"): "update",
}
_LONGEST = 1200  # seconds of a run; then it hangs
_ENVIRONMENT = {"options": {"max_steps_per_turn": 2, "starter": {"turns": 1, "tools_shown": 1, "requests": ["post"]}}}
_PRIMED: dict[str, Any] = {
    "model": {"vocabulary": 500, "hidden_size": 32, "layers": 2, "intermediate_size": 64},
    "environment": _ENVIRONMENT,
    "sft": [{"updates": 60, "batch": 8, "learning_rate": 1e-2}],
    "rl": {"updates": 0},
    "evaluation": {"tasks": 2, "sampled": False},
    "run": {"save_every": 1000, "tensorboard": False, "progress": False},
}
_KILLED: dict[str, Any] = {
    "environment": _ENVIRONMENT,
    "sft": [{"updates": 5, "batch": 4, "learning_rate": 1e-3, "warmup": 0}],
    "rl": {
        "updates": 5,
        "tasks": 2,
        "group": 4,
        "max_reply_tokens": 40,
        "max_tokens": 2000,
        "minibatches": 2,
        "learning_rate": 1e-3,
        "warmup": 0,
    },
    "evaluation": {"tasks": 3, "sampled": True, "every": 2},
    "run": {"save_every": 2, "keep": 1, "tensorboard": True, "progress": False},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="for each ZeRO stage, at least")
    parser.add_argument("--stages", type=lambda text: [int(stage) for stage in text.split(",")], default=[1, 2, 3])
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="keep the runs there; without it they are removed")
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value")
    options = parser.parse_intermixed_args()
    # Every process has one thread: ranks and forks must not fight for the cores. PyTorch reads it when it is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for module in ("torch.utils.tensorboard", "rest_agent.report", "rest_agent.trainer"):
        importlib.import_module(module)  # so that the forked processes have it

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        model = prime(folder / "model")
        print("| ZeRO stage | ranks | undisturbed | kills | runs | " + " | ".join(PLACES) + " | identical | control |")
        print("|---" * (len(PLACES) + 7) + "|", flush=True)
        sound = True
        for stage in options.stages:
            chance = random.Random(f"{options.seed} {stage}")
            victim = Victim(folder / f"stage{stage}", model, stage, options.ranks, tuple(options.overrides))
            sound &= torment(victim, options.kills, chance)
    return 0 if sound else 1


def prime(folder: Path) -> Path:
    """A model that has learned enough to earn different rewards, with dropout from now on."""
    Process(folder, ["--config", str(_write(folder, _PRIMED))], ranks=1).wait()
    checkpoint = max(folder.glob("runs/*/checkpoints/step-*"))
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    (checkpoint / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.1}), encoding="utf-8")
    return checkpoint


@dataclass(frozen=True)
class Victim:
    """The run that is made again and again, each time under another name."""

    folder: Path
    model: Path
    stage: int
    ranks: int
    overrides: tuple[str, ...]

    def start(self, name: str) -> Process:
        """Begin it, or go on with it."""
        config = _write(self.folder / name, {**_KILLED, "model": {"path": str(self.model)}})
        settings = self.folder / name / "deepspeed.json"
        settings.write_text(json.dumps({"zero_optimization": {"stage": self.stage}}), encoding="utf-8")
        arguments = ["--config", str(config), "--deepspeed_config", str(settings), "--resume", "auto", *self.overrides]
        return Process(self.folder / name, arguments, self.ranks)

    def run(self, name: str) -> Path:
        (run,) = (self.folder / name / "runs").iterdir()
        return run


def torment(victim: Victim, kills: int, chance: random.Random) -> bool:
    """Kill runs until there were enough kills; whether all of them ended well. Prints a row of the table."""
    undisturbed = victim.start("undisturbed")
    undisturbed.wait()
    expected = outcome(victim.run("undisturbed"))
    places: Counter[str] = Counter()
    found: list[str] = []
    runs = 0

    def enough() -> bool:
        return places.total() >= kills and all(places[place] for place in STRUCK[:kills])

    while not enough():
        runs += 1
        name = f"killed{runs}"
        while not enough():
            place = victim.start(name).kill(undisturbed, places.total(), chance)
            if place is None:
                break
            places[place] += 1
        else:
            victim.start(name).wait()
        found += [f"{name}: {one}" for one in differences(expected, outcome(victim.run(name)))]
    control = differences(expected, tampered(victim, chance))
    row: list[object] = [victim.stage, victim.ranks, f"{undisturbed.training:.1f} s", places.total(), runs]
    row += [places[place] for place in PLACES]
    row += ["**no**" if found else "yes", "differs" if control else "**does not differ**"]
    print("| " + " | ".join(map(str, row)) + " |", flush=True)
    if found:
        print(*found, sep="\n", file=sys.stderr, flush=True)
    return bool(control) and not found


def tampered(victim: Victim, chance: random.Random) -> dict[str, Any]:
    """The outcome of a run that was killed, and whose random generators were then put elsewhere."""
    from rest_agent import randomness

    process = victim.start("control")
    while not list((victim.folder / "control").glob("runs/*/checkpoints/step-*")):
        assert process.alive()
        time.sleep(0.01)
    process.strike(chance)
    (checkpoint,) = (victim.run("control") / "checkpoints").glob("step-*")
    randomness.seed(chance.randrange(1 << 30), 0)
    content = json.dumps(randomness.state()).encode()
    manifest = json.loads((checkpoint / "manifest.json").read_text(encoding="utf-8"))
    manifest["random-00000.json"] = [len(content), zlib.crc32(content)]
    (checkpoint / "random-00000.json").write_bytes(content)
    (checkpoint / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    victim.start("control").wait()
    return outcome(victim.run("control"))


class Process:
    """The command on so many ranks, each a process; together they are a process group of their own."""

    def __init__(self, folder: Path, arguments: list[str], ranks: int):
        folder.mkdir(parents=True, exist_ok=True)
        self._printed = folder / "printed.txt"
        self._place = mmap.mmap(-1, 32)  # shared with the first rank
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        world = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        self._began = time.monotonic()
        self.starting = self.training = 0.0
        """Seconds of it."""
        self.visits: dict[str, list[float]] = {}
        """Seconds of each stay, by place."""
        self._here, self._since = "start", self._began
        self._living: list[int] = []
        for rank in range(ranks):
            child = os.fork()
            if child == 0:
                os.environ.update(world, RANK=str(rank), LOCAL_RANK=str(rank))
                self._be(rank, arguments)
            self._living.append(child)
            self._group = self._living[0]
            os.setpgid(child, self._group)

    def _be(self, rank: int, arguments: list[str]) -> None:
        """This process is a rank from here on."""
        status = 1
        try:
            printed = os.open(self._printed, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(printed, 1)
            os.dup2(printed, 2)
            if rank == 0:
                threading.Thread(target=_note_places, args=(self._place,), daemon=True).start()
            from rest_agent import cli

            status = cli.main(arguments)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def wait(self) -> None:
        """Until it is over."""
        while self.alive():
            time.sleep(0.001)

    def kill(self, like: Process, number: int, chance: random.Random) -> str | None:
        """Kill it at a random moment of a run that is as long as ``like``; where it was, None: it was over before.

        Three of ten wait, from a moment of its training on, for a rollout, an update or a save, and then for a part of
        what one takes. One of ten falls in its start.
        """
        turn = number % 10
        after = chance.uniform(0, like.starting if turn == 9 else like.training)
        target = dict(enumerate(STRUCK)).get(turn)
        delay = chance.random() * statistics.median(like.visits[target]) if target else 0.0
        while self.alive():
            reached = self.training if turn != 9 else time.monotonic() - self._began
            if reached >= after and (turn == 9 or self._here != "start") and target in (None, self._here):
                time.sleep(delay)
                return self.strike(chance)
            time.sleep(0.001)
        return None

    def strike(self, chance: random.Random) -> str | None:
        """SIGKILL for one rank, and within half a second for the others; where it was, None: it was over."""
        if not self.alive():
            return None
        place = self._where()
        os.kill(chance.choice(self._living), signal.SIGKILL)
        if len(self._living) > 1:
            time.sleep(chance.uniform(0, 0.5))
        self._end()
        return place

    def alive(self) -> bool:
        """Whether it is not over yet.

        Raises:
            RuntimeError: a rank failed by itself, or hangs.
        """
        now, here = time.monotonic(), self._where()
        if here != self._here:
            self.visits.setdefault(self._here, []).append(now - self._since)
            self._here, self._since = here, now
        if here == "start":
            self.starting = now - self._began
        self.training = now - self._began - self.starting
        for child in list(self._living):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                self._living.remove(child)
                if status:
                    self._end()
                    raise RuntimeError(f"it failed:\n{self._printed.read_text(encoding='utf-8')[-3000:]}")
        if now - self._began > _LONGEST:
            self._end()
            raise RuntimeError(f"it hangs; what it printed is in {self._printed}")
        if here == _OVER:
            self._end()
        return bool(self._living)

    def _where(self) -> str:
        return self._place[:].rstrip(b"\0 ").decode() or "start"

    def _end(self) -> None:
        if self._living:
            os.killpg(self._group, signal.SIGKILL)
        while self._living:
            os.waitpid(self._living.pop(), 0)


def _note_places(place: mmap.mmap) -> None:
    """Write down where the main thread is, a hundred times a second."""
    main = threading.main_thread().ident
    assert main is not None
    while True:
        frame, found = sys._current_frames().get(main), "start"
        while frame is not None:
            here = _FUNCTIONS.get((Path(frame.f_code.co_filename).stem, frame.f_code.co_name))
            if here is not None and (here != "between" or found == "start"):
                found = here
            frame = frame.f_back
        place[:] = found.encode().ljust(32)
        time.sleep(0.01)


def _write(folder: Path, tree: dict[str, Any]) -> Path:
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    run = {**tree["run"], "folder": str(folder / "runs")}
    path.write_text(yaml.safe_dump({**tree, "run": run}), encoding="utf-8")
    return path


def outcome(run: Path) -> dict[str, Any]:
    """All that a run has made, by name, as it can be compared. Nothing in it is a time."""
    last = max((run / "checkpoints").glob("step-*"))
    found: dict[str, Any] = {"checkpoint": last.name}
    for path in sorted(last.glob("*.safetensors")):
        found[path.name] = path.read_bytes()
    for path in sorted(last.rglob("*.pt")):
        found |= {f"{path.relative_to(last)}: {name}": value for name, value in _tensors(path)}
    for path in sorted(last.glob("random-*.json")):
        found[path.name] = path.read_text(encoding="utf-8")
    state = json.loads((last / "state.json").read_text(encoding="utf-8"))["run"]
    found |= {f"state.json, {name}": value for name, value in state.items() if name not in ("seconds", "log")}
    for number, line in enumerate((run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()):
        found[f"metrics.jsonl, line {number + 1}"] = _timeless(json.loads(line))
    for path in sorted((run / "evaluations").iterdir()):
        found[path.name] = path.read_bytes()
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    found |= {f"results.json, {name}": results[name] for name in ("stages", "updates", "best")}
    return found | _events(run / "tensorboard")


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The names of what is not the same in two outcomes."""
    names = {**expected, **found}
    return [name for name in names if name not in expected or name not in found or expected[name] != found[name]]


def _tensors(path: Path) -> Iterator[tuple[str, Any]]:
    """Every tensor and every number in a file of PyTorch's."""
    import torch

    def walk(value: Any, name: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, torch.Tensor):
            whole = value.detach().cpu().contiguous()
            yield name, (str(value.dtype), tuple(value.shape), whole.view(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, f"{name}/{key}")
        elif isinstance(value, list | tuple):
            for key, item in enumerate(value):
                yield from walk(item, f"{name}/{key}")
        elif isinstance(value, int | float):
            yield name, value

    state = torch.load(path, map_location="cpu", weights_only=False)
    if "fp32_flat_groups" in state.get("optimizer_state_dict", {}):
        _clear_padding(path, state["optimizer_state_dict"])
    yield from walk(state, "")


def _clear_padding(path: Path, optimizer: dict[str, Any]) -> None:
    """Under ZeRO stage 3 a weight that the ranks cannot share evenly is padded, with whatever was in memory."""
    import torch

    rank, ranks = int(path.name.split("_")[3]), optimizer["partition_count"]
    model = torch.load(path.with_name(path.name.replace("optim", "model")), map_location="cpu", weights_only=False)
    for flat, shapes in zip(optimizer["fp32_flat_groups"], model["param_shapes"], strict=True):
        begin = 0
        for shape in shapes.values():
            size = -(-shape.numel() // ranks)
            mine = min(max(shape.numel() - rank * size, 0), size)
            flat.data[begin + mine : begin + size] = 0
            begin += size


def _events(folder: Path) -> dict[str, Any]:
    if not folder.exists():
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    tags: Sequence[str] = list(_timeless(dict.fromkeys(events.Tags()["scalars"])))
    return {f"tensorboard, {tag}": [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def _timeless(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.rpartition("/")[2].startswith("seconds")}


if __name__ == "__main__":
    sys.exit(main())
