"""Runs a command and prints, as JSON, the processor seconds of all its processes, as the kernel counts them.

`python -m tests.support.waited COMMAND …`, on Linux. This process adopts processes whose parents have ended, and
waits for all. Those of a parent that ignores their end, as Spark's Python daemon does, are in nobody's count, so the
command has to use the daemon of `tests.support.waited_daemon`.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Run the command, wait for all its processes, print what they used, and exit with its exit code."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this kernel lets no process adopt others")
    code = subprocess.run(sys.argv[1:], stdout=sys.stderr, check=False).returncode
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"seconds": used.ru_utime + used.ru_stime}))
    sys.exit(code)


if __name__ == "__main__":
    main()
