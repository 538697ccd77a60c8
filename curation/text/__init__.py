"""The text cascade: from the map of the density network to OCR and scores."""
