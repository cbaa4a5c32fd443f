"""What earlier builds read, from cargo's notes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rustvmm_sessions.rust.dep_info import with_dep_info
from rustvmm_sessions.rust.reads import Named, Package

if TYPE_CHECKING:
    from pathlib import Path

NOTE = """\
{root}/target/a-1.rmeta: a/src/lib.rs a/src/inner.rs shared/with\\ space.txt {root}/gen/x.rs b/README.md

{root}/target/debug/deps/a-1.d: a/src/lib.rs

a/src/lib.rs:
"""


def test_files_elsewhere_are_added_to_what_sources_name(tmp_path: Path) -> None:
    known = Named(path="shared/known.txt", by="a/src/lib.rs")
    packages = {"a": Package(name="a", path="a", reads=(known,)), "b": Package(name="b", path="b")}
    notes = tmp_path / "target/debug/deps"
    notes.mkdir(parents=True)
    (notes / "a-1.d").write_text(NOTE.format(root=tmp_path))
    (notes / "serde-2.d").write_text("/home/x/serde.d: /home/x/serde/src/lib.rs shared/other.txt\n")
    (notes / "empty.d").write_text("")
    output = tmp_path / "target/x-musl/release/build/b-3/output"
    output.parent.mkdir(parents=True)
    output.write_text(
        "cargo:rerun-if-changed=../schema\ncargo::rerun-if-changed=build.rs\ncargo:rustc-cfg=x\n"
    )

    found = with_dep_info(packages, tmp_path, tmp_path / "target")

    assert found["a"].reads[0] == known
    named = [(each.path, each.by) for each in found["a"].reads[1:]]
    assert named == [
        (path, "an earlier build") for path in ("shared/with space.txt", "gen/x.rs", "b/README.md")
    ]
    assert [each.path for each in found["b"].reads] == ["schema"]


def test_without_a_build_nothing_is_added(tmp_path: Path) -> None:
    packages = {"a": Package(name="a", path="a")}
    assert with_dep_info(packages, tmp_path, tmp_path / "target") == packages
