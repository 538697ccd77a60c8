"""The stages of the pipeline, one file each; dedupe, the largest, has a folder of its own."""
