"""The format of manifests: schema, parts, receipts, digest, commit, lineage."""
