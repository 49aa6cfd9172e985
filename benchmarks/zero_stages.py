"""Seconds per update by ZeRO stage, dtype and number of ranks; rollouts and optimizer steps apart.

    python benchmarks/zero_stages.py [--stages 0 1 2 3] [--ranks 1 2] [--dtypes float32 bfloat16] [--repeats 3]
        [key.sub=value ...]

Short runs of ``deepspeed train_agent.py`` with the quickstart's model, untrained: its replies are as long as they may
be, and a bonus for entropy trains on every one of them, so that all runs do the same work. The runs take turns. The
first update of a run is not counted; figures are medians over updates and repeats, ratios medians over repeats of the
ratio to stage 2.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median

from rest_agent.metrics import read_log

_LAUNCHER = Path(sys.executable).with_name("deepspeed")
_SETTINGS = (
    *("sft=[]", "rl.updates=5", "rl.tasks=8", "rl.group=8", "rl.max_reply_tokens=64", "diagnostics.every=0"),
    *(
        "rl.loss.entropy=0.001",
        "evaluation.tasks=1",
        "evaluation.sampled=false",
        "run.tensorboard=false",
        "run.progress=false",
    ),
)


def seconds(stage: int, ranks: int, dtype: str, overrides: list[str]) -> tuple[float, float]:
    """Of an update's rollouts and of the rest of it, medians over a run."""
    with tempfile.TemporaryDirectory() as scratch:
        deepspeed = Path(scratch) / "deepspeed.json"
        deepspeed.write_text(json.dumps({"zero_optimization": {"stage": stage}}), encoding="utf-8")
        launch = [_LAUNCHER, "--quiet", "--num_accelerators", str(ranks), "--master_port", str(_free_port())]
        run = ["train_agent.py", "--deepspeed_config", str(deepspeed), f"run.folder={scratch}", f"model.dtype={dtype}"]
        done = subprocess.run(
            [*map(str, launch), *run, *_SETTINGS, *overrides],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
        )
        if done.returncode:
            raise SystemExit(f"stage {stage}, {ranks} ranks, {dtype} failed:\n{done.stderr[-3000:]}")
        records = [record for record in read_log(next(Path(scratch).glob("*-seed*"))) if record.stage == "rl"]
    sampling = [record.values["seconds_sampling"] for record in records[1:]]
    whole = [after.seconds - before.seconds for before, after in pairwise(records)]
    return median(sampling), median(one - other for one, other in zip(whole, sampling, strict=True))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("overrides", nargs="*", help="settings of train_agent.py")
    options = parser.parse_intermixed_args()
    print("| ranks | dtype | stage | rollouts, s | rest of an update, s | update, of stage 2 |\n" + "|---" * 6 + "|")
    for ranks in options.ranks:
        for dtype in options.dtypes:
            runs: dict[int, list[tuple[float, float]]] = {stage: [] for stage in options.stages}
            for _ in range(options.repeats):
                for stage, found in runs.items():
                    found.append(seconds(stage, ranks, dtype, options.overrides))
            for stage, found in runs.items():
                sampling, rest = (median(part) for part in zip(*found, strict=True))
                pairs = zip(found, runs.get(2, found), strict=True)
                ratio = median(sum(one) / sum(two) for one, two in pairs)
                print(f"| {ranks} | {dtype} | {stage} | {sampling:.2f} | {rest:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
