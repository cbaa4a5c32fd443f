"""What runs: by default, by tag, by share, by what changed; and what several sessions say together.

Real cargo, git and nox.
"""

from __future__ import annotations

import contextlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.catalog import STANDARD
from rustvmm_sessions.results import ESCAPES
from rustvmm_sessions.rust.cargo import Workspace, machine
from rustvmm_sessions.rust.lockfile import lockfile_kept
from tests.crates import LIB, MANIFEST, CrateBuilder, Outcome, new_crate
from tests.integration.sessions import combinations, crate_in, ending, repeat, session, status, untouched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ABC = "a = []\nb = []\nc = []"


def plan(outcome: Outcome) -> list[str]:
    """The commands that ``--list`` prints, without the words that say what they are."""
    assert outcome.code == 0, outcome.text
    return re.findall(r"^(cargo .*?)    #", outcome.out, re.MULTILINE)


def commands(outcome: Outcome) -> list[str]:
    """The cargo commands that a session ran, without those that build its tests beforehand.

    They say in which form the session reads the messages; who repeats one wants them as they are.
    """
    found = re.findall(r"^\+ (cargo (?!test --no-run).*)$", outcome.err, re.MULTILINE)
    return [command.replace(" --message-format=json", "") for command in found]


def begun(outcome: Outcome) -> list[str]:
    """The sessions that nox began, in order."""
    return re.findall(r"^nox > Running session (.*)$", outcome.err, re.MULTILINE)


# The plan


@pytest.fixture(scope="module")
def abc(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    return crate_in(tmp_path_factory.mktemp("abc"), features=ABC)


def test_list_prints_the_plan_and_what_it_saves_and_runs_nothing(abc: CrateBuilder) -> None:
    outcome = session(abc, "unit-tests", "--list")
    assert commands(outcome) == []
    assert not (abc.directory / "target/debug").exists()
    assert outcome.out.splitlines() == [
        "cargo test --tests --package=sample    # sample with default features",
        "cargo test --doc --package=sample    # sample with default features",
        "cargo test --tests --package=sample --all-features    # sample with all features",
        "cargo test --doc --package=sample --all-features    # sample with all features",
        *(
            f"cargo test {kind} --package=sample --no-default-features --features={names}"
            f"    # sample with feature{'s' if ',' in names else ''} {names.replace(',', ', ')}"
            for names in ("a", "b", "c", "a,b", "a,c", "b,c")
            for kind in ("--tests", "--doc")
        ),
        "8 runs of cargo, 8 distinct pairs of package and features; cargo all-features would run 8 packages.",
    ]


@pytest.mark.parametrize("name", ["clippy", "unit-tests"])
def test_what_list_prints_is_what_runs(tmp_path: Path, name: str) -> None:
    crate = crate_in(tmp_path, features="a = []")
    listed = plan(session(crate, name, "--list"))
    assert len(listed) == (4 if name == "unit-tests" else 2)
    assert commands(session(crate, name)) == listed


def test_list_works_for_a_target_that_is_not_installed(abc: CrateBuilder) -> None:
    outcome = session(abc, "build-musl", "--list", env={"RUSTC": "/not/there"})
    assert len(plan(outcome)) == 8
    assert all("-linux-musl" in command for command in plan(outcome))


@pytest.mark.parametrize("count", [2, 3])
def test_the_shares_of_a_plan_are_the_plan(abc: CrateBuilder, count: int) -> None:
    whole = plan(session(abc, "clippy", "--list"))
    shares = [
        plan(session(abc, "clippy", "--list", "--partition", f"{share}/{count}"))
        for share in range(1, count + 1)
    ]
    assert sorted(command for share in shares for command in share) == sorted(whole)
    assert all(len(share) in (len(whole) // count, len(whole) // count + 1) for share in shares)


def test_a_share_is_what_runs_of_the_plan(abc: CrateBuilder) -> None:
    listed = plan(session(abc, "clippy", "--list", "--partition=2/3"))
    outcome = session(abc, "clippy", "--partition=2/3")
    assert outcome.code == 0, outcome.text
    assert commands(outcome) == listed
    assert len(combinations(outcome)) == len(listed)


def test_shares_are_the_plan_whatever_an_agent_s_folder_says(abc: CrateBuilder, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    crate = CrateBuilder(abc.directory).with_noxfile(
        'overrides={"clippy": {"shares": 2, "platforms": ["x86_64"]}}'
    )
    assert session(crate, "clippy", "--partition=1/2", env={"RUSTVMM_RESULTS": str(folder)}).code == 0
    timed = (folder / "clippy.runs.tsv").read_text().splitlines()
    assert len(timed) == 4

    piped = crate.nox("-s", "pipeline", env={"RUSTVMM_RESULTS": str(folder)}).out
    asked = re.findall(r"command: nox -s clippy -- (--partition) (\S+)", piped)
    assert [share.partition(":")[0] for _, share in asked] == ["1/2", "2/2"]
    shares = [
        plan(session(crate, "clippy", "--list", *words, env={"RUSTVMM_RESULTS": other}))
        for words, other in zip(asked, (str(folder), str(tmp_path / "none")), strict=True)
    ]
    crate.with_noxfile()
    assert sorted(command for share in shares for command in share) == sorted(
        plan(session(abc, "clippy", "--list"))
    )


def test_a_share_without_runs_says_so(abc: CrateBuilder) -> None:
    outcome = session(abc, "clippy", "--partition", "9/9")
    assert outcome.code == 0
    assert outcome.out == "Nothing to run: there are more shares than runs.\n"


def test_a_share_that_is_none_is_one_message(abc: CrateBuilder) -> None:
    outcome = session(abc, "clippy", "--partition", "3/2")
    assert outcome.code == 1
    assert "error: invalid share of a plan '3/2'" in ending(outcome)
    assert "help: write I/N with I from 1 to N" in ending(outcome)


# A workspace


def member(crate: CrateBuilder, name: str, *needs: str, lib: str = LIB) -> CrateBuilder:
    needed = "".join(f'{need} = {{ path = "../{need}" }}\n' for need in needs)
    manifest = MANIFEST.format(name=name).replace("[workspace]", f"[dependencies]\n{needed}")
    return crate.with_file(f"crates/{name}/Cargo.toml", manifest).with_file(f"crates/{name}/src/lib.rs", lib)


def workspace_in(directory: Path) -> CrateBuilder:
    """Return a committed workspace: top needs base, other stands alone; origin/main is where it begins."""
    crate = CrateBuilder(directory).with_noxfile()
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["crates/*"]\nresolver = "2"\n')
    member(crate, "base")
    member(crate, "other")
    member(crate, "top", "base", lib=LIB.replace("A crate", "Another crate"))
    crate.with_git().git("update-ref", "refs/remotes/origin/main", "HEAD")
    return crate


def chosen(outcome: Outcome) -> dict[str, str]:
    """The members that ``--changed`` chose, with the reasons."""
    assert outcome.code == 0, outcome.text
    _, _, listing = outcome.out.partition("\n")
    named = dict(re.findall(r"^  (\w+): (.*)$", listing, re.MULTILINE))
    return {name: why for name, why in named.items() if name != "not touched"}


def changed(crate: CrateBuilder, *reference: str) -> dict[str, str]:
    return chosen(session(crate, "clippy", "--list", "--changed", *reference))


def committed(crate: CrateBuilder) -> None:
    crate.with_file("crates/base/src/lib.rs", LIB + "// more\n").commit("more")


def staged(crate: CrateBuilder) -> None:
    crate.with_file("crates/base/src/lib.rs", LIB + "// more\n").git("add", "--all")


def unstaged(crate: CrateBuilder) -> None:
    crate.with_file("crates/base/src/lib.rs", LIB + "// more\n")


def new(crate: CrateBuilder) -> None:
    crate.with_file("crates/base/src/new file é.rs", "")


def deleted(crate: CrateBuilder) -> None:
    crate.with_file("crates/base/notes", "").commit("notes")
    crate.git("update-ref", "refs/remotes/origin/main", "HEAD")
    (crate.directory / "crates/base/notes").unlink()


@pytest.mark.parametrize("change", [committed, staged, unstaged, new, deleted])
def test_a_change_of_any_kind_reaches_its_member_and_the_dependents(
    tmp_path: Path, change: Callable[[CrateBuilder], None]
) -> None:
    crate = workspace_in(tmp_path)
    change(crate)
    found = changed(crate)
    assert list(found) == ["base", "top"]
    assert re.fullmatch(r"crates/base/\S.* changed", found["base"])
    assert found["top"] == "depends on base"


def test_a_file_that_moved_touches_where_it_was_and_where_it_is(tmp_path: Path) -> None:
    crate = (
        workspace_in(tmp_path).with_file("crates/top/notes", "a text of some length\n" * 9).commit("notes")
    )
    crate.git("update-ref", "refs/remotes/origin/main", "HEAD")
    crate.git("mv", "crates/top/notes", "crates/other/notes")
    assert changed(crate) == {
        "other": "crates/other/notes changed",
        "top": "crates/top/notes changed",
    }


def test_a_new_member_counts_before_it_is_committed(tmp_path: Path) -> None:
    crate = member(workspace_in(tmp_path), "fresh")
    found = changed(crate)
    assert list(found) == ["fresh"]
    assert found["fresh"].startswith("crates/fresh/")


@pytest.mark.parametrize("name", ["Cargo.toml", ".cargo/config.toml", "clippy.toml", "noxfile.py"])
def test_what_all_members_share_touches_all(tmp_path: Path, name: str) -> None:
    crate = workspace_in(tmp_path)
    before = (crate.directory / name).read_text() if (crate.directory / name).exists() else ""
    crate.with_file(name, f"{before}# more\n")
    assert changed(crate) == dict.fromkeys(["base", "other", "top"], f"{name} changed")


def test_a_file_that_belongs_to_nobody_touches_those_that_read_it(tmp_path: Path) -> None:
    crate = workspace_in(tmp_path).with_file("shared/table.txt", "one\n")
    table = 'pub const TABLE: &str = include_str!("../../../shared/table.txt");\n'
    crate.with_file("crates/base/src/lib.rs", LIB + table)
    crate.with_file(
        "crates/other/build.rs",
        "fn main() {\n    drop(std::fs::read(std::env::args().next().unwrap()));\n}\n",
    )
    crate.commit("readers").git("update-ref", "refs/remotes/origin/main", "HEAD")
    assert changed(crate) == {}
    crate.with_file("shared/table.txt", "two\n")
    assert changed(crate) == {
        "base": "shared/table.txt changed, which crates/base/src/lib.rs names",
        "other": "shared/table.txt changed, and crates/other/build.rs does not say what it reads",
        "top": "depends on base",
    }


def test_only_what_changed_is_run_and_it_is_said_why(tmp_path: Path) -> None:
    crate = workspace_in(tmp_path)
    other = LIB.replace("super::sign(3), 1", "super::sign(3), 2")
    crate.with_file("crates/base/src/lib.rs", other).commit("a fault that is there already")
    crate.git("update-ref", "refs/remotes/origin/main", "HEAD")
    crate.with_file("crates/other/README.md", "new\n")
    outcome = session(crate, "unit-tests", "--changed")
    assert outcome.code == 0, outcome.text
    base = crate.git("rev-parse", "HEAD")[:12]
    assert outcome.out.startswith(
        f"Changed since {base} (merge base with origin/main): 1 file.\n"
        "  other: crates/other/README.md changed\n"
        "  not touched: base, top\n"
        "[1/1] other with default features\n"
    )
    assert commands(outcome) == [f"cargo test {kind} --package=other" for kind in ("--tests", "--doc")]
    assert commands(session(crate, "doc", "--changed"))[0].startswith(
        "cargo doc --package=other --all-features"
    )
    whole = session(crate, "unit-tests")
    assert whole.code == 1
    assert repeat(crate, whole).code == 101


def test_where_nothing_changed_nothing_runs(tmp_path: Path) -> None:
    crate = workspace_in(tmp_path)
    for name in ("clippy", "unit-tests", "doc"):
        outcome = session(crate, name, "--changed")
        assert outcome.code == 0
        assert outcome.out.endswith(": 0 files.\n  not touched: base, other, top\nNothing to run.\n")
        assert commands(outcome) == []


def test_changes_are_taken_since_the_merge_base_with_a_reference(tmp_path: Path) -> None:
    crate = workspace_in(tmp_path)
    crate.git("checkout", "--quiet", "-b", "mine")
    crate.with_file("crates/other/README.md", "mine\n").commit("mine")
    crate.git("checkout", "--quiet", "main")
    crate.with_file("crates/top/README.md", "theirs\n").commit("theirs")
    crate.git("checkout", "--quiet", "mine")
    assert list(changed(crate, "main")) == ["other"]
    assert list(changed(crate, "HEAD")) == []
    outcome = session(crate, "clippy", "--changed", "nowhere")
    assert outcome.code == 1
    assert "'nowhere' names no commit of this repository" in ending(outcome)


def test_git_s_configuration_does_not_hide_changes(tmp_path: Path) -> None:
    crate = workspace_in(tmp_path)
    member_of = CrateBuilder(crate.directory / "crates/other").with_noxfile("workspace=False")
    crate.commit("noxfile of a member")
    crate.git("update-ref", "refs/remotes/origin/main", "HEAD")
    crate.git("config", "diff.relative", "true")
    crate.git("config", "diff.renames", "copies")
    unstaged(crate)
    assert list(chosen(session(member_of, "clippy", "--list", "--changed"))) == ["base", "top"]


def test_outside_git_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    outcome = new_crate(tmp_path).nox("-s", "clippy", "--", "--changed", env={"GIT_CEILING_DIRECTORIES": "/"})
    assert outcome.code == 1
    assert "this is not a git repository" in ending(outcome)


def test_one_crate_of_a_monorepo_is_run_alone(tmp_path: Path) -> None:
    crate = workspace_in(tmp_path)
    one = CrateBuilder(crate.directory / "crates/top").with_noxfile("workspace=False")
    failing = LIB.replace("super::sign(3), 1", "super::sign(3), 2") + "fn unused() {}\n"
    crate.with_file("crates/other/src/lib.rs", failing).commit("a fault of another member")
    for name in ("fmt", "clippy", "build-gnu", "doc", "unit-tests"):
        outcome = session(one, name)
        assert outcome.code == 0, outcome.text
        assert all("--package=top" in c for c in commands(outcome) if not c.startswith("cargo fmt"))

    crate.with_file("crates/top/src/lib.rs", failing).commit("a fault of its own")
    outcome = session(one, "unit-tests")
    assert outcome.code == 1
    assert "  cargo test --tests --package=top\n" in ending(outcome)
    assert repeat(one, outcome).code == 101


@pytest.mark.parametrize("name", ["fmt", "build-gnu", "doc", "unit-tests"])
def test_one_crate_of_a_monorepo_has_its_own_configuration_and_toolchain(tmp_path: Path, name: str) -> None:
    lib = '#![feature(never_type)]\n#![allow(warnings)]\n#[cfg(not(mine))]\ncompile_error!("elsewhere");\n'
    crate = member(workspace_in(tmp_path), "top", lib=lib)
    one = CrateBuilder(crate.directory / "crates/top").with_noxfile("workspace=False")
    one.with_file(".cargo/config.toml", "[build]\nrustflags = '--cfg mine'\nrustdocflags = '--cfg mine'\n")
    one.with_file("rust-toolchain.toml", '[toolchain]\nchannel = "nightly"\n').commit("own")

    outcome = session(one, name, env={"RUSTUP_TOOLCHAIN": None})

    assert outcome.code == 0, outcome.text
    one.with_lib("//! [`nothing`]\nfn unused() {}\n#[test]\nfn fails( ) { panic!() }\n").commit("broken")
    outcome = session(one, name, env={"RUSTUP_TOOLCHAIN": None})
    assert outcome.code == 1
    assert name == "fmt" or repeat(one, outcome).code == 101


def test_a_member_that_its_dependencies_need_as_published_is_told_from_that(tmp_path: Path) -> None:
    """As itoa, which criterion's serde_json needs."""
    crate = new_crate(tmp_path / "of a user", options="workspace=False")
    crate.with_published("sample", "0.0.9").with_published("tool", "1.0.0", 'sample = "0.0.9"')
    crate.with_file("Cargo.toml", MANIFEST.format(name="sample") + '\n[dev-dependencies]\ntool = "1"\n')
    crate.with_git().with_lib(LIB.replace("sign(3), 1", "sign(3), 2")).commit("a fault")
    for words in (["clippy"], ["clippy", "--fix"], ["build-gnu"], ["doc"]):
        outcome = session(crate, *words)
        assert outcome.code == 0, outcome.text
    assert crate.git("status", "--porcelain") == ""

    outcome = session(crate, "unit-tests")
    assert f"cargo test --tests '--package=file://{tmp_path}/of%20a%20user#sample'\n" in ending(outcome)
    assert repeat(crate, outcome).code == 101


def test_one_crate_of_a_monorepo_is_run_when_it_or_what_it_needs_changed(tmp_path: Path) -> None:
    crate = workspace_in(tmp_path)
    one = CrateBuilder(crate.directory / "crates/top").with_noxfile("workspace=False")
    crate.commit("noxfile").git("update-ref", "refs/remotes/origin/main", "HEAD")
    crate.with_file("crates/other/README.md", "new\n")
    assert session(one, "clippy", "--changed").out.endswith("\nNothing to run.\n")
    crate.with_file("crates/base/README.md", "new\n")
    assert commands(session(one, "clippy", "--changed"))[0].startswith(
        "cargo clippy --all-targets --package=top "
    )


def test_features_of_a_member_are_its_own_beside_an_old_root_package(tmp_path: Path) -> None:
    lib = '#[cfg(not(feature = "a"))]\ncompile_error!("the feature is lost");\n'
    manifest = (
        '{}[features]\na = []\n[package.metadata.cargo-all-features]\nalways_include_features = ["a"]\n'
    )
    crate = new_crate(tmp_path).with_file("Cargo.toml", MANIFEST.format(name="old").replace("2021", "2018"))
    crate.with_file(
        "inner/Cargo.toml", manifest.format(MANIFEST.format(name="inner").replace("[workspace]", ""))
    )
    crate.with_file("Cargo.toml", (tmp_path / "Cargo.toml").read_text() + 'members = ["inner"]\n')
    one = CrateBuilder(tmp_path / "inner").with_file("src/lib.rs", lib).with_noxfile("workspace=False")
    crate.with_git()
    outcome = session(one, "clippy")
    assert outcome.code == 0, outcome.text
    assert "--manifest-path" not in commands(outcome)[0]  # cargo starts in its folder
    outcome = session(crate, "clippy")
    assert outcome.code == 0, outcome.text
    assert any("--manifest-path=inner/Cargo.toml" in command for command in commands(outcome))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("workspace=False", ["clippy"]),
        ("workspace=False", ["fmt"]),
        ("workspace=False", ["coverage"]),
        ("", ["coverage", "--scope=crate", "--profile=devel"]),
    ],
)
def test_a_workspace_has_no_package_of_its_own_to_run(tmp_path: Path, options: str, words: list[str]) -> None:
    crate = workspace_in(tmp_path).with_noxfile(options)
    outcome = session(crate, *words)
    assert "Compiling" not in outcome.err
    assert outcome.code == 1
    assert "there is no package beside the noxfile, only a workspace" in ending(outcome)


# Members by name


COMMANDS = {
    "fmt": "cargo fmt",
    "clippy": "cargo clippy",
    "build-gnu": "cargo build",
    "doc": "cargo doc",
    "unit-tests": "cargo test",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_members_are_chosen_by_name_or_folder(tmp_path: Path, name: str) -> None:
    failing = LIB.replace("if x < 0 {", "if x<0 {").replace("sign(3), 1", "sign(3), 2") + "fn unused() {}\n"
    crate = member(workspace_in(tmp_path), "other", lib="//! [`nothing`]\n//!\n" + failing)
    chosen = ("--package", "base", "-p", "crates/top/")

    listed = session(crate, name, *chosen, "--list")
    outcome = session(crate, name, *chosen)

    assert listed.out.startswith("Members: base, top\n")
    assert commands(listed) == []
    assert outcome.code == 0, outcome.text
    assert outcome.out.startswith("Members: base, top\n")
    ran = " ".join(commands(outcome))
    assert ran.startswith(COMMANDS[name])
    assert "--package=base" in ran
    assert "--package=top" in ran
    assert "other" not in ran
    wrong = session(crate, name, "--package=other")
    assert wrong.code == 1
    assert name != "fmt" or "`nox -s fmt -- --fix --package=other` corrects it" in wrong.text
    assert session(crate, name, "--exclude=other").code == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_a_member_that_is_none_is_answered_with_the_nearest(tmp_path: Path, name: str) -> None:
    outcome = session(workspace_in(tmp_path), name, "--package", "bsae")
    assert outcome.code == 1
    assert "error: there is no member 'bsae'" in ending(outcome)
    assert "help: did you mean 'base'?" in ending(outcome)
    assert commands(outcome) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_of_the_members_that_are_named_those_that_changed_are_judged(tmp_path: Path, name: str) -> None:
    crate = workspace_in(tmp_path)
    unstaged(crate)
    outcome = session(crate, name, "--package=top", "--package=other", "--changed", "--list")
    assert outcome.code == 0, outcome.text
    assert "  top: depends on base\n  not touched: other\nMembers: top\n" in outcome.out
    outcome = session(crate, name, "--package=other", "--changed")
    assert outcome.code == 0, outcome.text
    assert outcome.out.endswith("\nMembers: none\nNothing to run.\n")


def test_members_judged_by_themselves_are_named_and_skipped_by_name(tmp_path: Path) -> None:
    crate = workspace_in(tmp_path).with_file("crates/other/.platform", "riscv64\n")
    crate.with_file("crates/other/src/lib.rs", "fn unused( ) {}\n")
    why = f"it is for riscv64 (crates/other/.platform), not for {machine()}"
    for name in COMMANDS:
        outcome = session(crate, name)
        assert outcome.code == 0, outcome.text
        assert outcome.out.startswith(f"other is skipped: {why}\nMembers: base, top\n")
        assert "--workspace" not in outcome.err
        nothing = session(crate, name, "--package=other")
        assert nothing.code == 0
        assert nothing.out == f"other is skipped: {why}\nMembers: none\nNothing to run.\n"
    crate.with_file("crates/other/.platform", f"{machine()}\n")
    assert session(crate, "clippy", "--list").out.startswith("Members: base, other, top\n")
    crate.with_noxfile("members=False")
    assert session(crate, "clippy", "--list").out.startswith("cargo clippy")


def test_the_crate_leaves_members_out_of_a_session(tmp_path: Path) -> None:
    crate = workspace_in(tmp_path).with_noxfile('overrides={"build-gnu": {"exclude": ["crates/other"]}}')
    crate.with_file("crates/other/src/lib.rs", "compile_error!();\n")
    outcome = session(crate, "build-gnu")
    assert outcome.code == 0, outcome.text
    assert outcome.out.startswith(
        "other is skipped: register(overrides={'build-gnu': {'exclude': ...}})\nMembers: base, top\n"
    )
    assert session(crate, "clippy").code == 1
    outcome = session(crate.with_noxfile('overrides={"build-gnu": {"exclude": ["othr"]}}'), "build-gnu")
    assert "error: there is no member 'othr'" in ending(outcome)
    assert "--> register(overrides={'build-gnu': {'exclude': ...}})" in ending(outcome)


# Several sessions


def test_nox_alone_runs_the_quick_sessions_in_the_order_of_the_table(tmp_path: Path) -> None:
    crate = crate_in(tmp_path).with_record("88.89\n").commit("record")
    outcome = untouched(crate, crate.nox)
    assert outcome.code == 0, outcome.text
    assert begun(outcome) == [s.name for s in STANDARD if "quick" in s.tags]
    rows = re.findall(r"^(\S+) +passed +\d+\.\d(?: +\d+)?$", outcome.out, re.MULTILINE)
    assert rows == begun(outcome)
    assert "failed" not in outcome.out.partition("session     result")[2]


@pytest.mark.parametrize("tag", sorted({tag for s in STANDARD for tag in s.tags}))
def test_a_tag_selects_what_the_table_tags(tmp_path: Path, tag: str) -> None:
    crate = new_crate(tmp_path)
    listed = json.loads(crate.nox("--list", "--json", "-t", tag).out)
    assert [entry["session"] for entry in listed] == [s.name for s in STANDARD if tag in s.tags]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_run_of_several_ends_with_failures_the_table_and_the_command(tmp_path: Path, jobs: str) -> None:
    badly = LIB.replace("    if x < 0 {", "    if x<0{").replace("super::sign(3), 1", "super::sign(3), 2")
    crate = crate_in(tmp_path, lib=badly)
    names = ["fmt", "clippy", "doc", "unit-tests"]
    colours = {"FORCE_COLOR": "1", "NO_COLOR": None}
    outcome = untouched(crate, lambda: crate.nox("-j", jobs, "-s", *names, env=colours))
    assert outcome.code == 1
    assert "nox > *" not in outcome.err
    _, _, end = outcome.out.partition("\n\x1b[31mfmt failed")
    assert "\x1b[31munit-tests  failed " in end
    assert "\x1b[32mclippy      passed " in end
    plain = ESCAPES.sub("", end)
    failures, _, table = plain.partition("\nsession     result  seconds  tests          what to do\n")
    assert "\n  src/lib.rs:5: rustfmt formats this differently\n" in failures
    assert "\n    -    if x<0{\n    +    if x < 0 {\n" in failures
    assert "\nunit-tests failed: 1 of 1 tests\n  src/lib.rs:15: test tests::positive failed in" in failures
    assert "\n      left: 1\n     right: 2\n" in failures
    found = {}
    for row in table.splitlines()[:4]:
        name, result, seconds, *rest = row.split(maxsplit=3)
        assert float(seconds) >= 0
        found[name] = (result, *rest)
    assert found == {
        "fmt": ("failed", "nox -s fmt -- --fix"),
        "clippy": ("passed",),
        "doc": ("passed",),
        "unit-tests": ("failed", "1 of 1 failed  cargo test --tests --package=sample"),
    }
    assert re.fullmatch(
        r"4 sessions in [\d.]+ s: 2 failed, 2 passed\n\nrepeat: nox -s fmt unit-tests\n",
        "\n".join(table.split("\n")[4:]),
    )


OWN = """
@crate.session(platforms=["x86_64", "aarch64"])
def own(session):
    crate.cargo(session, "nonsense")
"""


def test_a_session_of_the_crate_s_own_and_one_that_is_skipped_are_in_the_table(tmp_path: Path) -> None:
    crate = new_crate(tmp_path).with_file(
        "noxfile.py",
        f'from rustvmm_sessions import register\n\ncrate = register(platforms=["riscv64"])\n{OWN}',
    )
    crate.with_git()
    outcome = untouched(crate, lambda: crate.nox("-s", "fmt", "own"))
    assert outcome.code == 1
    row = r"^{} +{} +\d+\.\d  {}$"
    fmt = row.format("fmt", "skipped", r"fmt is for riscv64, this machine is \w+")
    assert re.search(fmt, outcome.out, re.MULTILINE)
    own = row.format("own", "failed", "cargo nonsense: exit status 101")
    assert re.search(own, outcome.out, re.MULTILINE)


# Side by side


def test_sessions_side_by_side_share_a_target_directory_and_leave_no_lockfile(tmp_path: Path) -> None:
    crate = crate_in(tmp_path, features="a = []")
    names = ["clippy", "build-gnu", "doc", "unit-tests"]
    with ThreadPoolExecutor(len(names)) as pool:
        outcomes = list(pool.map(lambda name: crate.nox("-s", name), names))
    assert [outcome.code for outcome in outcomes] == [0, 0, 0, 0]
    assert status(crate) == ""
    assert not (crate.directory / "Cargo.lock").exists()
    for name in names:  # none has undone what another built
        outcome = session(crate, name)
        assert outcome.code == 0
        assert "Compiling" not in outcome.err
        assert "Checking" not in outcome.err
        assert "Documenting" not in outcome.err


LOCK = "# as it was committed\nversion = 4\n"
DONE = "# as cargo completed it\nversion = 4\n"


@pytest.fixture
def held(tmp_path: Path) -> Callable[[], contextlib.AbstractContextManager[None]]:
    workspace = Workspace(root=tmp_path, target_directory=tmp_path / "target", members=(), current=None)
    keep = tmp_path / "keep"
    keep.mkdir()
    return lambda: lockfile_kept(workspace, keep)


@pytest.mark.parametrize("before", [None, LOCK], ids=["no lockfile", "a lockfile"])
@pytest.mark.parametrize("last", [0, 1], ids=["the first ends last", "the second ends last"])
def test_the_last_of_sessions_side_by_side_puts_the_lockfile_back(
    tmp_path: Path,
    held: Callable[[], contextlib.AbstractContextManager[None]],
    before: str | None,
    last: int,
) -> None:
    lock = tmp_path / "Cargo.lock"
    if before is not None:
        lock.write_text(before)
    sessions = [contextlib.ExitStack(), contextlib.ExitStack()]
    sessions[0].enter_context(held())
    lock.write_text(DONE)
    sessions[1].enter_context(held())
    assert lock.read_text() == DONE
    sessions[1 - last].close()
    assert lock.read_text() == DONE  # the other one builds with it
    sessions[last].close()
    assert (lock.read_text() if lock.exists() else None) == before
    with held():
        assert lock.read_text() == DONE  # and the next run need not find out again
    assert (lock.read_text() if lock.exists() else None) == before


def test_a_lockfile_that_changed_since_is_not_completed_from_the_past(
    tmp_path: Path, held: Callable[[], contextlib.AbstractContextManager[None]]
) -> None:
    lock = tmp_path / "Cargo.lock"
    with held():
        lock.write_text(DONE)
    lock.write_text(LOCK)
    with held():
        assert lock.read_text() == LOCK
    assert lock.read_text() == LOCK
