"""Sampling replies: the decode loop, and the cache it writes to."""
