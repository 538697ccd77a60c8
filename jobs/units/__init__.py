"""Resumable work, without Spark: plans, units, receipts, commits, progress."""
