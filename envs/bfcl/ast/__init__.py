"""Scoring of BFCL's single-turn categories: how replies are decoded, and how calls compare with the accepted ones."""
