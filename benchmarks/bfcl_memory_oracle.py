"""Open and grade memory tasks with BFCL's own program, under an interpreter that has bfcl_eval.

    PYTHON benchmarks/bfcl_memory_oracle.py < request > answer

Reads ``{"memories": {back-end: memory}, "replies": [[text, accepted answers]]}`` and writes ``{"openings": {back-end:
{task id: [the first turn's messages in prompting mode, the tools in function-calling mode]}}, "verdicts": [whether the
text is right]}``. A stand-in for the list of models spares it the clients of all model servers.
"""

import contextlib
import copy
import json
import sys
import types
from importlib import import_module

sys.modules["bfcl_eval.constants.model_config"] = types.SimpleNamespace(MODEL_CONFIG_MAPPING={})

from bfcl_eval.constants.enums import ModelStyle  # noqa: E402
from bfcl_eval.constants.type_mappings import GORILLA_TO_OPENAPI  # noqa: E402
from bfcl_eval.eval_checker.agentic_eval.agentic_checker import agentic_checker  # noqa: E402
from bfcl_eval.model_handler.utils import (  # noqa: E402
    add_memory_instruction_system_prompt,
    convert_to_tool,
    system_prompt_pre_processing_chat_model,
)
from bfcl_eval.utils import load_dataset_entry  # noqa: E402

SIMULATORS = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"


def openings(backend, memory):
    holder = getattr(import_module(f"{SIMULATORS}.memory_{backend}"), f"MemoryAPI_{backend}")()
    vars(holder).update(memory)
    category = f"memory_{backend}"
    opened = {}
    for entry in load_dataset_entry(category, include_prereq=True):
        first = add_memory_instruction_system_prompt(entry["question"], category, entry["scenario"], holder)[0]
        messages = system_prompt_pre_processing_chat_model(first, entry["function"], entry["id"])
        tools = convert_to_tool(copy.deepcopy(entry["function"]), GORILLA_TO_OPENAPI, ModelStyle.OPENAI_COMPLETIONS)
        opened[entry["id"]] = [messages, tools]
    return opened


with contextlib.redirect_stdout(sys.stderr):
    request = json.load(sys.stdin)
    answer = {
        "openings": {backend: openings(backend, memory) for backend, memory in request["memories"].items()},
        "verdicts": [agentic_checker(text, accepted)["valid"] for text, accepted in request["replies"]],
    }
json.dump(answer, sys.stdout)
