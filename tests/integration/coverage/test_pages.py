"""The pages of a run, and the record's course: as LCOV has the lines, and as git has the versions."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rustvmm_sessions.coverage.sources import read_lcov
from tests.crates import REPOSITORY, CrateBuilder, new_crate
from tests.terminals import on_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW = re.compile(r'<tr id=L(\d+)( class=[hu])?><th scope=row><a href="#L\1">\1</a><td>\S*<td>(\d*)<td>')


@pytest.fixture(scope="module")
def uart(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    """A crate of some files, generic code, closures, macros and inline tests among them."""
    crate = CrateBuilder(tmp_path_factory.mktemp("pages") / "a crate")
    for path in sorted((REPOSITORY / "samples/uart").rglob("*")):
        name = path.relative_to(REPOSITORY / "samples/uart").as_posix()
        if path.is_file() and not name.startswith(("target", "README", ".git")) and "__pycache__" not in name:
            crate.with_file(name, path.read_text())
    return crate.with_noxfile("coverage_reruns=0").with_git()


def lines_of(pages: Path, source: str) -> dict[int, int]:
    """Return the lines that can be covered, and how often each ran, as the page of a source has them."""
    found = ROW.findall((pages / f"files/{source}.html").read_text())
    assert all(bool(state) is bool(runs) for _, state, runs in found)
    assert all((state == " class=u") is (runs == "0") for _, state, runs in found)
    return {int(number): int(runs) for number, _, runs in found if runs}


@pytest.mark.parametrize("backend", ["cargo", "cargo-llvm-cov"])
def test_the_lines_are_those_of_the_tracefile(uart: CrateBuilder, tmp_path: Path, backend: str) -> None:
    pages = tmp_path / "pages of mine"
    lcov, report = tmp_path / "o.info", tmp_path / "o.json"
    files = (f"--html={pages}", f"--lcov={lcov}", f"--json={report}")
    outcome = uart.coverage(f"--backend={backend}", *files)
    assert f"HTML report: {pages / 'index.html'}\n" in outcome.out
    traced = {
        Path(path).relative_to(uart.directory.resolve()).as_posix(): counts
        for path, counts in read_lcov(lcov.read_text()).items()
    }
    listed = {entry["path"]: entry for entry in json.loads(report.read_text())["files"]}
    assert len(traced) >= 2
    assert listed.keys() == traced.keys()
    for source, counts in traced.items():
        assert lines_of(pages, source) == counts
        text = (uart.directory / source).read_text()
        assert len(ROW.findall((pages / f"files/{source}.html").read_text())) == text.count("\n")
        uncovered = {line for first, last in listed[source]["uncovered"] for line in range(first, last + 1)}
        assert uncovered == {line for line, count in counts.items() if not count}
    assert uart.git("status", "--porcelain") == ""


def test_pages_take_the_place_of_earlier_ones_and_of_nothing_else(uart: CrateBuilder) -> None:
    pages = uart.directory / "target/pages"
    gone = pages / "files/gone.rs.html"
    assert uart.coverage("--html=target/pages").out.count("HTML report") == 1
    gone.write_text("")
    assert uart.coverage("--html=target/pages").out.count("HTML report") == 1
    assert not gone.exists()
    assert sorted(entry.name for entry in pages.iterdir()) == [".gitignore", "files", "index.html"]
    (pages / "notes.txt").write_text("mine")
    for folder in (pages, uart.directory / "src", uart.directory, pages / "notes.txt"):
        outcome = uart.coverage(f"--html={folder}")
        assert outcome.code == 1
        assert f"--> --html={folder}" in outcome.err
        assert "running" not in outcome.out
    assert (pages / "notes.txt").read_text() == "mine"


def test_open_says_where_the_page_is_without_a_display(uart: CrateBuilder) -> None:
    nowhere: dict[str, str | None] = dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    outcome = uart.coverage("--open", env=nowhere)
    assert "rustvmm-coverage/report/index.html\nThere is no display to open it on.\n" in outcome.out
    browser = "echo opened %s"
    assert "opened file://" in uart.coverage("--open", env={"BROWSER": browser}).out


# The terminal


def test_a_person_gets_a_table_of_files_and_ci_does_not(uart: CrateBuilder) -> None:
    args = [sys.executable, "-m", "nox", "-s", "coverage"]
    _, printed = on_terminal(args, cwd=uart.directory)
    end = printed.replace("\r\n", "\n").rpartition("measured: ")[2]
    assert re.search(r"\n\nfile +covered +not covered\nsrc/\S+ +\d+/\d+ +\d+\.\d\d % +[0-9, -]+", end)
    assert end.index("not covered") < end.index("recorded: ")
    _, printed = on_terminal(args, cwd=uart.directory, env={"CI": "true"})
    assert "not covered" not in printed


# History


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    """A crate whose record changed on the main line, on a branch that was merged, and was lowered."""
    crate = new_crate(tmp_path_factory.mktemp("history") / "crate").with_record("80.1\n").with_git()
    crate.with_record("82\nx86_64 82/100 rustc-1.90.0\n").commit("count lines")
    crate.git("tag", "v0.1.0")
    crate.git("switch", "--quiet", "--create", "work")
    crate.with_record("83\nx86_64 83/100 rustc-1.90.0\n").commit("first try")
    crate.with_record("85\nx86_64 85/100 rustc-1.90.0\n").commit("second try")
    crate.git("switch", "--quiet", "main")
    crate.with_file("README.md", "A crate.\n").commit("say what it is")
    crate.git("merge", "--quiet", "--no-ff", "--message", "merge work", "work")
    crate.git("remote", "add", "origin", "git@github.com:rust-vmm/sample.git")
    return crate.with_record("84\nx86_64 84/100 rustc-1.95.0\n").commit("lower it")


def course(crate: CrateBuilder, tmp_path: Path, *options: str) -> tuple[str, Any]:
    report = tmp_path / "history.json"
    outcome = crate.coverage("--history", f"--json={report}", *options, env={"CARGO": "/nowhere"})
    assert outcome.code == 0, outcome.text
    return outcome.out, json.loads(report.read_text())


def percents(document: Any) -> Sequence[float]:
    return [version["percent"] for version in document["versions"]]


def test_history_has_each_version_of_the_first_parent_line(recorded: CrateBuilder, tmp_path: Path) -> None:
    badge = tmp_path / "badge.svg"
    said, document = course(recorded, tmp_path, f"--badge={badge}")
    assert percents(document) == [80.1, 82, 85, 84]
    assert [version["lowered"] for version in document["versions"]] == [[], [], [], ["x86_64"]]
    assert [version["title"] for version in document["versions"]][1:] == [
        "count lines",
        "merge work",
        "lower it",
    ]
    assert (document["path"], document["shallow"], document["members"]) == ("tests/coverage", False, [])
    assert [release["tag"] for release in document["releases"]] == ["v0.1.0"]
    assert re.search(r"84/100 lines, 84\.00 % lowered +lower it\n", said)
    assert "coverage: 84.0 %" in badge.read_text()


def test_history_of_a_shallow_clone_says_that_it_is(recorded: CrateBuilder, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    recorded.git("clone", "--quiet", "--depth=2", f"file://{recorded.directory}", str(clone))
    said, document = course(CrateBuilder(clone), tmp_path)
    assert percents(document) == [85, 84]
    assert document["shallow"] is True
    assert "This clone is shallow" in said


def test_members_have_a_history_each(tmp_path: Path) -> None:
    top = new_crate(tmp_path / "top", options="members=True")
    top.with_file("Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["one", "two", "new"]\n')
    for name in ("one", "two", "new"):
        new_crate(top.directory / name).with_file(
            "Cargo.toml", f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n'
        )
    top.with_file("one/tests/coverage", "50\n").with_file("two/tests/coverage", "60\n").with_git()
    top.with_file("two/tests/coverage", "61\n").commit("more")
    report = tmp_path / "history.json"
    outcome = top.coverage("--history", f"--json={report}")
    members = json.loads(report.read_text())["members"]
    assert [(each["package"], each["path"], percents(each)) for each in members] == [
        ("one", "one/tests/coverage", [50]),
        ("two", "two/tests/coverage", [60, 61]),
    ]
    assert outcome.out.index("one:\n") < outcome.out.index("two:\n")
    badge = top.directory / "badge.svg"
    assert "name the member" in top.coverage("--history", f"--badge={badge}").err
    assert top.coverage("--history", f"--badge={badge}", "--package=two").code == 0
    assert "coverage: 61.0 %" in badge.read_text()


def test_history_where_there_is_none_says_what_to_do(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate").with_git().with_record("80.1\n")
    outcome = crate.coverage("--history")
    assert outcome.code == 1
    assert "error: git has no version of tests/coverage" in outcome.err
    assert "nox -s coverage -- --profile devel" in outcome.err


def test_history_measures_nothing(recorded: CrateBuilder) -> None:
    outcome = recorded.coverage("--history", "--lcov=out.info")
    assert "--history measures nothing: --lcov has no meaning with it" in outcome.err
    assert not (recorded.directory / "target").exists()


def test_the_page_has_the_course_of_the_record(recorded: CrateBuilder) -> None:
    recorded.coverage("--html")
    page = (recorded.directory / "target/rustvmm-coverage/report/index.html").read_text()
    head = recorded.git("rev-parse", "HEAD").strip()
    assert f'<a href="https://github.com/rust-vmm/sample/commit/{head}" aria-label="x86_64, ' in page
    assert "84/100 lines, 84.00 %, lowered" in page
