"""Evaluation: official scores of any model, from a light install.

A *benchmark* names categories, each an environment with its options. A *player* plays entries of a category, and hands
each back as it ends. A *run* is a folder to which every finished episode is written at once, and from which it goes on.
What is measured of a run is worked out from that folder alone, by pure functions.
"""
