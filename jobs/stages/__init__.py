"""The stages of the pipeline, one file each. Dedupe, the largest, has its own folder."""
