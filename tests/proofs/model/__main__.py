"""Run the searches side by side, print what each found, and exit 1 on any surprise.

`python -m tests.proofs.model [--all] [--jobs N] [NAME ...]`; a NAME alone also tells the story of
what a mutant breaks.
"""

import argparse
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from tests.proofs.model.searches import SEARCHES, Search
from tests.proofs.model.spin import Found, NotSearched, missing, search


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.model", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these searches")
    parser.add_argument("--all", action="store_true", help="the long ones as well")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for one search")
    given = parser.parse_args()
    lacking = missing()
    if lacking:
        print(lacking)
        return 1
    unknown = set(given.names) - {one.name for one in SEARCHES}
    if unknown:
        print(f"There is no search {', '.join(sorted(unknown))}.")
        return 1
    wanted = [
        one
        for one in SEARCHES
        if (one.name in given.names if given.names else given.all or not one.long)
    ]
    surprises = 0
    with ThreadPoolExecutor(given.jobs) as pool:
        running = {
            pool.submit(search, one.defines, given.timeout, one.memory): one for one in wanted
        }
        for done in as_completed(running):
            surprises += _tell(running[done], done, story=bool(given.names))
    print(f"{len(wanted)} searches, {surprises} surprises")
    return 1 if surprises else 0


def _verdict(one: Search, found: Found) -> str:
    if found.broken != one.breaks:
        return f"SURPRISE: {found.broken or 'nothing'} found, not {one.breaks or 'nothing'}"
    if one.states and found.states != one.states:
        return f"SURPRISE: {found.states:,} states, not {one.states:,}"
    return f"breaks {found.broken}" if found.broken else "no violation"


def _tell(one: Search, done: Future[Found], *, story: bool) -> bool:
    """Print what a search found, and the story if it is wanted; return whether it surprises."""
    size, steps = "", []
    try:
        found = done.result()
    except NotSearched as error:
        verdict = f"SURPRISE: {error}"
    else:
        verdict, steps = _verdict(one, found), found.story
        size = f"{found.states:>12,} states {found.seconds:>6.0f} s"
    surprise = verdict.startswith("SURPRISE")
    print(f"{one.name:<22} {size:<29} {verdict}   [{one.defines}]", flush=True)
    if story or surprise:
        print("".join(f"    {step}\n" for step in steps), end="")
    return surprise


if __name__ == "__main__":
    sys.exit(main())
