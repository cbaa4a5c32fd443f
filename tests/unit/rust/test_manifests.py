"""Members of a workspace, from manifests alone. The rules are cargo's (workspace.rs: find_path_deps)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.rust.manifests import has_benchmarks, packages, shared

if TYPE_CHECKING:
    from pathlib import Path

    from rustvmm_sessions.rust.reads import Package


def members(root: Path) -> list[Package]:
    return [package for package in packages(root).values() if package.member]


def package(root: Path, path: str, dependencies: str = "", name: str = "") -> None:
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    name = name or folder.name
    (folder / "Cargo.toml").write_text(f'[package]\nname = "{name}"\nversion = "0.1.0"\n{dependencies}')


def workspace(root: Path, text: str) -> Path:
    (root / "Cargo.toml").write_text(text)
    return root


def test_globs_exclude_and_folders_without_a_manifest(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["crates/*", "one"]\nexclude = ["crates/fuzz"]\n')
    for path in ("crates/b", "crates/a", "crates/fuzz", "one", "not-listed"):
        package(root, path)
    (root / "crates" / "docs").mkdir()
    (root / "crates" / "README.md").write_text("a file")
    assert [m.path for m in members(root)] == ["crates/a", "crates/b", "one"]


def test_a_listed_member_wins_over_exclude(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["fuzz"]\nexclude = ["fuzz"]\n')
    package(root, "fuzz")
    assert [m.path for m in members(root)] == ["fuzz"]


def test_path_dependencies_of_every_kind_are_members_and_needed(tmp_path: Path) -> None:
    root = workspace(
        tmp_path,
        '[workspace]\nmembers = ["app"]\n[workspace.dependencies]\nshared = { path = "libs/shared" }\n',
    )
    package(
        root,
        "app",
        '[dependencies]\nshared = { workspace = true }\nserde = "1"\noutside = { path = "../../outside" }\n'
        '[dev-dependencies]\ntesting = { path = "../libs/testing" }\n'
        "[target.'cfg(unix)'.build-dependencies]\nbuild = { path = '../libs/build' }\n",
    )
    package(root, "libs/shared", '[dependencies]\nbase = { path = "../base" }\n')
    for path in ("libs/base", "libs/testing", "libs/build"):
        package(root, path)
    found = {m.path: m.needs for m in members(root)}
    assert set(found) == {"app", "libs/shared", "libs/base", "libs/testing", "libs/build"}
    assert set(found["app"]) == {"libs/shared", "libs/testing", "libs/build", "../outside"}
    assert found["libs/shared"] == ("libs/base",)
    assert found["libs/base"] == ()


def test_a_circle_of_dev_dependencies_ends(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["a", "b"]\n')
    package(root, "a", '[dependencies]\nb = { path = "../b" }\n')
    package(root, "b", '[dev-dependencies]\na = { path = "../a" }\n')
    assert {m.path: m.needs for m in members(root)} == {"a": ("b",), "b": ("a",)}


def test_a_package_without_workspace_is_its_only_member(tmp_path: Path) -> None:
    package(tmp_path, ".", '[dependencies]\nsub = { path = "sub" }\n', name="single")
    package(tmp_path, "sub")
    assert [(m.name, m.path, m.needs) for m in members(tmp_path)] == [("single", ".", ("sub",))]


def test_two_stars_do_not_follow_links_in_circles(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["crates/**"]\n')
    package(root, "crates/deep/er")
    (root / "crates" / "deep" / "loop").symlink_to(root / "crates")
    assert [m.path for m in members(root)] == ["crates/deep/er"]


@pytest.mark.parametrize(
    ("manifest", "where", "what"),
    [
        ("[workspace\n", "Cargo.toml:1", "invalid TOML"),
        ('[workspace]\nmembers = "a"\n', "Cargo.toml, workspace.members", "members is a list of paths"),
        ('[workspace]\nmembers = ["gone"]\n', "Cargo.toml, workspace.members", "'gone' has no Cargo.toml"),
        ('[workspace]\nmembers = ["/etc/*"]\n', "Cargo.toml, workspace.members", "invalid pattern"),
        ('workspace = 3\n[package]\nname = "x"\n', "Cargo.toml, workspace", "workspace is a table"),
        ("[package]\nversion = '1'\n", "Cargo.toml, package.name", "no name"),
        ('[workspace]\nmembers = ["bad"]\n', "bad/Cargo.toml:2", "invalid TOML"),
    ],
)
def test_wrong_manifests_are_named(tmp_path: Path, manifest: str, where: str, what: str) -> None:
    root = workspace(tmp_path, manifest)
    (root / "bad").mkdir()
    (root / "bad" / "Cargo.toml").write_text("[package]\nname = \n")
    with pytest.raises(UserError) as error:
        members(root)
    assert error.value.where == where
    assert what in error.value.what


# What a member is built of besides


def test_a_package_outside_of_the_workspace_and_what_that_needs(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    root.mkdir()
    workspace(root, '[workspace]\nmembers = ["app"]\nexclude = ["fork"]\n')
    package(root, "app", '[dependencies]\nfork = { path = "../fork" }\nshared = { path = "../../shared" }\n')
    package(root, "fork", '[dependencies]\ninner = { path = "inner" }\n')
    package(root, "fork/inner")
    package(tmp_path, "shared")
    found = packages(root)
    assert {p.path: (p.needs, p.member) for p in found.values()} == {
        "app": (("fork", "../shared"), True),
        "fork": (("fork/inner",), False),
        "fork/inner": ((), False),
        "../shared": ((), False),
    }


BY_PATH = '[patch.crates-io]\nitoa = { path = "fork" }\n'
BY_GIT = '[patch."https://x.org/y"]\nitoa = { path = "fork" }\n'
LOCK = """\
[[package]]
name = "user"
version = "0.1.0"
dependencies = ["serde 1.0.1"]
[[package]]
name = "serde"
version = "1.0.1"
source = "registry+https://github.com/rust-lang/crates.io-index"
dependencies = ["itoa"]
[[package]]
name = "itoa"
version = "1.0.0"
"""


@pytest.mark.parametrize(
    ("top", "dependency", "lock", "needs", "perhaps"),
    [
        (BY_PATH, 'itoa = "1"', "", True, False),
        (
            '[patch.crates-io]\nitoa = { path = "fork" }\n',
            'i = { package = "itoa", version = "1" }',
            "",
            True,
            False,
        ),
        ('[patch.crates-io]\ni = { package = "itoa", path = "fork" }\n', 'itoa = "1"', "", True, False),
        (
            '[patch."https://x.org/y"]\nitoa = { path = "fork" }\n',
            'itoa = { git = "https://x.org/y" }',
            "",
            True,
            False,
        ),
        ('[replace]\n"itoa:1.0.0" = { path = "fork" }\n', 'itoa = "1"', "", True, False),
        (BY_PATH, 'serde = "1"', LOCK, True, False),
        (
            '[patch.crates-io]\nitoa = { path = "fork" }\n',
            'serde = "1"',
            LOCK.replace('["itoa"]', "[]"),
            False,
            False,
        ),
        (BY_PATH, 'serde = "1"', "", True, True),
        (BY_PATH, "", "", False, False),
        ('[patch.crates-io]\nitoa = { git = "https://x.org/y" }\n', 'itoa = "1"', "", False, False),
    ],
)
def test_a_package_that_takes_the_place_of_a_published_one(  # noqa: PLR0913 - columns of a table
    tmp_path: Path, top: str, dependency: str, lock: str, *, needs: bool, perhaps: bool
) -> None:
    root = workspace(tmp_path, f'[workspace]\nmembers = ["user"]\nexclude = ["fork"]\n{top}')
    package(root, "user", f"[dependencies]\n{dependency}\n")
    package(root, "fork", name="itoa")
    if lock:
        (root / "Cargo.lock").write_text(lock)
    user = packages(root)["user"]
    assert user.needs == (("fork",) if needs else ())
    assert user.perhaps == (frozenset(["fork"]) if perhaps else frozenset())


def test_a_patch_of_the_configuration_counts(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["user"]\nexclude = ["fork", "other"]\n')
    package(root, "user", '[dependencies]\nitoa = "1"\nother = "1"\n')
    package(root, "fork", name="itoa")
    package(root, "other")
    (root / ".cargo").mkdir()
    (root / ".cargo/config.toml").write_text(
        'paths = ["other"]\n[patch.crates-io]\nitoa = { path = "fork" }\n'
    )
    assert packages(root)["user"].needs == ("fork", "other")


@pytest.mark.parametrize(
    ("file", "text", "path"),
    [
        ("src/lib.rs", 'const T: &str = include_str!("../../shared/t.txt");', "shared/t.txt"),
        ("src/deep/er.rs", '#[path = "../../../shared/m.rs"] mod m;', "shared/m.rs"),
        ("src/lib.rs", 'include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/t"))', "shared/t"),
        ("src/lib.rs", '#![doc = include_str!("../../README.md")]', "README.md"),
        ("tests/it.rs", 'File::open("../shared/data.bin")', "shared/data.bin"),
        ("tests/it.rs", 'format!("{}/../shared/{name}", env!("CARGO_MANIFEST_DIR"))', "shared"),
        ("build.rs", 'println!("cargo::rerun-if-changed=../shared/t.c");', "shared/t.c"),
        ("build.rs", 'println!("cargo:rerun-if-changed=../other/src");', "other/src"),
        ("examples/e.rs", 'Path::new("..").join("shared")', "."),
    ],
)
def test_what_a_source_names_elsewhere_is_read(tmp_path: Path, file: str, text: str, path: str) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["a", "other"]\n')
    for name in ("a", "other"):
        package(root, name)
    (root / "a" / file).parent.mkdir(parents=True, exist_ok=True)
    (root / "a" / file).write_text(text)
    found = packages(root)["a"]
    assert (path, f"a/{file}") in [(named.path, named.by) for named in found.reads]
    assert found.unknown == ""


def test_what_is_read_elsewhere_leads_further(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["a"]\n')
    package(root, "a", '[lib]\npath = "../shared/lib.rs"\n')
    (root / "shared/inner").mkdir(parents=True)
    (root / "shared/lib.rs").write_text('mod inner;\nconst T: &str = include_str!("t.txt");\n')
    (root / "shared/inner/mod.rs").write_text('const U: &str = include_str!("../../u.txt");\n')
    (root / "a/link").symlink_to("../data")
    (root / "data").mkdir()
    (root / "data/x").symlink_to("../v.txt")
    paths = {named.path: named.by for named in packages(root)["a"].reads}
    assert paths["shared/lib.rs"] == "a/Cargo.toml"
    assert paths["shared/inner/mod.rs"] == paths["shared/t.txt"] == "shared/lib.rs"
    assert paths["u.txt"] == "shared/inner/mod.rs"
    assert paths["data"] == "the link a/link"
    assert paths["v.txt"] == "the link data/x"


@pytest.mark.parametrize(
    ("script", "table", "why"),
    [
        ('fn main() { println!("cargo::rustc-cfg=x"); }', "", ""),
        ('fn main() { std::fs::read("x"); println!("cargo:rerun-if-changed=x"); }', "", ""),
        ('fn main() { std::fs::read("x"); }', "", "a/build.rs does not say what it reads"),
        ("fn main() { helper::run(); }", '[build-dependencies]\nhelper = "1"\n', "a/build.rs does not say"),
        (
            'fn main() { println!("cargo:rerun-if-changed={}", x()); }',
            "",
            "a/build.rs computes what it reads",
        ),
    ],
)
def test_a_build_script_that_does_not_say_what_it_reads(
    tmp_path: Path, script: str, table: str, why: str
) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["a"]\n')
    package(root, "a", table)
    (root / "a/build.rs").write_text(script)
    unknown = packages(root)["a"].unknown
    assert unknown.startswith(why)
    assert bool(unknown) == bool(why)


def test_a_source_that_climbs_by_parents_may_read_anything(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["a"]\n')
    package(root, "a")
    (root / "a/tests").mkdir()
    (root / "a/tests/it.rs").write_text('Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()')
    assert packages(root)["a"].unknown == "a/tests/it.rs leaves the package's folder by its parents"


def test_what_is_built_is_not_looked_at(tmp_path: Path) -> None:
    root = workspace(tmp_path, '[package]\nname = "a"\n')
    (root / "target").mkdir()
    (root / "target/CACHEDIR.TAG").write_text("")
    (root / "target/gen.rs").write_text('include!("../../x");')
    assert packages(root)["."].reads == ()


def test_files_beside_the_manifest_concern_all(tmp_path: Path) -> None:
    root = workspace(tmp_path, "[workspace]\nmembers = []\n")
    (root / ".cargo").mkdir()
    for name in ("Cargo.lock", "clippy.toml", "README.md"):
        (root / name).write_text("")
    assert shared(root) == ("Cargo.lock", ".cargo/**", "clippy.toml")

    (root / ".gitignore").write_text("/target\n/Cargo.lock\n")
    assert shared(root) == (".cargo/**", "clippy.toml")


@pytest.mark.parametrize(
    ("manifest", "file", "found"),
    [
        ("", "benches/main.rs", True),
        ("", "benches/main/main.rs", True),
        ("", "benches/other.rs", False),
        ("autobenches = false\n", "benches/main.rs", False),
        ('[[bench]]\nname = "main"\npath = "speed.rs"\n', "speed.rs", True),
        ('[[bench]]\nname = "other"\n', "benches/other.rs", False),
    ],
)
def test_benchmarks_are_the_target_of_that_name_of_a_member(
    tmp_path: Path, manifest: str, file: str, *, found: bool
) -> None:
    root = workspace(tmp_path, '[workspace]\nmembers = ["a"]\n')
    package(root, "a", manifest)
    (root / "a" / file).parent.mkdir(parents=True, exist_ok=True)
    (root / "a" / file).write_text("")
    assert has_benchmarks(root, "main") == found


def test_without_a_manifest_there_are_no_benchmarks(tmp_path: Path) -> None:
    assert not has_benchmarks(tmp_path, "main")
