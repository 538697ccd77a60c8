"""Draw samples from manifests, and combine manifests."""
