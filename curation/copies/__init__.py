"""Copies: candidate pairs, comparison by pixels, kinds of copies, and the representative of a cluster."""
