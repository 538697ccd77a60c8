"""Measurements of one image: text density, text detection, OCR, embeddings."""
