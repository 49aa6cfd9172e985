"""``deepspeed train_agent.py``: the quickstart. See README.md, or ``--help``."""

import sys

from rest_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
