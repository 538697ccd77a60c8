"""Plans and writes webdataset shards, and verifies the images in them."""
