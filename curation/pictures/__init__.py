"""Decodes one image safely and takes its fingerprints."""
