"""Takedown: what must go, and the hashes by which it never returns."""
