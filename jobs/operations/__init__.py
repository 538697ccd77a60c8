"""Manifests made from manifests, on DuckDB or on Spark."""
