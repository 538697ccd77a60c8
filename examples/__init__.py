"""Runnable examples of curate, which need no network and no data of your own."""
