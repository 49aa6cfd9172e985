"""Aggregate counts with BFCL's own leaderboard, under an interpreter that has bfcl_eval, numpy and pandas.

    PYTHON benchmarks/bfcl_scores_oracle.py < cases > answers

Reads a JSON list of ``{category: [correct, total]}`` and writes a list of all cells that the leaderboard's tables have
for each: ``{table: {column: text}}``. A stand-in for the list of models spares it the clients of all model servers.
"""

import contextlib
import csv
import json
import sys
import tempfile
import types
from pathlib import Path


class Models(dict):
    def __missing__(self, name):
        names = ("model_name", "display_name", "url", "org", "license")
        return types.SimpleNamespace(**dict.fromkeys(names, name), input_price=None, output_price=None)


sys.modules["bfcl_eval.constants.model_config"] = types.SimpleNamespace(MODEL_CONFIG_MAPPING=Models())

from bfcl_eval.eval_checker.eval_runner_helper import generate_leaderboard_csv, record_result  # noqa: E402


def tables(counts):
    model = {"cost": {"input_data": [], "output_data": []}, "latency": {"data": []}}
    leaderboard = {"model": model}
    for category, (correct, total) in counts.items():
        record_result(leaderboard, "model", category, correct / total, total)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        generate_leaderboard_csv(leaderboard, Path(folder))
        return {path.stem: cells(path) for path in Path(folder).glob("*.csv")}


def cells(path):
    with open(path, newline="", encoding="utf-8") as file:
        names, values = csv.reader(file)
    return dict(zip(names, values))  # noqa: B905 (the program's Python may be old)


answers = [tables(counts) for counts in json.load(sys.stdin)]
json.dump(answers, sys.stdout)
