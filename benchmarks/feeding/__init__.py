"""What benchmarks/feed.py measures: the corpus in the form of each library, and each library in its own processes."""
