"""Open and grade memory tasks with BFCL's own program, under an interpreter that has bfcl_eval.

    PYTHON benchmarks/bfcl_memory_oracle.py < request > answer

Reads ``{"memories": {back-end: memory}, "replies": [[text, accepted answers]]}`` and writes ``{"openings": {back-end:
{task id: the first turn's messages, with that memory}}, "verdicts": [whether the text is right]}``. A stand-in for the
list of models spares it the clients of all model servers.
"""

import contextlib
import json
import sys
import types
from importlib import import_module

sys.modules["bfcl_eval.constants.model_config"] = types.SimpleNamespace(MODEL_CONFIG_MAPPING={})

from bfcl_eval.eval_checker.agentic_eval.agentic_checker import agentic_checker  # noqa: E402
from bfcl_eval.model_handler.utils import add_memory_instruction_system_prompt  # noqa: E402
from bfcl_eval.utils import load_dataset_entry  # noqa: E402

SIMULATORS = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"


def openings(backend, memory):
    holder = getattr(import_module(f"{SIMULATORS}.memory_{backend}"), f"MemoryAPI_{backend}")()
    vars(holder).update(memory)
    category = f"memory_{backend}"
    entries = load_dataset_entry(category, include_prereq=True)
    return {
        entry["id"]: add_memory_instruction_system_prompt(entry["question"], category, entry["scenario"], holder)[0]
        for entry in entries
    }


with contextlib.redirect_stdout(sys.stderr):
    request = json.load(sys.stdin)
    answer = {
        "openings": {backend: openings(backend, memory) for backend, memory in request["memories"].items()},
        "verdicts": [agentic_checker(text, accepted)["valid"] for text, accepted in request["replies"]],
    }
json.dump(answer, sys.stdout)
