"""What benchmarks.text_rich measures with."""
