"""Compare single-turn scoring with BFCL's own program on perturbed answers, odd values and broken replies.

    python benchmarks/bfcl_ast_differential.py FOLDER --oracle PYTHON [--cases N] [--seed S]

FOLDER holds BFCL's data. PYTHON is an interpreter that has bfcl-eval and its grammars (``pip install --no-deps
bfcl-eval==2026.3.23 mpmath tree_sitter==0.21.3 tree-sitter-java==0.21.0 tree-sitter-javascript==0.21.4``), by default
the one that ``TOOLUSE_BFCL_ORACLE`` names. Compared are verdicts on decoded calls, by category and on
made-up tasks, values that replies decode to, and what Java's and JavaScript's values convert to. Exits with 1 if
something differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.bfcl_ast_cases import FAILED, ROWS, Case, load, write_case

ORACLE = Path(__file__).with_name("bfcl_ast_oracle.py")
_SHOWN = 400


@dataclass
class Tally:
    cases: int = 0
    equal: int = 0
    disagreements: list[str] = field(default_factory=list)


def compare(case: Case, answer: Mapping[str, Any], tally: Tally) -> None:
    theirs: Any = FAILED
    if "value" in answer:
        theirs = answer["value"]
    elif "valid" in answer:
        theirs = [answer["valid"], answer["error_type"]]
    tally.cases += 1
    if case.ours == theirs:
        tally.equal += 1
    else:
        asked = {name: value for name, value in case.request.items() if name != "docs"}
        sides = f"ours   {str(case.ours)[:_SHOWN]}\ntheirs {str(theirs)[:_SHOWN]} {answer.get('raises', '')[:_SHOWN]}"
        tally.disagreements.append(f"{str(asked)[: 3 * _SHOWN]}\n{sides}")


def ask(oracle: str, cases: Sequence[Case]) -> list[dict[str, Any]]:
    questions = "".join(json.dumps(case.request) + "\n" for case in cases)
    done = subprocess.run(
        [oracle, str(ORACLE)], input=questions, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, help="BFCL's data")
    parser.add_argument("--oracle", default=os.environ.get("TOOLUSE_BFCL_ORACLE"), help="an interpreter with bfcl-eval")
    parser.add_argument("--cases", type=int, default=1_000, help="of each row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=ROWS)
    parser.add_argument("--show", type=int, default=5, help="disagreements shown of each row")
    options = parser.parse_args()
    if not options.oracle:
        parser.error("name an interpreter with bfcl-eval by --oracle or $TOOLUSE_BFCL_ORACLE")
    material = load(options.folder)
    wrong = 0
    rows = []
    for what in options.rows:
        tally = Tally()
        cases = [write_case(what, f"{options.seed}/{what}/{number}", material) for number in range(options.cases)]
        for case, answer in zip(cases, ask(options.oracle, cases), strict=True):
            compare(case, answer, tally)
        wrong += len(tally.disagreements)
        for text in tally.disagreements[: options.show]:
            print(f"{what}: {text}\n", flush=True)
        rows.append((what, f"{tally.equal}/{tally.cases}"))
    for row in (("compared", "agree"), ("---",) * 2, *rows):
        print(f"| {' | '.join(row)} |")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
