"""Formats of other tools: exports, and lists of keys."""
