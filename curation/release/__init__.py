"""What a release says about shards: files for people, for catalogues and for loaders."""
