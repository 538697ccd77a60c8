"""Samples drawn from manifests, and manifests combined."""
