"""Everything about Spark: sessions, frames, functions in workers, running stages, Spark as SQL engine."""
