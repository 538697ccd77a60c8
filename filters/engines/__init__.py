"""The OCR engines, and the model files that they need."""
