"""Audits by sampled labels, and calibration of thresholds."""
