"""Execute calls with BFCL's own program, for ``bfcl_differential.py``, under an interpreter that has bfcl_eval.

Reads one case a line, ``{"owner", "scenario", "long_context", "calls"}``, and writes one line for each:
``{"results", "state"}``, or ``{"died": exit status}`` if the program did not come back from it. Needs nothing else.
"""

import json
import os
import resource
import signal
import sys

from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import execute_multi_turn_func_call

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
    owner = case["owner"]
    results, instances = execute_multi_turn_func_call(
        case["calls"], {owner: case["scenario"]}, [owner], "model", "case", case["long_context"]
    )
    public = {name: value for name, value in vars(instances[owner]).items() if not name.startswith("_")}
    try:
        state = {name: encode(value) for name, value in public.items()}
    except RecursionError:
        state = None
    write(answers, {"results": results, "state": state})


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
