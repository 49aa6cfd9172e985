"""BFCL v4's memory tasks: conversations from which an agent keeps what it will be asked for later."""
