"""Members by themselves: the integers of ``cargo llvm-cov test`` started in the folder of each."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rustvmm_sessions.rust.cargo import machine
from tests.crates import CrateBuilder, Outcome
from tests.integration.coverage.measuring import BACKENDS, Counts, directly, parse_xml

CORE = """\
pub fn small(number: u32) -> bool {
    if number < 10 {
        return true;
    }
    false
}

pub fn never() -> u32 {
    7
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_small() {
        assert!(super::small(3));
    }
}
"""
CHOOSING = """\
#[cfg(all(feature = "xen", feature = "postcopy"))]
compile_error!("xen and postcopy exclude each other");

#[cfg(feature = "xen")]
pub fn name() -> &'static str {
    "xen"
}

#[cfg(feature = "postcopy")]
pub fn name() -> &'static str {
    "postcopy"
}

pub fn size() -> bool {
    core_parts::small(12)
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_has_a_size() {
        assert!(!super::size());
        #[cfg(any(feature = "xen", feature = "postcopy"))]
        assert!(super::name().len() > 2);
    }
}
"""
EXCLUDING = """\
mod generated;

pub fn twice(number: u32) -> u32 {
    generated::once(number) * 2
}

#[test]
fn it_doubles() {
    assert_eq!(twice(2), 4);
}
"""
MEMBERS = ("core-parts", "choosing", "excluding", "shapes", "user")
CORE_DEPENDENCY = '[dependencies]\ncore-parts = { path = "../core-parts" }\n'


def manifest(name: str, rest: str = "") -> str:
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n\n{rest}'


def write(crate: CrateBuilder) -> CrateBuilder:
    listed = json.dumps([*MEMBERS, "untested"])
    crate.with_file("Cargo.toml", f'[workspace]\nresolver = "2"\nmembers = {listed}\n')
    crate.with_file("core-parts/Cargo.toml", manifest("core-parts")).with_file("core-parts/src/lib.rs", CORE)
    features = "[features]\nxen = []\npostcopy = []\n"
    crate.with_file("choosing/Cargo.toml", manifest("choosing", features + CORE_DEPENDENCY))
    crate.with_file("choosing/src/lib.rs", CHOOSING)
    crate.with_file("excluding/Cargo.toml", manifest("excluding")).with_file(
        "excluding/src/lib.rs", EXCLUDING
    )
    crate.with_file(
        "excluding/src/generated.rs", "pub fn once(number: u32) -> u32 {\n    number\n}\n\npub fn no() {}\n"
    )
    crate.with_file(
        f"excluding/coverage_config_{machine()}.json",
        '{"coverage_score": 100, "exclude_path": "generated.rs"}',
    )
    crate.with_file("untested/Cargo.toml", manifest("untested"))
    crate.with_file("untested/src/lib.rs", "pub fn it() -> u32 {\n    1\n}\n")
    crate.with_files_of("everything/everything", "shapes").with_files_of("everything/everything", "user")
    return crate.with_noxfile('coverage_features={"choosing": [["xen"], ["postcopy"]]}')


def in_folder(crate: CrateBuilder, member: str) -> Counts:
    """Return what cargo-llvm-cov counts, started in the member's folder."""
    there = replace(crate, directory=crate.directory / member)
    if member == "choosing":
        return directly(there, sets=("xen", "postcopy"))
    options = ("--ignore-filename-regex=generated.rs",) if member == "excluding" else ()
    return directly(there, "--all-features", *options)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    return write(CrateBuilder(tmp_path_factory.mktemp("members") / "members")).with_git()


@pytest.fixture(scope="module")
def yardstick(built: CrateBuilder) -> dict[str, Counts]:
    write(built)
    return {member: in_folder(built, member) for member in MEMBERS}


@pytest.fixture
def crate(built: CrateBuilder) -> CrateBuilder:
    for record in built.directory.glob("**/tests/coverage"):
        record.unlink()
    return write(built)


def coverage(crate: CrateBuilder, *options: str) -> tuple[Outcome, dict[str, Any]]:
    report = crate.directory / "target" / "out.json"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    outcome = crate.coverage(*options, f"--json={report}")
    return outcome, json.loads(report.read_text()) if report.exists() else {}


def counts(member: dict[str, Any]) -> Counts:
    return {file["path"]: (file["covered"], file["count"]) for file in member["files"]}


def records(crate: CrateBuilder) -> list[str]:
    return sorted(path.parts[-3] for path in crate.directory.glob("*/tests/coverage"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_member_has_the_figure_of_its_own_folder(
    crate: CrateBuilder, yardstick: dict[str, Counts], backend: str
) -> None:
    for _ in ("cold", "warm"):
        outcome, result = coverage(crate, f"--backend={backend}", "--profile=devel", "--exclude=untested")
        assert outcome.code == 0, outcome.text
        assert {member["package"]: counts(member) for member in result["members"]} == yardstick
    assert records(crate) == sorted(MEMBERS)
    assert (result["lines"], result["recorded"], result["verdict"]) == (None, None, "equal")


def test_a_member_that_fails_keeps_no_other_from_being_measured_and_recorded(crate: CrateBuilder) -> None:
    crate.with_file("choosing/src/lib.rs", CHOOSING.replace("assert!(!", "assert!("))
    outcome, result = coverage(crate, "--profile=devel")
    assert outcome.code == 1
    assert "coverage of choosing, untested failed; 4 of 6 passed" in outcome.err
    assert records(crate) == sorted(set(MEMBERS) - {"choosing"})
    assert {member["package"]: member["passed"] for member in result["members"]} == {
        **dict.fromkeys(MEMBERS, True),
        "choosing": False,
        "untested": False,
    }
    assert (result["passed"], result["wrote"], result["verdict"]) == (False, True, "none")
    rows = [line for line in outcome.out.splitlines() if "git add core-parts/tests/coverage" in line]
    assert rows[-1].split()[0] == "core-parts"


def test_members_that_are_named_are_judged_and_no_others(crate: CrateBuilder) -> None:
    outcome, result = coverage(crate, "--profile=devel", "--package=user", "--package=core-parts/")
    assert outcome.code == 0, outcome.text
    assert [member["package"] for member in result["members"]] == ["core-parts", "user"]
    outcome, _ = coverage(crate, "--package=chosing")
    assert outcome.code == 1
    assert "did you mean 'choosing'?" in outcome.err


def test_where_nothing_changed_nothing_is_built(crate: CrateBuilder) -> None:
    crate.commit("everything")
    outcome, result = coverage(crate, "--changed=HEAD")
    assert outcome.code == 0, outcome.text
    assert "Nothing to measure." in outcome.out
    assert "cargo test" not in outcome.text
    assert (result["passed"], result["members"], result["lines"]) == (True, [], None)
    crate.with_file("excluding/src/lib.rs", EXCLUDING + "\n")
    _, result = coverage(crate, "--changed=HEAD", "--profile=devel")
    assert [member["package"] for member in result["members"]] == ["excluding"]


def test_a_record_at_the_top_is_judged_as_well(crate: CrateBuilder) -> None:
    crate.with_noxfile("members=True, coverage_features=[[]]").with_record("1.0\n")
    outcome, result = coverage(crate, "--exclude=untested", "--profile=devel")
    assert outcome.code == 0, outcome.text
    assert result["lines"] is None  # members are named
    outcome, result = coverage(crate)
    assert outcome.code == 1
    assert counts(result) == directly(crate, "--workspace")
    assert result["recorded"]["percent"] == 1.0
    assert (result["verdict"], [m["verdict"] for m in result["members"]]) == (
        "none",
        [*["equal"] * 5, "none"],
    )
    assert "coverage of untested, the workspace failed; 5 of 7 passed" in outcome.err


def test_reports_hold_all_members(crate: CrateBuilder, tmp_path: Path) -> None:
    lcov, pages = tmp_path / "lcov.info", tmp_path / "pages"
    names = ("--package=core-parts", "--package=excluding")
    report = tmp_path / "cobertura.xml"
    files = (f"--lcov={lcov}", f"--cobertura={report}", f"--html={pages}")
    outcome, result = coverage(crate, "--profile=devel", *names, *files)
    assert outcome.code == 0, outcome.text
    sources = [line[3:] for line in lcov.read_text().splitlines() if line.startswith("SF:")]
    found = [file["path"] for member in result["members"] for file in member["files"]]
    assert [Path(name).relative_to(crate.directory).as_posix() for name in sources] == found
    elements = parse_xml(report.read_bytes())
    assert sorted(each["filename"] for tag, each in elements if tag == "class") == sorted(found)
    (totals,) = [each for tag, each in elements if tag == "coverage"]
    lines = [line.partition(":") for line in lcov.read_text().splitlines()]
    assert totals["lines-valid"] == str(sum(int(count) for key, _, count in lines if key == "LF"))
    assert totals["lines-covered"] == str(sum(int(count) for key, _, count in lines if key == "LH"))
    for name in ("core-parts", "excluding"):
        assert f'href="members/{name}/index.html"' in (pages / "index.html").read_text()
        page = (pages / "members" / name / "index.html").read_text()
        assert 'href="../../index.html"' in page
        assert len(re.findall(r'href="files/[^"]*"', page)) == len(
            list((pages / "members" / name).rglob("*.rs.html"))
        )


def test_changed_lines_are_those_of_all_members_together(crate: CrateBuilder, tmp_path: Path) -> None:
    crate.with_file("core-parts/src/lib.rs", CORE.replace("    7\n", "    8\n"))
    crate.with_file("excluding/src/lib.rs", EXCLUDING.replace("* 2", "* 2 + 0"))
    crate.with_file("excluding/src/generated.rs", "pub fn once(number: u32) -> u32 {\n    number + 0\n}\n")
    names = ("--package=core-parts", "--package=excluding", "--package=user")
    report = tmp_path / "cobertura.xml"

    outcome, result = coverage(crate, "--profile=devel", *names, "--diff=HEAD", f"--cobertura={report}")

    assert outcome.code == 0, outcome.text
    files = {file["path"]: (file["covered"], file["count"]) for file in result["diff"]["files"]}
    assert files == {"core-parts/src/lib.rs": (0, 1), "excluding/src/lib.rs": (1, 1)}
    assert (result["diff"]["covered"], result["diff"]["count"]) == (1, 2)
    by_member = {each["package"]: each["diff"] for each in result["members"]}
    assert [
        (by_member[name]["covered"], by_member[name]["count"]) for name in MEMBERS if name in by_member
    ] == [
        (0, 1),
        (1, 1),
        (0, 0),
    ]
    assert "core-parts/src/lib.rs" in report.read_text()


def test_scope_leaves_no_choice(crate: CrateBuilder) -> None:
    outcome, _ = coverage(crate, "--scope=workspace", "--package=user")
    assert outcome.code == 1
    assert "--scope leaves no choice of members" in outcome.err
