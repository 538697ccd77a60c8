"""What the pipeline decides, free of Spark: keys, images, fingerprints, clusters, rules, tars, shard plans."""
