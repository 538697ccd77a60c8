"""`python -m jobs` is `curate`."""

from jobs.cli import main

main(prog_name="curate")
