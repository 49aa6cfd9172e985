"""A compact DeepSpeed trainer for tool-using language models, with ResT token reweighting (arXiv 2509.21826)."""
