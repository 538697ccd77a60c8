"""Verification and statistics of one manifest."""
