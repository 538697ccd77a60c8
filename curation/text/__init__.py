"""The text cascade: from the density network's map to OCR, scores and classes."""
