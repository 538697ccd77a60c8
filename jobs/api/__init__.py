"""The Python API: what `import curate` re-exports."""
