"""Print the id of every case of format_sensitivity, and the SHA-256 of the prompt that BFCL's own program makes for it.

For ``bfcl_parity.py``, under an interpreter that has bfcl_eval. Needs nothing else.
"""

import hashlib

from bfcl_eval.model_handler.utils import formulate_system_prompt
from bfcl_eval.utils import extract_prompt_format_from_id, load_format_sensitivity_test_cases

for case in load_format_sensitivity_test_cases():
    prompt = formulate_system_prompt(extract_prompt_format_from_id(case["id"]), case["function"])
    print(case["id"], hashlib.sha256(prompt.encode()).hexdigest())
