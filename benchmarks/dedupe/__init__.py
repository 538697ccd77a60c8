"""What benchmarks.dedupe_quality measures with."""
