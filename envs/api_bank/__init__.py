"""API-Bank: dialogues over simulated APIs, at three levels of difficulty."""
