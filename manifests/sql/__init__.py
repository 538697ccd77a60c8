"""SQL over manifests: engines, queries, expressions, and rows by key."""
