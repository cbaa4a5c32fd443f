"""The reports of a coverage run: HTML, LCOV, Cobertura, JSON, changed lines, unstable lines."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from rustvmm_sessions.coverage.changed import find_changes
from rustvmm_sessions.rust.cargo import Cargo, machine
from tests.crates import CrateBuilder, new_crate
from tests.integration.coverage.measuring import parse_xml

# Line 5 is reached in every second run alone, line 7 in none.
LIB = """\
//! Counts its test runs in target/runs.

pub fn sign(x: i32) -> i32 {
    if x == 0 {
        return 0;
    } else if x < 0 {
        return -1;
    }
    1
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    #[test]
    fn counted() {
        let file = std::fs::OpenOptions::new().create(true).append(true).open("target/runs");
        file.as_ref().unwrap().write_all(b"x").unwrap();
        assert_eq!(super::sign(3), 1);
        let second = std::fs::metadata("target/runs").unwrap().len() % 2 == 0;
        super::sign(if second { 0 } else { 1 });
    }
}
"""
BACKENDS = ("cargo", "cargo-llvm-cov")
LOCK = 'version = 4\n\n[[package]]\nname = "sample"\nversion = "0.1.0"\n'


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    crate = new_crate(tmp_path_factory.mktemp("reports") / "crate").with_lib(LIB)
    return crate.with_file("Cargo.lock", LOCK).with_file("target/keep", "").with_git()


@pytest.fixture
def crate(built: CrateBuilder) -> CrateBuilder:
    """The crate as committed, with a build and no test run behind it."""
    built.git("reset", "--hard", "--quiet", built.git("rev-list", "--max-parents=0", "HEAD").strip())
    built.git("clean", "--force", "-d", "--quiet")
    return built.with_file("target/runs", "")


def runs(crate: CrateBuilder) -> int:
    return len((crate.directory / "target/runs").read_text())


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_reports_together_cost_one_test_run(crate: CrateBuilder, tmp_path: Path, backend: str) -> None:
    files = {option: tmp_path / option for option in ("lcov", "cobertura", "json")}
    options = [f"--{option}={path}" for option, path in files.items()]
    crate.coverage(f"--backend={backend}", "--html", "--diff=HEAD", *options)
    assert all(path.stat().st_size for path in files.values())
    assert runs(crate) == 1


# LCOV and Cobertura


@pytest.mark.parametrize("backend", BACKENDS)
def test_lcov_has_the_lines_that_were_reached(crate: CrateBuilder, tmp_path: Path, backend: str) -> None:
    outcome = crate.coverage(f"--backend={backend}", f"--lcov={tmp_path / 'o.info'}")
    lines = (tmp_path / "o.info").read_text().splitlines()
    assert f"LCOV report: {tmp_path / 'o.info'}" in outcome.out
    assert lines[0] == f"SF:{crate.directory}/src/lib.rs"
    assert [line for line in lines if re.fullmatch(r"DA:\d+,0", line)] == ["DA:5,0", "DA:7,0"]
    assert {"LF:15", "LH:13"} < set(lines)


def test_cobertura_has_the_lines_by_relative_paths(crate: CrateBuilder, tmp_path: Path) -> None:
    outcome = crate.coverage(f"--cobertura={tmp_path / 'o.xml'}")
    assert f"Cobertura report: {tmp_path / 'o.xml'}" in outcome.out
    elements = parse_xml((tmp_path / "o.xml").read_bytes())
    (totals,) = [found for tag, found in elements if tag == "coverage"]
    assert (totals["lines-valid"], totals["lines-covered"]) == ("15", "13")
    assert [found["filename"] for tag, found in elements if tag == "class"] == ["src/lib.rs"]
    assert {found["number"] for tag, found in elements if tag == "line" and found["hits"] == "0"} == {
        "5",
        "7",
    }


@pytest.mark.parametrize("option", ["--lcov", "--cobertura", "--json"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_built(
    crate: CrateBuilder, tmp_path: Path, option: str
) -> None:
    outcome = crate.coverage(f"{option}={tmp_path}/lost/report")
    assert outcome.code == 1
    assert f"--> {option}={tmp_path}/lost/report" in outcome.err
    assert "Traceback" not in outcome.text
    assert runs(crate) == 0


# JSON


def outcome_as_json(crate: CrateBuilder, *options: str) -> tuple[int, dict[str, object]]:
    path = crate.directory / "target/out.json"
    path.unlink(missing_ok=True)
    code = crate.coverage("--backend=cargo", f"--json={path}", *options).code
    return code, json.loads(path.read_text())


def expected(**differing: object) -> dict[str, object]:
    """Return the JSON of a run that is equal to tests/coverage, but for what is `differing`."""
    return {
        "schema": 1,
        "profile": "ci",
        "verdict": "equal",
        "passed": True,
        "wrote": False,
        "arch": machine(),
        "toolchain": Cargo(directory=Path.cwd()).toolchain.release,
        "backend": "cargo",
        "lines": {"covered": 13, "count": 15, "percent": pytest.approx(1300 / 15)},
        "recorded": {
            "source": "tests/coverage",
            "percent": 86.7,
            "covered": None,
            "count": None,
            "tolerance": 0,
        },
        "files": [{"path": "src/lib.rs", "covered": 13, "count": 15, "uncovered": [[5, 5], [7, 7]]}],
        "unstable": [],
        "diff": None,
        "members": [],
        **differing,
    }


def test_json_of_a_run_that_passes(crate: CrateBuilder) -> None:
    crate.with_record("86.7\n")
    assert outcome_as_json(crate) == (0, expected())


def test_json_of_a_run_that_records(crate: CrateBuilder) -> None:
    crate.with_record(f"80\n{machine()} 12/15 rustc-1.95.0\n").with_noxfile("coverage_reruns=0")
    recorded = {"source": "tests/coverage", "percent": 80, "covered": 12, "count": 15, "tolerance": 0}
    assert outcome_as_json(crate, "--profile=devel") == (
        0,
        expected(profile="devel", verdict="higher", wrote=True, recorded=recorded),
    )


def test_json_of_a_gate_that_fails(crate: CrateBuilder) -> None:
    crate.with_file(f"coverage_config_{machine()}.json", '{"coverage_score": 90.5}')
    crate.with_noxfile("coverage_reruns=0")
    recorded = {
        "source": "coverage_config",
        "percent": 90.5,
        "covered": None,
        "count": None,
        "tolerance": 0.5,
    }
    assert outcome_as_json(crate) == (1, expected(verdict="lower", passed=False, recorded=recorded))


def test_json_without_a_baseline(crate: CrateBuilder) -> None:
    recorded = {"source": "none", "percent": None, "covered": None, "count": None, "tolerance": None}
    assert outcome_as_json(crate) == (1, expected(verdict="none", passed=False, recorded=recorded))


def test_json_of_a_test_that_fails(crate: CrateBuilder) -> None:
    crate.with_record("86.7\n").with_lib(LIB.replace("sign(3), 1)", "sign(3), 2)"))
    assert outcome_as_json(crate) == (
        1,
        expected(verdict="none", passed=False, lines=None, files=[]),
    )


# Changed lines

MISSED = "pub fn {name}() -> u32 {{\n    1\n}}\n"


@pytest.fixture
def changed(crate: CrateBuilder) -> CrateBuilder:
    """The crate on a branch, with one untested function each committed, staged, unstaged and new."""
    crate.git("update-ref", "refs/remotes/origin/main", "HEAD")
    names = ("committed", "staged", "unstaged", "größe")
    for name in names[1:3]:
        crate.with_file(f"src/{name}.rs", "// empty\n")
    crate.with_file("src/committed.rs", "// line\n" + MISSED.format(name="committed")).commit("work")
    crate.with_file("src/staged.rs", MISSED.format(name="staged")).git("add", "--all")
    crate.with_file("src/unstaged.rs", MISSED.format(name="unstaged"))
    crate.with_file("src/größe.rs", MISSED.format(name="new"))
    return crate.with_lib(LIB + "".join(f'#[path = "{n}.rs"]\npub mod m{i};\n' for i, n in enumerate(names)))


CHANGED = (
    "0 of 12 lines covered, 0.00 %.\n"
    "  src/committed.rs:2-4\n"
    "  src/größe.rs:1-3\n"
    "  src/staged.rs:1-3\n"
    "  src/unstaged.rs:1-3\n"
)


@pytest.mark.parametrize("reference", ["--diff", "--diff=origin/main", "--diff=main"])
def test_diff_lists_uncovered_lines_of_all_changes_and_leaves_the_index_alone(
    changed: CrateBuilder, reference: str
) -> None:
    if reference == "--diff=main":
        changed.git("switch", "--quiet", "--create", "work")
        changed.git("branch", "--force", "main", "origin/main")
    index = (changed.directory / ".git/index").read_bytes()
    status = changed.git("status", "--porcelain")
    outcome = changed.coverage(reference)
    assert CHANGED in outcome.out
    assert (changed.directory / ".git/index").read_bytes() == index
    assert changed.git("status", "--porcelain") == status


def test_a_line_that_changed_in_the_second_of_its_commit_is_found(tmp_path: Path) -> None:
    crate = new_crate(tmp_path).with_git()
    crate.git("config", "core.trustctime", "false")
    source, then = crate.directory / "src/lib.rs", (10**9, 10**9)
    source.write_text("// one\n")
    os.utime(source, then)
    crate.commit("one")
    os.utime(crate.directory / ".git/index", then)
    source.write_text("// two\n")
    os.utime(source, then)

    assert find_changes(crate.directory, "HEAD").lines == {"src/lib.rs": frozenset({1})}


def test_diff_of_covered_lines_lists_none(crate: CrateBuilder) -> None:
    outcome = crate.with_lib(LIB.replace("    1\n", "    2 - 1\n")).coverage("--diff=HEAD")
    assert re.search(r"merge base with HEAD\): 1 of 1 line covered, 100\.00 %\.\nrecorded:", outcome.out)


def test_diff_of_a_crate_in_a_subfolder_names_files_from_the_crate(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crates/sample").with_lib("//! Nothing yet.\n")
    repository = CrateBuilder(tmp_path).with_git().with_file("other/src/lib.rs", MISSED.format(name="f"))
    crate.with_lib("#[test]\nfn works() {}\n\n" + MISSED.format(name="f"))
    outcome = crate.coverage("--diff=HEAD")
    assert "1 of 4 lines covered, 25.00 %.\n  src/lib.rs:4-6\n" in outcome.out
    assert "other/src" not in outcome.out
    assert repository.git("diff", "--cached", "--name-only") == ""


@pytest.mark.parametrize("reference", ["lost", "--upload-pack=x", "HEAD:src"])
def test_diff_with_an_unknown_reference_is_one_message(crate: CrateBuilder, reference: str) -> None:
    outcome = crate.coverage(f"--diff={reference}")
    assert outcome.code == 1
    assert f"{reference!r} names no commit of this repository" in outcome.err
    assert "git fetch origin" in outcome.err
    assert "Traceback" not in outcome.text


def test_diff_without_an_upstream_says_which_one_it_looked_for(crate: CrateBuilder) -> None:
    crate.git("remote", "add", "origin", str(crate.directory))
    outcome = crate.coverage("--diff", env={"BASE_BRANCH": "stable"})
    assert outcome.code == 1
    assert "'origin/stable' names no commit of this repository" in outcome.err
    crate.git("remote", "remove", "origin")
    outcome = crate.coverage("--diff")
    assert "this repository has no remote" in outcome.err
    assert "`--diff REF`" in outcome.err


def test_diff_in_a_shallow_clone_without_the_merge_base_says_shallow(
    crate: CrateBuilder, tmp_path: Path
) -> None:
    crate.git("switch", "--quiet", "--force-create", "work")
    crate.with_file("src/work.rs", "").commit("work")
    crate.git("switch", "--quiet", "main")
    crate.with_file("src/main_too.rs", "").commit("main too")
    url = f"file://{crate.directory}"
    crate.git(
        "clone", "--quiet", "--depth=1", "--no-single-branch", "--branch=work", url, str(tmp_path / "clone")
    )
    outcome = CrateBuilder(tmp_path / "clone").with_file("target/keep", "").coverage("--diff")
    assert outcome.code == 1
    assert "this clone is shallow: the merge base of HEAD and 'origin/main' is not in it" in outcome.err
    assert "git fetch --unshallow" in outcome.err


@pytest.mark.parametrize(
    ("record", "required", "code", "said"),
    [
        ("86.7", "25", 0, ""),
        ("86.7", "25.01", 1, "1 of 4 changed lines covered, 25.00 %; 25.01 % required"),
        ("99", "80", 1, "coverage is lower: 72.22 % measured, 99 % recorded; 1 of 4 changed lines covered"),
        ("50", "80", 1, "1 of 4 changed lines covered, 25.00 %; 80 % required"),
    ],
)
def test_too_few_covered_lines_of_a_change_fail_and_record_nothing(
    crate: CrateBuilder, record: str, required: str, code: int, said: str
) -> None:
    crate.with_record(f"{record}\n").with_noxfile("patch_coverage=100, coverage_reruns=0")
    crate.with_lib(LIB.replace("    1\n", "    2 - 1\n", 1) + MISSED.format(name="added"))
    report = crate.directory / "target/out.json"
    options = ("--profile=devel", *(["--allow-lower"] if record == "86.7" else []), f"--json={report}")
    outcome = crate.coverage(f"--diff-fail-under={required}", "--diff=HEAD", *options)
    content = json.loads(report.read_text())
    diff = content["diff"]
    assert (outcome.code, content["passed"], content["wrote"]) == (code, not code, not code), outcome.text
    assert (diff["covered"], diff["count"], diff["required"]) == (1, 4, float(required))
    assert (crate.record == f"{record}\n") is bool(code)
    assert said in outcome.err


def test_the_noxfile_may_ask_for_it_too(crate: CrateBuilder) -> None:
    crate.git("update-ref", "refs/remotes/origin/main", "HEAD")
    crate.with_record("86.7\n").with_noxfile("patch_coverage=80, coverage_reruns=0")
    outcome = crate.with_lib(LIB + MISSED.format(name="added")).coverage()
    assert "0 of 3 changed lines covered, 0.00 %; 80 % required" in outcome.err


@pytest.mark.parametrize(("upstream", "said"), [(True, "0 of 3 lines covered"), (False, "has no remote")])
def test_ci_looks_at_changed_lines_and_never_fails_for_them(
    crate: CrateBuilder, upstream: bool, said: str
) -> None:
    crate.git("update-ref", *([] if upstream else ["-d"]), "refs/remotes/origin/main", "HEAD")
    crate.with_lib(LIB + MISSED.format(name="added")).with_record("72.2\n")
    outcome = crate.coverage(env={"CI": "true"})
    assert outcome.code == 0, outcome.text
    assert said in outcome.out


@pytest.mark.parametrize("value", ["80%", "nan"])
def test_a_percentage_that_is_none_is_one_message(crate: CrateBuilder, value: str) -> None:
    outcome = crate.coverage(f"--diff-fail-under={value}")
    assert f"invalid percentage {value!r}" in outcome.err
    assert "Traceback" not in outcome.text


def test_diff_outside_of_git_says_so(tmp_path: Path) -> None:
    outcome = new_crate(tmp_path).coverage("--diff", env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})
    assert outcome.code == 1
    assert "this is not a git repository" in outcome.err


# Repeated runs


def test_repeat_names_the_lines_that_only_some_runs_reach(crate: CrateBuilder, tmp_path: Path) -> None:
    outcome = crate.coverage("--repeat=3", f"--json={tmp_path / 'out.json'}")
    assert runs(crate) == 3
    assert "13 to 14 lines are covered in 3 runs of the same build" in outcome.err
    assert "not every run reaches:\n  src/lib.rs:5\n" in outcome.err
    assert json.loads((tmp_path / "out.json").read_text())["unstable"] == [{"path": "src/lib.rs", "line": 5}]


@pytest.mark.parametrize("times", [2, 3])
def test_the_reports_of_repeated_runs_are_of_the_run_that_counts(
    crate: CrateBuilder, tmp_path: Path, times: int
) -> None:
    outcome = crate.coverage(f"--repeat={times}", f"--lcov={tmp_path / 'o.info'}")
    hit = re.findall(r"^LH:(\d+)$", (tmp_path / "o.info").read_text(), re.MULTILINE)
    assert f"measured: {hit[0]}/15 lines" in outcome.out


def test_repeat_says_that_all_runs_were_the_same(crate: CrateBuilder) -> None:
    outcome = crate.with_lib(LIB.replace("second {", "false {")).coverage("--repeat=2")
    assert "the same lines were reached in all 2 runs" in outcome.out


@pytest.mark.parametrize("times", ["0", "-1", "two", "1001"])
def test_repeat_takes_a_sensible_number(crate: CrateBuilder, times: str) -> None:
    outcome = crate.coverage(f"--repeat={times}")
    assert outcome.code == 1
    assert f"'{times}' is not a whole number from 1 to 1000" in outcome.err
    assert runs(crate) == 0


# Paths that the report and git have in different words


def changed_below(crate: CrateBuilder, name: str, *options: str) -> tuple[str, list[dict[str, Any]]]:
    """Add lines that no test reaches to a file; return what --diff says, and its JSON's files."""
    path = crate.directory / name
    path.write_text(path.read_text() + MISSED.format(name="added"))
    report = crate.directory / "target/out.json"
    report.parent.mkdir(exist_ok=True)
    outcome = crate.coverage("--diff=HEAD", f"--json={report}", *options)
    return outcome.out, json.loads(report.read_text())["diff"]["files"]


def test_diff_finds_the_lines_of_remapped_files(tmp_path: Path) -> None:
    crate = new_crate(tmp_path).with_git()
    flag = json.dumps([f"--remap-path-prefix={tmp_path}=/x"])
    crate.with_file(".cargo/config.toml", f"[build]\nrustflags = {flag}\n").commit("flags")
    said, found = changed_below(crate, "src/lib.rs", f"--cobertura={tmp_path}/target/out.xml")
    assert "  src/lib.rs:18-20\n" in said
    assert [(file["path"], file["covered"], file["uncovered"]) for file in found] == [
        ("src/lib.rs", 0, [[18, 20]])
    ]
    assert 'filename="src/lib.rs"' in (tmp_path / "target/out.xml").read_text()


def test_diff_from_a_member_and_of_a_member_beside_the_workspace(tmp_path: Path) -> None:
    top = CrateBuilder(tmp_path).with_git()
    crate = new_crate(tmp_path / "work/sample", options="workspace=True")
    package = '[package]\nname = "{}"\nversion = "0.1.0"\nedition = "2021"\n'
    crate.with_file("Cargo.toml", package.format("sample"))
    crate.with_file("../Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["sample", "../beside"]\n')
    top.with_file("beside/Cargo.toml", package.format("beside") + 'workspace = "../work"\n')
    top.with_file("beside/src/lib.rs", "#[test]\nfn works() {}\n\n")
    top.commit("both")
    for path in ("beside/src/lib.rs", "work/sample/src/lib.rs"):
        source = tmp_path / path
        source.write_text(source.read_text() + MISSED.format(name="added"))
    report = tmp_path / "out.json"
    said = crate.coverage("--diff=HEAD", f"--json={report}", f"--cobertura={tmp_path}/out.xml").out
    found = json.loads(report.read_text())["diff"]["files"]
    assert [file["path"] for file in found] == ["beside/src/lib.rs", "work/sample/src/lib.rs"]
    assert "  beside/src/lib.rs:" in said
    assert "  src/lib.rs:" in said
    assert 'filename="beside/src/lib.rs"' in (tmp_path / "out.xml").read_text()


def test_diff_names_a_changed_source_that_the_report_does_not_know(tmp_path: Path) -> None:
    crate = new_crate(tmp_path).with_file("src/größe.rs", "").with_git()
    said, found = changed_below(crate, "src/größe.rs")
    assert found == []
    assert "No line that can be covered was changed" not in said
    assert "not in the report, as tests and what is left out are not: src/größe.rs" in said
