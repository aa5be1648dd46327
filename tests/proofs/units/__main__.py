"""`python -m tests.proofs.units [BYTES …]`: the units a message of each path, and their takers."""

import sys

from tests.proofs.units.paths import BODY_BYTES, Part, measure


def main(sizes: list[int]) -> None:
    """Print what each path takes for bodies of each size."""
    for size in sizes:
        print(f"Bodies of {size:,} bytes")
        for part in measure(size):
            _tell(part)


def _tell(part: Part) -> None:
    print(f"\n  {part.name}: {part.write_units:.1f} write, {part.read_units:.1f} read units")
    for place in sorted(part.bill.by_place()):
        key, units = part.bill.hottest(place)
        share = units / part.bill.by_place()[place] if part.at(place) else 0
        print(f"    {place:24}{part.at(place):6.2f}   hottest key {key[:24]:24} {share:4.0%}")
    for (writer, place), units in sorted(part.bill.by_writer().items(), key=lambda one: -one[1]):
        print(f"      {units / part.messages:6.2f}  {place:24}{writer}")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [BODY_BYTES])
