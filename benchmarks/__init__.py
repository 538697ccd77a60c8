"""Ratios measured in one run against the bare kernels, with memory."""
