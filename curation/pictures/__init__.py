"""Decodes one image safely and computes its fingerprints."""
