"""The other side of ``bfcl_ast_differential.py``, under an interpreter that has bfcl_eval and its tree-sitter grammars.

Reads one request a line and writes one answer for each; values are given and returned as Python literals.

* ``{"decode": text, "format": name, "tagged": bool}``: ``{"value"}``.
* ``{"convert": language, "value", "type", "nested"}``: ``{"value"}``.
* ``{"check": decoded, "docs", "answers", "category", "under": bool}``: ``{"valid", "error_type"}``.
* ``{"time": [requests], "rounds"}``: ``{"seconds"}`` of the fastest round, without the reading of the requests.

``{"raises": exception}`` if the program raises.
"""

import ast
import json
import signal
import sys
import time
import types
import warnings

models = types.ModuleType("bfcl_eval.constants.model_config")  # the real one imports every vendor's library
models.MODEL_CONFIG_MAPPING = {str(under): types.SimpleNamespace(underscore_to_dot=under) for under in (False, True)}
sys.modules[models.__name__] = models

from bfcl_eval.constants.enums import Language, ReturnFormat  # noqa: E402
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker  # noqa: E402
from bfcl_eval.eval_checker.ast_eval.type_convertor.java_type_converter import java_type_converter  # noqa: E402
from bfcl_eval.eval_checker.ast_eval.type_convertor.js_type_converter import js_type_converter  # noqa: E402
from bfcl_eval.model_handler.utils import default_decode_ast_prompting  # noqa: E402
from bfcl_eval.utils import is_function_calling_format_output  # noqa: E402

SECONDS = 5


def decode(request):
    return default_decode_ast_prompting(request["decode"], ReturnFormat(request["format"]), request["tagged"])


def convert(request):
    converter = {"java": java_type_converter, "javascript": js_type_converter}[request["convert"]]
    return converter(ast.literal_eval(request["value"]), request["type"], request["nested"])


def language(category):
    for name in ("java", "javascript"):
        if category == f"simple_{name}":
            return Language(name)
    return Language.PYTHON


def check(decoded, request):
    if not is_function_calling_format_output(decoded):
        return {"valid": False, "error_type": "ast_decoder:decoder_wrong_output_format"}
    category = request["category"]
    verdict = ast_checker(
        request["docs"], decoded, request["answers"], language(category), category, str(request["under"])
    )
    return {"valid": verdict["valid"], "error_type": None if verdict["valid"] else verdict["error_type"]}


def seconds(request):
    decoded = [ast.literal_eval(each["check"]) for each in request["time"]]
    rounds = []
    for _ in range(request["rounds"]):
        start = time.perf_counter()
        for value, each in zip(decoded, request["time"], strict=True):
            check(value, each)
        rounds.append(time.perf_counter() - start)
    return min(rounds)


def answer(request):
    if "decode" in request:
        return {"value": repr(decode(request))}
    if "convert" in request:
        return {"value": repr(convert(request))}
    if "time" in request:
        return {"seconds": seconds(request)}
    return check(ast.literal_eval(request["check"]), request)


def give_up(signum, frame):
    raise TimeoutError


def main():
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, give_up)
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        signal.alarm(0 if "time" in request else SECONDS)
        try:
            found = answer(request)
        except BaseException as error:
            found = {"raises": f"{type(error).__name__}: {error}"}
        signal.alarm(0)
        print(json.dumps(found), file=answers, flush=True)


main()
