"""What counts as a copy: search for candidates, proof by pixels, kinds, the best picture of a cluster."""
