"""Measure what shares of a feature matrix save: ``nox -s speed -- shares``.

The session runs whole, and then each share in a checkout of its own, as on an agent of its own, with
nothing built before. They run one after the other, and processor time counts, so that neighbours on the
machine do not matter; of agents side by side the one that works longest decides.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.rust import durations
from tests.field.published import PINNED, published
from tests.perf.timing import Way, machine_line, seconds, table

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 0.45


def cpu_seconds(crate: str, directory: Path, session: str, words: Sequence[str], results: Path) -> float:
    """Return the processor time that a session takes in a new checkout."""
    unlimited = f'overrides={{"{session}": {{"timeout_minutes": 600}}}}'
    checkout = published(crate, directory).with_noxfile(unlimited)
    env = {"RUSTVMM_RESULTS": str(results), "CARGO_TARGET_DIR": str(directory / "target")}
    command = ["nox", "-s", session, *(["--", *words] if words else [])]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds(Way(name=session, command=command, cwd=checkout.directory, env=env, check=True))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table; exit 1 where shares take too long."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--crate", choices=PINNED, default="vm-memory")
    parser.add_argument("--session", default="unit-tests")
    parser.add_argument("--shares", type=int, default=3)
    parser.add_argument("--figures", action="store_true", help="divide by what the whole run took")
    given = parser.parse_args()
    print(machine_line(), flush=True)
    with tempfile.TemporaryDirectory(prefix="rustvmm-shares-") as name:
        place = Path(name)
        whole = cpu_seconds(given.crate, place / "whole", given.session, (), place / "results")
        took = durations.packed(durations.kept(place / "results", given.session)) if given.figures else ""
        shares = [
            cpu_seconds(
                given.crate,
                place / f"share-{number}",
                given.session,
                ["--partition", f"{number}/{given.shares}{took and f':{took}'}"],
                place / "shares",
            )
            for number in range(1, given.shares + 1)
        ]
    ratio = max(shares) / whole
    rows = [("whole", whole), *((f"share {number}", share) for number, share in enumerate(shares, 1))]
    for line in table({"": what, "processor time, s": f"{took:.0f}"} for what, took in rows):
        print(line)
    print(f"{os.linesep}the longest share takes {ratio:.2f} of the whole (wanted: {LIMIT} for 3)")
    if given.shares == 3 and ratio > LIMIT:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
