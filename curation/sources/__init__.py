"""Reads tars and folders: members joined to samples, keys, sidecars, tables, bytes by range."""
