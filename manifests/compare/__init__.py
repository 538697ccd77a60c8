"""What differs between two manifests, and why."""
