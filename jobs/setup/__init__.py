"""Checks that a machine has everything that a run needs."""
