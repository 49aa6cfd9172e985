"""Score result files with BFCL's own program, under an interpreter that has bfcl_eval.

    BFCL_PROJECT_ROOT=FOLDER PYTHON benchmarks/bfcl_official_oracle.py MODEL CATEGORY …

What ``bfcl evaluate --partial-eval`` does: reads ``FOLDER/result``, writes ``FOLDER/score``. The program imports the
clients of all model servers before it scores anything; where one is not installed, empty classes stand in for it. Needs
``pip install --no-deps bfcl-eval==2026.3.23``, then ``filelock mpmath numpy overrides pandas python-dotenv rank_bm25
tenacity tqdm tree_sitter==0.21.3 tree-sitter-java==0.21.0 tree-sitter-javascript==0.21.4``.
"""

import contextlib
import importlib.abc
import importlib.machinery
import sys
import types

CLIENTS = {"anthropic", "boto3", "cohere", "datamodel_code_generator", "google", "httpx", "mistralai", "openai"}
CLIENTS |= {"qwen_agent", "requests", "writerai"}


def stand_in(self, name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Anything(name, (Exception,), {"__init__": lambda self, *args, **options: None})


class Anything(type):
    """A class that can be made and raised, and has others like it in it."""

    __getattr__ = stand_in


class Absent(types.ModuleType):
    """A module in which every name is such a class."""

    __path__ = ()
    __getattr__ = stand_in


class Absences(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last to be asked for a module."""

    def find_spec(self, name, path=None, target=None):
        known = name.partition(".")[0] in CLIENTS
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec):
        return Absent(spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.append(Absences())

from bfcl_eval.eval_checker import eval_runner  # noqa: E402

with contextlib.redirect_stdout(sys.stderr):
    eval_runner.main([sys.argv[1]], sys.argv[2:], None, None, partial_eval=True)
