"""What is measured on one image: text density, text detection, OCR."""
