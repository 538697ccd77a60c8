"""Measures one image, and turns a source into rows of the scan manifest."""
