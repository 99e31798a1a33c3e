"""Measure and print: `python -m bench [--full] [--quick] [PART...]`."""

from __future__ import annotations

import argparse
import sys
import time

from bench import checks, growth, hooks, life, rates, soak
from bench.machine import describe

PARTS = ("checks", "hooks", "rates", "life", "growth", "soak")


def main() -> None:
    """Run the parts that are asked for, all by default."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--full", action="store_true", help="growth with a million tasks instead of 100,000")
    parser.add_argument("--quick", action="store_true", help="a look, in about a minute")
    asked = parser.parse_args()
    unknown = [part for part in asked.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part is called {unknown[0]}; there are {', '.join(PARTS)}")
    parts = asked.parts or PARTS
    started = time.perf_counter()
    print(describe(), flush=True)
    if "checks" in parts:
        checks.run(seconds=0.05 if asked.quick else 0.2, rounds=3 if asked.quick else 9)
    sys.stdout.flush()
    if "hooks" in parts:
        hooks.run(seconds=0.05 if asked.quick else 0.2, rounds=3 if asked.quick else 9)
    sys.stdout.flush()
    if "rates" in parts:
        rates.run(seconds=1, rounds=1 if asked.quick else 9)
    sys.stdout.flush()
    if "life" in parts:
        life.run(rounds=3 if asked.quick else 9)
    sys.stdout.flush()
    if "growth" in parts:
        growth.run(tasks=1_000_000 if asked.full else 10_000 if asked.quick else 100_000)
    sys.stdout.flush()
    if "soak" in parts:
        soak.run(tasks=20_000 if asked.quick else 1_000_000)
    print(f"\nMeasured in {time.perf_counter() - started:,.0f} s.")


if __name__ == "__main__":
    main()
