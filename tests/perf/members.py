"""Time what members cost, paired: ``nox -s speed -- members``.

Four published crates are joined as in rust-vmm's monorepo, and their coverage is recorded. Coverage of all
is timed against ``cargo llvm-cov test`` started in each folder one after the other, each in a wiped target
directory of its own, as rust-vmm-ci does; the gate after a change in one leaf member, with ``--changed``,
against the whole gate.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import statistics
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.tools import find_cargo_llvm_cov, need_llvm_tools
from tests.crates import REPOSITORY
from tests.field.published import JOINED, joined
from tests.field.test_published_coverage import config_of
from tests.perf.timing import Way, alternate, machine_line, ratio, table

if TYPE_CHECKING:
    from tests.crates import CrateBuilder

LIMITS = {"cold": 0.6, "warm": 0.3, "changed": 0.15}
LEAF = "vm-device/src/lib.rs"
SESSIONS = ("fmt", "clippy", "build-gnu", "doc", "unit-tests", "unit-tests-release", "coverage")
"""The gate without what needs a musl target or the network."""


def in_each_folder(crate: CrateBuilder, target: Path) -> Way:
    """Return rust-vmm-ci's way: a wiped build, then each crate in its folder with its own features."""
    llvm, tool = need_llvm_tools(Cargo(directory=crate.directory)), find_cargo_llvm_cov()
    if tool is None:
        raise SystemExit("cargo-llvm-cov is missing: install the extra `tools`")
    steps = []
    for name in JOINED:
        features = config_of(replace(crate, directory=crate.directory / name)).get("crate_features")
        words = [str(tool.path), "llvm-cov", "test", "--json", "--summary-only"]
        words += [f"--features={features}"] if features else []
        steps.append(f"(cd {name} && CARGO_TARGET_DIR={shlex.quote(str(target / name))} {shlex.join(words)})")
    return Way(
        name="each folder",
        command=["sh", "-c", " && ".join(steps)],
        cwd=crate.directory,
        env={"LLVM_COV": str(llvm.cov), "LLVM_PROFDATA": str(llvm.profdata)},
        prepare=partial(shutil.rmtree, target, ignore_errors=True),
        check=True,
    )


def main() -> None:
    """Print the table in Markdown, and say where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        crate, ours = joined(place / "monorepo"), place / "ours"
        nox = [sys.executable, "-m", "nox", "-s"]
        env = {"CARGO_TARGET_DIR": str(ours), "PYTHONPATH": str(REPOSITORY)}
        crate.coverage("--profile", "devel")  # what differs from a record is measured several times
        crate.commit("record the coverage")
        leaf = crate.directory / LEAF
        before = leaf.read_text()

        def touch() -> None:
            leaf.write_text(f"{leaf.read_text()}// more\n")

        cold = Way(
            name="cold",
            command=[*nox, "coverage"],
            cwd=crate.directory,
            env=env,
            prepare=partial(shutil.rmtree, ours, ignore_errors=True),
        )
        warm = replace(cold, name="warm", prepare=lambda: None)
        whole = replace(warm, name="whole gate", command=[*nox, *SESSIONS], prepare=touch)
        changed = replace(whole, name="changed", command=[*whole.command, "--", "--changed", "HEAD"])
        times = alternate([in_each_folder(crate, place / "theirs"), cold, warm], rounds)
        leaf.write_text(before)
        alternate([whole], 1)  # builds that both keep
        times |= alternate([whole, changed], rounds)
    ratios = {name: ratio(times, name, "each folder") for name in ("cold", "warm")}
    ratios["changed"] = ratio(times, "changed", "whole gate")
    print(f"{machine_line()}, medians of {rounds} rounds\n")
    for line in table(
        {
            "way": name,
            "seconds": f"{statistics.median(values):.2f}",
            "ratio": f"{ratios[name]:.2f}" if name in ratios else "",
        }
        for name, values in times.items()
    ):
        print(line)
    for name, limit in LIMITS.items():
        if ratios[name] > limit:
            sys.stderr.write(f"{name}: {ratios[name]:.2f} is over {limit}\n")


if __name__ == "__main__":
    main()
