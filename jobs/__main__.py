"""`python -m jobs` is `curate`."""

from jobs.cli.main import main

main(prog_name="curate")
