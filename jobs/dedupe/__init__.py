"""The dedupe stage: from measured images to clusters of copies."""
