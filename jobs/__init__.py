"""The only code that knows Spark: stages, units, sessions, the command line."""
