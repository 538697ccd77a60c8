"""Differences between two manifests, with reasons."""
