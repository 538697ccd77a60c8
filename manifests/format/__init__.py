"""The manifest contract: schema, parts, receipts, digest, lineage."""
