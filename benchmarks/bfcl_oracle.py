"""Execute calls with BFCL's own program, for ``bfcl_differential.py``, under an interpreter that has bfcl_eval.

Reads one case a line, ``{"owner", "scenario", "long_context", "calls"}``, and writes one line for each:
``{"results", "state"}``, or ``{"died": exit status}`` if the program did not come back from it. Needs nothing else.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import execute_multi_turn_func_call

SIMULATORS = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
for name in ("memory_kv", "memory_rec_sum"):  # once, not in each case; what they need may be absent
    with contextlib.suppress(ImportError):
        importlib.import_module(f"{SIMULATORS}.{name}")

SECONDS = 3  # of computing time for one case
MEMORY = 2 << 30  # bytes
MOST_BITS = 14_284  # of an integer in an encoded state; CPython prints no integer of more than 4,300 digits


def main():
    answers, quiet = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # whatever the program prints is no answer
    os.dup2(quiet, 2)
    for line in sys.stdin:
        child = os.fork()  # each case in a fresh process: the program keeps instances and shares objects in one
        if child == 0:
            answer(json.loads(line), answers)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status:
            write(answers, {"died": status})


def answer(case, answers):
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.alarm(20 * SECONDS)
    owner, scenario = case["owner"], case["scenario"]
    with tempfile.TemporaryDirectory() as folder:
        if owner.startswith("MemoryAPI"):
            scenario = stored(scenario, owner.partition("_")[2], Path(folder))
        results, instances = execute_multi_turn_func_call(
            case["calls"], {owner: scenario}, [owner], "model", "case", case["long_context"]
        )
    public = {name: value for name, value in vars(instances[owner]).items() if not name.startswith("_")}
    if owner.startswith("MemoryAPI"):  # where it keeps its snapshots is no state
        public = {name: value for name, value in public.items() if "memory" in name}
    try:
        state = {name: encode(value) for name, value in public.items()}
    except RecursionError:
        state = None
    write(answers, {"results": results, "state": state})


def stored(memory, backend, folder):
    """A scenario of a memory class: it reads what the conversations before have left from a file."""
    place = folder / "agentic" / "memory" / backend / "memory_snapshot"
    place.mkdir(parents=True)
    if memory:
        whole = {"core_memory": {}, "archival_memory": {}, "memory": "", **memory}
        (place / "customer_final.json").write_text(json.dumps(whole))
    first = "" if memory else "prereq_"
    category = f"memory_{backend}"
    test_id = f"{category}_{first}0-customer-0"
    return {"model_result_dir": folder, "scenario": "customer", "test_id": test_id, "test_category": category}


def write(file, record):
    text = json.dumps(record).encode() + b"\n"
    while text:
        text = text[os.write(file, text) :]


def encode(value):
    """A state value as JSON data, by the rules of the recorded states."""
    if value is None or isinstance(value, (str, float)):
        return value
    if isinstance(value, int):
        return {"__repr__": hex(value)} if value.bit_length() > MOST_BITS else value
    if isinstance(value, dict):
        return encode_mapping(value)
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, set):
        return {"__set__": sorted(value)}
    parts = {name.lstrip("_"): part for name, part in getattr(value, "__dict__", {}).items()}
    if "contents" in parts:
        contents = encode_mapping(parts["contents"])
        return {"type": "directory", "name": encode(parts["name"]), "contents": contents}
    if "content" in parts:
        return {"type": "file", "name": encode(parts["name"]), "content": encode(parts["content"])}
    return {"__repr__": repr(value)}


def encode_mapping(mapping):
    items = [[encode(key), encode(item)] for key, item in mapping.items()]
    return dict(items) if all(isinstance(key, str) for key in mapping) else {"__items__": items}


main()
