"""Readers of tars that need PyTorch, for tests."""

import importlib.util

import pytest

needs_readers = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "open_clip_train", "wids")),
    reason="needs PyTorch, open_clip, wids and Energon, 6 GB: make setup-easyocr",
)
