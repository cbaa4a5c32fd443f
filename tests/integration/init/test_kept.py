"""What init leaves as it is, what it says is left to do, and how it asks."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions import catalog
from tests.crates import MANIFEST, REPOSITORY, CrateBuilder
from tests.integration.init.repositories import COMMAND, init, written

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_left_to_do_is_of_the_ci_that_the_crate_has(crate: CrateBuilder) -> None:
    none = init(crate, "--dry-run").out
    assert "No CI runs the sessions yet: `rustvmm-sessions init --github`" in none
    assert "webhook" not in none

    github = init(crate, "--yes", "--github").out + init(crate, "--yes").out
    assert "No CI" not in github
    assert "webhook" not in github

    crate.with_file(".buildkite/hooks/pre-command", "true\n")
    buildkite = init(crate, "--yes").out
    assert "let `rustvmm-sessions init --buildkite` write .buildkite/pipeline.yml; then, in" in buildkite
    crate.with_file(".buildkite/pipeline.yml", "steps: []\n")
    assert "add a step to .buildkite/pipeline.yml that runs `nox -s pipeline" in init(crate, "--yes").out
    written = init(crate, "--yes", "--buildkite", "--replace=.buildkite/pipeline.yml").out
    for said in (buildkite, written, init(crate, "--yes").out):
        assert "ask an admin" not in said
        assert "`buildkite-agent pipeline upload`" in said


def test_a_repository_without_buildkite_needs_an_admin_for_its_pipeline(crate: CrateBuilder) -> None:
    assert "add its webhook" in init(crate, "--dry-run", "--buildkite").out


def test_members_that_are_judged_by_themselves_get_their_records(crate: CrateBuilder) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["one"]\nresolver = "2"\n')
    crate.with_file("one/Cargo.toml", MANIFEST.format(name="one").replace("\n[workspace]\n", ""))
    crate.with_file("one/src/lib.rs", "")
    crate.with_file("one/coverage_config_x86_64.json", '{"coverage_score": 7}')

    said = init(crate, "--dry-run").out

    assert "nox -s coverage -- --profile devel && git add '*/tests/coverage'\n" in said


def test_each_file_of_rust_vmm_ci_is_named_with_what_becomes_of_it(crate: CrateBuilder) -> None:
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["one"]\nresolver = "2"\n')
    crate.with_file("one/Cargo.toml", MANIFEST.format(name="one").replace("\n[workspace]\n", ""))
    crate.with_file("one/src/lib.rs", "").with_file(
        "one/coverage_config_x86_64.json", '{"coverage_score": 7}'
    )
    for name, text in (("x86_64", '{"coverage_score": 80.5}'), ("aarch64", "{}")):
        crate.with_file(f"coverage_config_{name}.json", text)
    own = [{"test_name": f"t{number}", "command": "true"} for number in range(10)]
    old = {"test_name": "cov", "command": 'pytest $(find . -type f -name "test_coverage.py")'}
    for name, tests in (("a", [*own, old]), ("b", []), ("c", [{"test_name": "x"}])):
        crate.with_file(f".buildkite/{name}.json", json.dumps({"tests": tests}))
    crate.with_file(".platform", "x86_64\n").with_file(
        ".gitmodules", '[submodule "rust-vmm-ci"]\n\tpath = ci\n\turl = https://example.com/x\n'
    )

    said = init(crate, "--dry-run").out.partition("Found of rust-vmm-ci")[2].partition("Left to do")[0]

    until = "the baseline until there is tests/coverage; its exclude_path and crate_features hold then, too"
    assert said.splitlines()[1:] == [
        f"- coverage_config_aarch64.json (coverage_score none): {until}",
        f"- coverage_config_x86_64.json (coverage_score 80.5): {until}",
        "- one/coverage_config_x86_64.json (coverage_score 7): of a member, which is judged by it",
        "- .platform (x86_64): stays; it says what the pipeline has steps for",
        "- .buildkite/a.json: standard sessions take the place of cov (coverage); "
        "its tests are sessions: t0, t1, t2, t3, t4, t5, t6, t7 and 2 more",
        "- .buildkite/b.json: left out of the noxfile, as it has no test",
        "- .buildkite/c.json: left out of the noxfile, for what is said above",
        "- ci: the submodule, which the sessions do not need; removed last",
    ]
    init(crate, "--yes")
    assert "Found of rust-vmm-ci" not in init(crate, "--yes").out


@pytest.mark.parametrize(
    "command",
    [
        'cd x && pytest $(find .. -type f -name "test_coverage.py")',
        'ROOT=$$PWD && cd x && pytest $(find "$$ROOT" -path "*/integration_tests/test_coverage.py")',
        "pytest $(find . -name 'test_com*')",
        "find . -name test_benchmark.py | xargs pytest",
        "python3 $(find . -name test_run.py)",
        "./ci/anything",
    ],
)
def test_calls_of_the_submodule_are_known_in_any_form(crate: CrateBuilder, command: str) -> None:
    crate.with_file(".gitmodules", '[submodule "rust-vmm-ci"]\n\tpath = ci\n\turl = https://example.com/x\n')
    tests = [
        {"test_name": "old", "command": command},
        {"test_name": "new", "command": "pytest test_run_x.py"},
    ]
    crate.with_file(".buildkite/custom-tests.json", json.dumps({"tests": tests}))

    assert "- Custom tests that call rust-vmm-ci: old; docs/" in init(crate, "--dry-run").out


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (6, None),
        (8, "would run cargo 256 times: register(depth=3) in noxfile.py makes that 94 "),
        (40, "would run cargo far too many times: register(depth=1) in noxfile.py makes that 42 "),
    ],
)
def test_a_crate_of_many_features_is_told_how_to_combine_fewer(
    crate: CrateBuilder, count: int, said: str | None
) -> None:
    names = "".join(f"f{number} = []\n" for number in range(count))
    crate.with_file("Cargo.toml", MANIFEST.format(name="sample") + f"\n[features]\n{names}")
    outcome = init(crate, "--yes")
    assert outcome.code == 0, outcome.text
    assert (said or "Left to do:") in outcome.out
    assert ("Combine fewer" in outcome.out) == (said is not None)
    assert "Combine fewer" not in init(crate, "--yes").out  # the noxfile may say so by now


def test_a_misspelt_table_is_corrected_before_features_are_combined(crate: CrateBuilder) -> None:
    names = "".join(f"f{number} = []\n" for number in range(8))
    manifest = MANIFEST.format(name="sample") + f"\n[features]\n{names}"
    crate.with_file("Cargo.toml", f"{manifest}\n[package.metadata.cargo-all-feature]\ndenylist = []\n")
    outcome = init(crate, "--dry-run").out
    assert (
        "Correct the tables that limit the feature matrix:\n    sample: [package.metadata.cargo-all"
        in outcome
    )
    assert "Combine fewer" not in outcome


def test_a_noxfile_without_a_feature_matrix_needs_no_depth(crate: CrateBuilder) -> None:
    names = "".join(f"f{number} = []\n" for number in range(8))
    crate.with_file("Cargo.toml", MANIFEST.format(name="sample") + f"\n[features]\n{names}")
    aliases = [session.alias for session in catalog.STANDARD if session.matrix]
    tests = [{"test_name": name, "command": "cargo x"} for name in (*aliases, "style", "doc")]
    crate.with_file(".buildkite/tests.json", json.dumps({"tests": tests}))
    outcome = init(crate, "--dry-run").out
    assert '"clippy",' in outcome
    assert "Combine fewer" not in outcome


def test_a_file_that_differs_is_kept_and_shown_and_replaced_only_by_name(crate: CrateBuilder) -> None:
    crate.with_file("noxfile.py", "import nox\n").with_file(".platform", "x86_64").commit("own")

    outcome = init(crate, "--yes")

    assert outcome.code == 0
    assert "Kept: noxfile.py is not what it would be; `--replace noxfile.py` makes it so:" in outcome.out
    assert "-import nox\n" not in outcome.out.partition("Kept:")[0]
    assert (crate.directory / "noxfile.py").read_text() == "import nox\n"
    assert (crate.directory / ".platform").read_text() == "x86_64"
    init(crate, "--yes", "--replace", "noxfile.py")
    assert "register(" in (crate.directory / "noxfile.py").read_text()
    assert (crate.directory / ".platform").read_text() == "x86_64"


def test_a_platform_that_is_named_twice_is_one(crate: CrateBuilder) -> None:
    init(crate, "--yes", "--platforms", "riscv64", "x86_64", "riscv64")

    assert (crate.directory / ".platform").read_text() == "riscv64\nx86_64\n"


def test_a_file_that_is_not_planned_cannot_be_replaced(crate: CrateBuilder) -> None:
    outcome = init(crate, "--yes", "--replace", "noxfil.py")

    assert outcome.code == 2
    assert "did you mean 'noxfile.py'?" in outcome.err
    assert written(crate) == []


@pytest.mark.parametrize("options", [[], ["--publish"]])
def test_without_terminal_and_yes_nothing_is_written(crate: CrateBuilder, options: list[str]) -> None:
    outcome = init(crate, *options)

    assert outcome.code == 2
    assert "+crate = register()" in outcome.out
    assert "there is no terminal to ask on: nothing is written" in outcome.err
    assert written(crate) == []


def test_a_dry_run_shows_and_writes_nothing(crate: CrateBuilder) -> None:
    outcome = init(crate, "--dry-run", "--yes")

    assert outcome.code == 0
    assert "+crate = register()" in outcome.out
    assert written(crate) == []


def test_a_dry_run_is_a_patch_that_makes_what_would_be_written(crate: CrateBuilder, tmp_path: Path) -> None:
    crate.with_file("noxfile.py", "import nox").with_file(".github/dependabot.yml", "version: 2\n").commit(
        "c"
    )
    options = ["--github", "--replace", "noxfile.py", "--replace", ".github/dependabot.yml"]

    (tmp_path / "patch").write_text(init(crate, "--dry-run", *options).out)

    crate.git("apply", str(tmp_path / "patch"))
    assert "Nothing to write." in init(crate, "--github").out


def test_a_file_that_only_ends_its_lines_otherwise_is_shown_so(crate: CrateBuilder) -> None:
    init(crate, "--yes")
    noxfile = crate.directory / "noxfile.py"
    noxfile.write_text(noxfile.read_text().replace("\n", "\r\n"))

    outcome = init(crate, "--dry-run")

    assert "\n-import nox\\r\n" in outcome.out
    assert "\n+import nox\n" in outcome.out


@pytest.mark.parametrize(("answer", "count"), [("y", 3), ("yes", 3), ("", 0), ("n", 0), ("\x04", 0)])
def test_on_a_terminal_it_asks(crate: CrateBuilder, answer: str, count: int) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        COMMAND,
        cwd=crate.directory,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdin=follower,
        stdout=subprocess.PIPE,
    ) as process:
        os.write(leader, answer.encode() + b"\n")
        out = process.communicate(timeout=60)[0].decode()
    os.close(leader)
    os.close(follower)

    assert process.returncode == 0
    assert "? [y/N]" in out
    assert len(written(crate)) == count


def test_what_cannot_be_written_leaves_nothing_behind(crate: CrateBuilder) -> None:
    crate.with_file(".github", "a file where a folder is needed\n").commit("in the way")

    outcome = init(crate, "--yes")

    assert outcome.code == 2
    assert "Traceback" not in outcome.text
    assert written(crate) == []


def test_a_link_out_of_the_repository_is_not_followed(crate: CrateBuilder, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (crate.directory / ".github").symlink_to(tmp_path / "outside")

    outcome = init(crate, "--yes")

    assert outcome.code == 2
    assert "a symbolic link leads out of the repository" in outcome.err
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (crate.directory / "noxfile.py").exists()


def test_success_without_a_reader_means_that_all_is_written(crate: CrateBuilder) -> None:
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run([*COMMAND, "--yes"], cwd=crate.directory, stdout=write, check=False)

    os.close(write)
    assert done.returncode == 0
    assert written(crate) == [".github/dependabot.yml", ".platform", "noxfile.py"]


def test_interrupted_it_writes_all_or_nothing(crate: CrateBuilder) -> None:
    for wait in (0.05, 0.15, 0.25, 0.3, 0.35, 0.4):
        process = subprocess.Popen(
            [*COMMAND, "--yes"],
            cwd=crate.directory,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(wait)
        process.terminate()
        process.wait()

        assert written(crate) in ([], [".github/dependabot.yml", ".platform", "noxfile.py"])
        crate.git("clean", "--quiet", "--force", "-d")
