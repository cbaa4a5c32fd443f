"""Hold the sessions against cargo, rustdoc and cargo-llvm-cov on generated workspaces.

Cases are numbered, each a workspace, checks and edits. A difference is made smaller, printed as a
case that can be run again, and kept with its workspace.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crates import REPOSITORY as LIBRARY
from tests.differential import compare, generate, workspace
from tests.differential.render import REPOSITORY
from tests.differential.shrink import shrink
from tests.differential.workspace import Case, Check

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.differential.oracles import Tools


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201


def known_options(place: Path, tools: Tools) -> dict[str, str]:
    """Return the help of each session."""
    sample = Case(
        workspace=workspace.Workspace(packages=(workspace.Package(name="a", folder="."),)), steps=()
    )
    compare.run(sample, place, tools)
    helps = {}
    for name in generate.SESSIONS:
        words = [sys.executable, "-m", "nox", "-s", name, "--", "--help"]
        done = subprocess.run(
            words,
            cwd=place / "own" / REPOSITORY,
            env={**tools.environment, "PYTHONPATH": str(LIBRARY)},
            capture_output=True,
            text=True,
            check=False,
        )
        helps[name] = done.stdout
    return helps


def possible(case: Case, helps: dict[str, str], sessions: Collection[str]) -> Case:
    """Return the case with checks of these sessions alone, and of options that they have."""
    steps = [
        step
        for step in case.steps
        if not isinstance(step, Check)
        or (
            step.session in sessions
            and all(word.partition("=")[0] in helps[step.session] for word in step.options if word[0] == "-")
        )
    ]
    return Case(workspace=case.workspace, steps=tuple(steps))


def smaller(case: Case, found: compare.Difference, place: Path, tools: Tools, *, until: float) -> Case:
    """Return a small case with the same difference."""

    def same(trial: Case) -> bool:
        if time.monotonic() > until:
            return False
        other = compare.run(trial, place, tools).difference
        return other is not None and (other.check.session, other.kind) == (found.check.session, found.kind)

    return shrink(case, same)


def main() -> int:
    """Run cases until the time is up; the status says whether a difference was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=5, help="how long (default: 5)")
    add("--seed", type=int, default=1, help="the number of the first case (default: 1)")
    add(
        "--sessions",
        nargs="+",
        choices=generate.SESSIONS,
        default=generate.SESSIONS,
        help="of which sessions",
    )
    add("--cases", type=int, help="how many cases at most")
    add(
        "--shrink-minutes",
        type=float,
        default=4,
        help="how long a difference may take to shrink (default: 4)",
    )
    add("--keep", type=Path, help="folder for what differs (default: a temporary one)")
    given = parser.parse_args()
    place = given.keep or Path(tempfile.mkdtemp(prefix="differential-"))
    place.mkdir(parents=True, exist_ok=True)
    tools = compare.tools(place)
    helps = known_options(place / "options", tools)
    started = time.monotonic()
    comparisons = cases = 0
    kinds: Counter[str] = Counter()
    for seed in itertools.count(given.seed):
        if time.monotonic() - started > 60 * given.minutes or cases == given.cases:
            break
        case = possible(generate.case(seed), helps, given.sessions)
        if not any(isinstance(step, Check) for step in case.steps):
            continue
        result = compare.run(case, place / "trial", tools)
        cases += 1
        comparisons += result.comparisons
        found = result.difference
        say(
            f"{seed}: {result.comparisons} comparisons"
            + (f", {found.check.session}: {found.kind}" if found else "")
        )
        if found:
            kinds[f"{found.check.session}: {found.kind}"] += 1
            until = time.monotonic() + 60 * given.shrink_minutes
            small = smaller(case, found, place / "shrinking", tools, until=until)
            again = compare.run(small, place / f"seed-{seed}", tools).difference or found
            text = (
                f"seed {seed}\n{small!r}\n{again.check!r}\n{again.kind}: expected {again.expected}\n"
                f"found {again.found}\n\n{again.output}\n"
            )
            (place / f"seed-{seed}.txt").write_text(text)
            say(text[:6000])
    minutes = (time.monotonic() - started) / 60
    said = f"{cases} workspaces, {comparisons} comparisons, {minutes:.0f} minutes"
    say(f"{said}, {kinds.total()} differences in {place}")
    for kind, count in kinds.most_common():
        say(f"  {count} x {kind}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main())
