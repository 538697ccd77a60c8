"""The feed: from a manifest to batches for a trainer, exactly once an epoch, resumable on any number of processes."""
