"""Files of other tools: exports, lists of keys, and values of any column type."""
