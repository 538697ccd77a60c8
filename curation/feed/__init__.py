"""From a manifest to batches for a trainer."""
