"""Gymnasium environments in which language models use tools."""
