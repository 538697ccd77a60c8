"""The manifest contract: schema, digest, store and commit."""
