"""Watching processes that tests started."""

import subprocess

LOOK_SECONDS = 0.02


def is_running(process: subprocess.Popen) -> bool:
    """Return whether `process` still runs after LOOK_SECONDS; looking without a pause would take a core from it."""
    try:
        process.wait(timeout=LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False
