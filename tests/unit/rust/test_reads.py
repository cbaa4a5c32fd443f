"""Which members of a workspace a change reaches, and why; and on which patterns a pipeline tests them."""

from __future__ import annotations

import posixpath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustvmm_sessions.rust.reads import (
    MOST_PATTERNS,
    Affected,
    Named,
    Package,
    affected,
    patterns,
    shared_patterns,
)


def workspace(*packages: Package) -> dict[str, Package]:
    return {package.path: package for package in packages}


def member(name: str, *needs: str, folder: str | None = None, **given: Any) -> Package:
    return Package(name=name, path=folder or name, needs=needs, **given)


CHAIN = workspace(member("base"), member("middle", "base"), member("top", "middle"), member("other"))
"""top needs middle, middle needs base; other stands alone."""


def reached(packages: dict[str, Package], *paths: str) -> dict[str, str]:
    """Return the members that changed files reach, with the reasons."""
    return {member.package: member.why for member in affected(packages, paths)}


def test_nothing_changed_reaches_nothing() -> None:
    assert affected(CHAIN, []) == ()
    assert affected(workspace(member("a", unknown="it may read anything")), []) == ()


def test_a_file_reaches_its_member_and_all_that_depend_on_it() -> None:
    assert reached(CHAIN, "base/src/lib.rs") == {
        "base": "base/src/lib.rs changed",
        "middle": "depends on base",
        "top": "depends on middle",
    }
    assert reached(CHAIN, "middle/tests/it.rs") == {
        "middle": "middle/tests/it.rs changed",
        "top": "depends on middle",
    }
    assert list(reached(CHAIN, "other/build.rs")) == ["other"]


def test_what_git_does_not_see_may_have_changed() -> None:
    outside = Named(path="../data", by="other/build.rs", folder=True)
    packages = workspace(
        member("base", folder="../base"), member("user", "../base"), member("other", reads=(outside,))
    )
    assert affected(packages, []) == ()
    why = "../base lies outside of the repository, where git sees no change"
    assert affected(packages, [], {"../base"}) == (
        Affected(package="base", why=why),
        Affected(package="user", why="depends on base"),
    )
    assert [chosen.package for chosen in affected(packages, [], {"../data"})] == ["other"]


def test_a_change_of_its_own_is_the_reason_that_is_named() -> None:
    assert reached(CHAIN, "base/src/lib.rs", "top/src/lib.rs")["top"] == "top/src/lib.rs changed"


def test_members_come_in_the_order_of_the_workspace() -> None:
    assert affected(CHAIN, [f"{name}/x" for name in ("top", "other", "base")]) == (
        Affected(package="base", why="base/x changed"),
        Affected(package="middle", why="depends on base"),
        Affected(package="top", why="top/x changed"),
        Affected(package="other", why="other/x changed"),
    )


def test_members_that_depend_on_each_other_end() -> None:
    packages = workspace(member("one", "two"), member("two", "one"))
    assert reached(packages, "one/a") == {"one": "one/a changed", "two": "depends on one"}
    assert patterns(packages, "one") == (("one/**", "two/**"), "")


@pytest.mark.parametrize(
    "path",
    [
        "Cargo.toml",
        "Cargo.lock",
        "noxfile.py",
        "rust-toolchain",
        "rust-toolchain.toml",
        "clippy.toml",
        ".clippy.toml",
        ".cargo/config.toml",
        ".cargo/audit/deep.toml",
        "../.cargo/config.toml",
        "../../rust-toolchain.toml",
    ],
)
def test_what_all_share_reaches_all(path: str) -> None:
    assert reached(CHAIN, path) == dict.fromkeys(("base", "middle", "top", "other"), f"{path} changed")


@pytest.mark.parametrize(
    "name", ["Cargo.toml", "Cargo.lock", "noxfile.py", ".cargo/config.toml", "clippy.toml"]
)
def test_a_member_s_own_files_of_those_names_reach_the_member(name: str) -> None:
    assert list(reached(CHAIN, f"other/{name}")) == ["other"]


@pytest.mark.parametrize(
    "path",
    [
        *("README.md", "docs/Cargo.toml", "others/src/lib.rs", ".buildkite/pipeline.yml"),
        *(
            "../README.md",
            "../Cargo.toml",
            "../wsx/Cargo.lock",
            "../base/src/lib.rs",
            "../x/.cargo/config.toml",
        ),
    ],
)
def test_what_nobody_reads_reaches_none(path: str) -> None:
    assert reached(CHAIN, path) == {}


def test_a_package_in_the_root_has_what_no_other_member_has() -> None:
    packages = workspace(member("root", folder="."), member("inner"))
    assert list(reached(packages, "src/lib.rs")) == ["root"]
    assert list(reached(packages, "inner/src/lib.rs")) == ["inner"]
    assert reached(packages, "../src/lib.rs") == {}
    assert patterns(packages, ".") == (("**",), "")


def test_a_file_belongs_to_the_innermost_member() -> None:
    packages = workspace(member("outer"), member("macros", folder="outer/macros"))
    assert list(reached(packages, "outer/macros/src/lib.rs")) == ["macros"]
    assert list(reached(packages, "outer/macros.rs")) == ["outer"]


def test_a_package_that_is_no_member_reaches_those_that_need_it() -> None:
    packages = workspace(
        member("base", "vendored/fork"),
        member("top", "base"),
        member("other"),
        member("fork", "../shared", folder="vendored/fork", member=False),
        member("shared", folder="../shared", member=False),
    )
    assert reached(packages, "vendored/fork/src/lib.rs") == {
        "base": "depends on vendored/fork: vendored/fork/src/lib.rs changed",
        "top": "depends on base",
    }
    assert reached(packages, "../shared/src/lib.rs") == {
        "base": "depends on vendored/fork: ../shared/src/lib.rs changed",
        "top": "depends on base",
    }
    assert patterns(packages, "top") == (("top/**", "base/**", "vendored/fork/**"), "")


def test_what_only_a_lock_file_could_tell_is_said_so() -> None:
    packages = workspace(member("user", "itoa", perhaps=frozenset(["itoa"])), member("itoa"))
    assert reached(packages, "itoa/src/lib.rs")["user"] == "may depend on itoa"


READS = workspace(
    member(
        "a",
        reads=(Named(path="shared/t.txt", by="a/src/lib.rs"), Named(path="data", by="a/it.rs", folder=True)),
    ),
    member("b", "a"),
    member("c", reads=(Named(path="b/README.md", by="c/src/lib.rs"),)),
)


def test_a_file_elsewhere_reaches_those_that_name_it() -> None:
    assert reached(READS, "shared/t.txt") == {
        "a": "shared/t.txt changed, which a/src/lib.rs names",
        "b": "depends on a",
    }
    assert list(reached(READS, "data/deep/x")) == ["a", "b"]
    assert reached(READS, "shared/u.txt", "database") == {}
    assert reached(READS, "b/README.md") == {
        "b": "b/README.md changed",
        "c": "b/README.md changed, which c/src/lib.rs names",
    }
    assert patterns(READS, "b") == (("b/**", "a/**", "shared/t.txt", "data/**"), "")


def test_who_names_a_folder_around_all_is_reached_by_all() -> None:
    packages = workspace(member("a", reads=(Named(path=".", by="a/it.rs", folder=True),)), member("b"))
    assert list(reached(packages, "README.md")) == ["a"]
    assert list(reached(packages, "b/x")) == ["a", "b"]
    assert patterns(packages, "a") == (("**",), "")


def test_what_cannot_be_told_is_reached_by_every_change() -> None:
    packages = workspace(member("a", unknown="a/build.rs does not say what it reads"), member("b", "a"))
    why = "README.md changed, and a/build.rs does not say what it reads"
    assert reached(packages, "README.md") == {"a": why, "b": "depends on a"}
    assert reached(packages, "a/x")["a"] == "a/x changed"
    assert patterns(packages, "b") == (("**",), "a/build.rs does not say what it reads")


def test_a_member_that_needs_very_many_names_the_folders_around_them() -> None:
    needs = [f"crates/c{number}" for number in range(MOST_PATTERNS + 1)]
    packages = workspace(member("top", *needs), *(member(need) for need in needs))
    assert patterns(packages, "top") == (("top/**", "crates/**"), "")


# --changed and if_changed

FLAT = ("a", "b", "c", "d/e", "d/f")
ABOVE = ("../beside/t.txt", "../beside", "../rust-toolchain", "../../.cargo/config.toml", "../../clippy.toml")
"""Files of the repository beside and above the workspace's folder."""
FILES = (
    *(f"{folder}/src/lib.rs" for folder in FLAT),
    *("a/inner/src/lib.rs", "shared/t.txt", "shared/deep/t.txt", "README.md", "d/notes", "src/lib.rs"),
    *("Cargo.toml", "Cargo.lock", "noxfile.py", ".cargo/config.toml", "rust-toolchain", "clippy.toml"),
)


@st.composite
def workspaces(draw: st.DrawFn, folders: tuple[str, ...] = FLAT) -> dict[str, Package]:
    """Members that need and read each other and what lies beside them; now and then unknown, or no member."""
    outside = [
        Named(path=name, by="x", folder=not name.endswith(".txt"))
        for name in ("shared", "shared/t.txt", "../beside", "../beside/t.txt")
    ]
    return workspace(
        *(
            Package(
                name=folder,
                path=folder,
                member=draw(st.integers(0, 4)) > 0,
                needs=tuple(draw(st.sets(st.sampled_from(folders), max_size=2)) - {folder}),
                reads=tuple(draw(st.lists(st.sampled_from(outside), max_size=1))),
                unknown=draw(st.sampled_from(["", "", "", "", "nobody knows"])),
            )
            for folder in folders
        )
    )


def stepped(packages: dict[str, Package], paths: list[str], place: str = ".") -> set[str]:
    """Return the members whose steps run, as Buildkite reads the patterns."""
    from_top = [posixpath.normpath(posixpath.join(place, path)) for path in paths]
    return {
        package.name
        for package in packages.values()
        for pattern in (*patterns(packages, package.path, place)[0], *shared_patterns(place))
        for path in from_top
        if package.member
        and (pattern in ("**", path) or (pattern.endswith("/**") and f"{path}/".startswith(pattern[:-2])))
    }


@given(
    workspaces(),
    st.sampled_from([".", "ws", "deep/ws"]),
    st.lists(st.sampled_from(FILES + ABOVE), max_size=3),
)
def test_what_changed_has_steps_and_nothing_else(
    packages: dict[str, Package], place: str, paths: list[str]
) -> None:
    top = place.count("/") + (place != ".")
    paths = [path for path in paths if path.split("/").count("..") <= top]  # the others are not in git
    assert stepped(packages, paths, place) == set(reached(packages, *paths))


def test_patterns_of_a_workspace_below_the_top_start_at_the_top() -> None:
    reads = (Named(path="../shared/t.txt", by="a/x.rs"), Named(path="../../out", by="a/x.rs", folder=True))
    packages = workspace(member("a", "b", "../c", "../../d", reads=reads), member("b"))
    packages |= {path: Package(name="n", path=path, member=False) for path in ("../c", "../../d")}
    assert patterns(packages, "a", "a folder") == (
        ("a folder/a/**", "a folder/b/**", "c/**", "shared/t.txt"),
        "",
    )
    root = workspace(member("root", folder="."))
    assert patterns(root, ".", "ws") == (("ws/**",), "")
    assert patterns(root, ".") == (("**",), "")
    assert shared_patterns("x/ws")[:4] == (
        "x/ws/Cargo.toml",
        "x/ws/Cargo.lock",
        "x/ws/noxfile.py",
        "x/ws/.cargo/**",
    )
    assert {"x/rust-toolchain", "rust-toolchain", ".cargo/**"} <= {*shared_patterns("x/ws")}
    assert "Cargo.toml" not in shared_patterns("x/ws")
