"""SQL over manifests, on DuckDB."""
