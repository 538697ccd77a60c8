"""What Spark needs of us: sessions, frames read from parts, stages run as units, Spark as SQL engine."""
