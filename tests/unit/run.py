"""Runs one test module, on MicroPython: run.py MODULE [TEST ...]

Prints `ok NAME` or `FAIL NAME` and a traceback for each test; exits nonzero after a failure.
"""

import gc
import sys


def main(module, *names):
    module = __import__(module)
    failed = 0
    for name in names or sorted([n for n in dir(module) if n.startswith("test_")]):
        # What the test before left behind is not this one's memory
        gc.collect()
        try:
            getattr(module, name)()
        except Exception as e:
            failed += 1
            print("FAIL", name)
            sys.print_exception(e, sys.stdout)
        else:
            print("ok", name)
    return 1 if failed else 0


sys.exit(main(*sys.argv[1:]))
