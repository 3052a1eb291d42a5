"""`python -m tests.fuzz --calls 1000000 --seed 7`."""

import argparse
import sys
import time

from .campaign import MAKERS, NJIT, run


def main() -> int:
    """Run a campaign; 1 if a call went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first call, to make a failed one again")
    parser.add_argument("--only", choices=sorted([*MAKERS, NJIT]), help="of one function")
    parser.add_argument("--njit", action="store_true", help="inside @njit code, too, which takes a minute to compile")
    parser.add_argument("--most", type=int, default=1, help="stop after so many failures")
    given = parser.parse_args()
    start = time.perf_counter()
    outcomes, reports = run(given.calls, given.seed, given.first, given.only, given.most, given.njit)
    for report in reports:
        print(report, end="\n\n")
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:9,}  {outcome}")
    seconds = time.perf_counter() - start
    print(f"{outcomes.total():,} calls of seed {given.seed} in {seconds:.0f} s, {len(reports)} went wrong")
    return 1 if reports else 0


sys.exit(main())
