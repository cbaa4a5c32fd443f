"""release-check with the real cargo and a registry, on small crates whose names nobody has published."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.crates import LIB, MANIFEST, CrateBuilder, run
from tests.integration.sessions import ending, script, session

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO = "rustvmm-sample-one", "rustvmm-sample-two"
WORKFLOW = """\
name: Publish {name}
on:
  push:
    tags: ['{tag}']
jobs:
  publish:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: cargo publish {words}
"""

# As docs/extra-sessions.md shows it.
SHOWN = """\
error: the tag v0.1.1 is of version 0.1.1, and rustvmm-sample-one has 0.1.0
 --> /src/Cargo.toml:3
help: write version = "0.1.1", or push another tag
"""


def member(crate: CrateBuilder, folder: str, name: str, manifest: str = "", lib: str = LIB) -> CrateBuilder:
    """Add a package that can be published as it is."""
    text = (
        MANIFEST.format(name=name)
        if folder == "."
        else MANIFEST.format(name=name).replace("[workspace]\n", "")
    )
    facts = f'description = "For tests."\nlicense = "MIT"\n{manifest}\n'
    text = text.replace('edition = "2021"\n', f'edition = "2021"\n{facts}')
    crate.with_file(f"{folder}/Cargo.toml", text).with_file(f"{folder}/src/lib.rs", lib)
    crate.with_file(f"{folder}/README.md", "For tests.\n").with_file(f"{folder}/LICENSE", "MIT\n")
    return crate.with_file(f"{folder}/CHANGELOG.md", "# Changelog\n\n## Unreleased\n\n## v0.1.0\n\n- All.\n")


def single(directory: Path, **given: str) -> CrateBuilder:
    crate = member(CrateBuilder(directory), ".", ONE, **given).with_noxfile("release=True")
    crate.with_file(".github/workflows/publish.yml", WORKFLOW.format(name=ONE, tag="v*", words=""))
    return crate.with_git()


def workspace(directory: Path, needed: str = 'version = "0.1.0"', **given: str) -> CrateBuilder:
    """Return two members of which one needs the other."""
    crate = CrateBuilder(directory).with_noxfile()
    crate.with_file("Cargo.toml", '[workspace]\nmembers = ["one", "two"]\nresolver = "2"\n')
    member(crate, "one", ONE, **given)
    member(crate, "two", TWO, f'[dependencies]\n{ONE} = {{ path = "../one", {needed} }}')
    for name in (ONE, TWO):
        file = f".github/workflows/release-{name}.yml"
        crate.with_file(file, WORKFLOW.format(name=name, tag=f"{name}-v*", words=f"--package {name}"))
    return crate.with_git()


def faults(outcome_err: str) -> list[str]:
    return [line.removeprefix("error: ") for line in outcome_err.splitlines() if line.startswith("error: ")][
        :-1
    ]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> CrateBuilder:
    return single(tmp_path_factory.mktemp("release") / "a crate")


def test_a_release_that_holds_together_passes(good: CrateBuilder) -> None:
    outcome = session(good, "release-check", "--tag", "v0.1.0")
    assert outcome.code == 0, outcome.text
    assert f"{ONE} 0.1.0 can be published" in outcome.out
    assert f"+ cargo package --package={ONE} --all-features --offline" in outcome.err
    assert f"Verifying {ONE} v0.1.0" in outcome.err


def test_a_wrong_tag_fails_before_anything_is_packed(good: CrateBuilder) -> None:
    outcome = session(good, "release-check", "--tag=0.1.0")
    assert outcome.code == 1
    assert "error: no workflow that publishes is started by the tag '0.1.0'; their patterns are v*" in ending(
        outcome
    )
    assert "cargo package" not in outcome.err
    outcome = session(good, "release-check", "--tag=v0.1.1", env={"RUSTVMM_RESULTS": "target/results"})
    assert outcome.code == 1
    assert SHOWN in outcome.err.replace(str(good.directory), "/src")
    found = json.loads((good.directory / "target/results/release-check.json").read_text())["findings"]
    assert [(f["kind"], f["file"], f["line"]) for f in found] == [("release", "Cargo.toml", 3)]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        (
            "CHANGELOG.md",
            "# Changelog\n## v0.0.9\n",
            f"CHANGELOG.md does not know {ONE} 0.1.0: its newest heading is of 0.0.9",
        ),
        (
            "CHANGELOG.md",
            "# Changelog\n",
            f"CHANGELOG.md does not know {ONE} 0.1.0: no heading names a version",
        ),
        ("LICENSE", None, f"{ONE} is packed without the text of its license"),
        ("README.md", None, f"{ONE}: there is no file 'README.md', which readme names"),
    ],
)
def test_what_its_files_lack_is_named(tmp_path: Path, file: str, text: str | None, said: str) -> None:
    crate = single(tmp_path, manifest='readme = "README.md"')
    (crate.directory / file).unlink() if text is None else crate.with_file(file, text)
    outcome = session(crate.commit("change"), "release-check")
    assert outcome.code == 1
    assert said in faults(outcome.err)


def test_what_the_crate_needs_and_is_not_packed_fails_the_build(tmp_path: Path) -> None:
    lib = f'{LIB}\n/// A table.\npub const TABLE: &str = include_str!("../data/table.txt");\n'
    crate = single(tmp_path, lib=lib, manifest='exclude = ["data"]').with_file("data/table.txt", "1")
    outcome = session(crate.commit("table"), "release-check")
    assert outcome.code == 1
    assert "couldn't read `src/../data/table.txt`" in outcome.err
    assert faults(outcome.err)[-1] == f"{ONE} cannot be packed: see what cargo says above"
    repeat = ending(outcome) and outcome.err.rpartition("help: ")[2].splitlines()[0]
    assert "couldn't read" in run(["sh", "-c", repeat], cwd=crate.directory).err


def test_members_that_need_each_other_unpublished_are_packed_together(tmp_path: Path) -> None:
    crate = workspace(tmp_path / "ws")
    outcome = session(crate, "release-check")
    assert outcome.code == 0, outcome.text
    assert f"+ cargo package --package={ONE} --package={TWO} --all-features --offline" in outcome.err
    outcome = session(crate, "release-check", f"--tag={TWO}-v0.1.0")
    assert outcome.code == 1
    assert faults(outcome.err) == [f"{ONE} 0.1.0 is not in the registry yet, and is needed"]
    outcome = session(crate, "release-check", f"--tag={ONE}-v0.1.0")
    assert outcome.code == 0, outcome.text
    assert TWO not in outcome.out


def test_a_member_that_is_needed_by_path_alone_or_not_published_is_named(tmp_path: Path) -> None:
    outcome = session(workspace(tmp_path / "path", "features = []"), "release-check", f"--package={TWO}")
    assert f"{TWO} needs {ONE} by its path, in no version" in faults(outcome.err)
    assert f" --> {tmp_path}/path/two/Cargo.toml:8\n" in outcome.err
    crate = workspace(tmp_path / "private", manifest="publish = false")
    outcome = session(crate, "release-check")
    assert faults(outcome.err)[0] == f"{TWO} needs {ONE}, which is not published"


def test_a_version_that_is_published_already_is_one_that_a_tag_cannot_publish(tmp_path: Path) -> None:
    crate = (
        member(CrateBuilder(tmp_path), ".", "other")
        .with_noxfile()
        .with_published("other", "0.1.0")
        .with_git()
    )
    outcome = session(crate, "release-check", "--tag", "v0.1.0")
    assert faults(outcome.err) == ["other 0.1.0 is in the registry already"]
    outcome = session(crate, "release-check")
    assert outcome.code == 0, outcome.text
    assert "other 0.1.0 is in the registry already" in outcome.out


def test_rust_version_is_true_where_that_toolchain_is_installed(tmp_path: Path) -> None:
    version = run(["rustc", "--version"], cwd=tmp_path).out.split()[1]
    lib = f'{LIB}\n#[cfg(feature = "new")]\ncompile_error!("too new");\n'
    crate = single(tmp_path, manifest=f'rust-version = "{version}"\n[features]\nnew = []', lib=lib)
    outcome = session(crate, "release-check")
    assert f"{ONE} does not build with Rust {version}, its rust-version" in faults(outcome.err)
    crate = single(tmp_path / "old", manifest='rust-version = "1.56"')
    outcome = session(crate, "release-check")
    assert outcome.code == 0, outcome.text
    assert f"{ONE}: rust-version 1.56 is not checked, as that toolchain is not installed" in outcome.out


def test_breaks_of_the_interface_are_those_of_cargo_semver_checks(tmp_path: Path) -> None:
    crate = single(tmp_path / "crate")
    tool = script(tmp_path / "cargo-semver-checks", 'echo "called with $*"; exit 1')
    outcome = session(crate, "release-check", env={"CARGO_SEMVER_CHECKS": str(tool)})
    assert faults(outcome.err) == [f"{ONE} 0.1.0 breaks its interface more than its version says"]
    assert f"called with semver-checks --package={ONE}" in outcome.out
    assert "no cargo-semver-checks" in session(crate, "release-check").out


def test_where_nothing_is_published_or_asked_for_it_says_so(tmp_path: Path) -> None:
    crate = single(tmp_path / "private", manifest="publish = false")
    outcome = session(crate, "release-check")
    assert "error: nothing here is published: every package has `publish = false`" in ending(outcome)
    outcome = session(single(tmp_path / "one"), "release-check", "--package=rustvmm-sample-on")
    assert f"help: did you mean '{ONE}'?" in ending(outcome)
