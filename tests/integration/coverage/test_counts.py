"""What counts: a workspace with everything that a naive count gets wrong, and procedural macros.

Every figure is counts per file, and the yardstick is always a fresh target directory: what a kept
build gives must be what cargo-llvm-cov counts when it starts from nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.crates import CrateBuilder
from tests.integration.coverage.measuring import Counts, Variables, both, directly, measure


@dataclass(frozen=True)
class Measured:
    """One crate, measured by us cold and warm, and directly."""

    crate: CrateBuilder
    cold: Counts
    warm: Counts
    by_tool: Counts
    yardstick: Counts


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    place = CrateBuilder(tmp_path_factory.mktemp("measured")).with_files_of("everything")
    crate = CrateBuilder(place.directory / "everything").with_noxfile()
    return Measured(
        crate=crate,
        cold=measure(crate, "--backend=cargo"),
        warm=measure(crate, "--backend=cargo"),
        by_tool=measure(crate, "--backend=cargo-llvm-cov"),
        yardstick=directly(crate, "--workspace", "--all-features"),
    )


def test_both_backends_count_cold_and_warm_what_cargo_llvm_cov_counts_itself(measured: Measured) -> None:
    assert measured.cold == measured.yardstick
    assert measured.warm == measured.yardstick
    assert measured.by_tool == measured.yardstick


def test_tests_examples_benches_and_what_is_outside_the_workspace_do_not_count(measured: Measured) -> None:
    assert set(measured.cold) == {"src/lib.rs", "src/main.rs", "shapes/src/lib.rs", "user/src/lib.rs"}


def test_a_program_that_an_integration_test_starts_is_counted(measured: Measured) -> None:
    assert measured.cold["src/main.rs"] == (4, 4)


# The scope


def test_scope_crate_in_a_root_package_counts_that_package_alone(measured: Measured) -> None:
    counts = both(measured.crate, "--scope=crate")
    assert counts == directly(measured.crate, "--all-features")
    assert set(counts) == {"src/lib.rs", "src/main.rs"}


@pytest.mark.parametrize("member", ["user", "shapes"])
def test_scope_crate_in_a_members_directory_counts_that_member_alone(measured: Measured, member: str) -> None:
    """Also after a run of the whole workspace, in which more of the macro was reached."""
    measure(measured.crate, "--backend=cargo")
    crate = CrateBuilder(measured.crate.directory / member).with_noxfile("workspace=False")
    counts = both(crate)
    assert counts == directly(crate, "--all-features")
    assert set(counts) == {f"{member}/src/lib.rs"}


def test_scope_workspace_in_a_members_directory_counts_all_members(measured: Measured) -> None:
    crate = CrateBuilder(measured.crate.directory / "user").with_noxfile("workspace=False")
    assert both(crate, "--scope=workspace") == measured.yardstick


# Kept builds and procedural macros


def with_macro_members(crate: CrateBuilder) -> CrateBuilder:
    """Write the members ``shapes``, a procedural macro, and ``user``, which uses it."""
    return crate.with_files_of("everything/everything", "shapes").with_files_of(
        "everything/everything", "user"
    )


@dataclass(frozen=True)
class Macros:
    """A workspace of a macro and its user, restored before each test, with its figure."""

    crate: CrateBuilder
    yardstick: Counts


@pytest.fixture(scope="module")
def built_macros(tmp_path_factory: pytest.TempPathFactory) -> Macros:
    crate = with_macro_members(CrateBuilder(tmp_path_factory.mktemp("macros") / "macros").with_noxfile())
    crate.with_file("Cargo.toml", '[workspace]\nresolver = "2"\nmembers = ["shapes", "user"]\n')
    return Macros(crate=crate, yardstick=directly(crate, "--workspace", "--all-features"))


@pytest.fixture
def macros(built_macros: Macros) -> Macros:
    with_macro_members(built_macros.crate)
    assert measure(built_macros.crate, "--backend=cargo") == built_macros.yardstick
    return built_macros


def test_an_unchanged_build_keeps_what_the_macro_reached_in_it(macros: Macros) -> None:
    assert both(macros.crate) == macros.yardstick


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        pytest.param("user/src/lib.rs", "    0\n", "    1 - 1\n", id="the user alone"),
        pytest.param("user/src/lib.rs", " + shapes::number!(two)", " + 2", id="a use of the macro"),
        pytest.param("shapes/src/lib.rs", '"two" {', '"zwei" {', id="the macro"),
    ],
)
def test_after_an_edit_the_macro_counts_as_in_a_fresh_build(
    macros: Macros, file: str, old: str, new: str
) -> None:
    path = macros.crate.directory / file
    path.write_text(path.read_text().replace(old, new))
    counts = both(macros.crate)
    assert counts == directly(macros.crate, "--workspace", "--all-features")
    assert (counts["shapes/src/lib.rs"] == macros.yardstick["shapes/src/lib.rs"]) == (old == "    0\n")


def test_after_a_build_that_stopped_half_way_the_macro_counts_as_in_a_fresh_build(macros: Macros) -> None:
    path = macros.crate.directory / "shapes/src/lib.rs"
    path.write_text(path.read_text() + "// edited\n")
    macros.crate.with_file("user/src/lib.rs", "syntax error")
    assert macros.crate.coverage().code == 1
    macros.crate.with_files_of("everything/everything", "user")
    assert both(macros.crate) == macros.yardstick


@pytest.mark.parametrize(
    "other", [{"RUSTFLAGS": "--cfg short"}, {"RUSTUP_TOOLCHAIN": "nightly"}], ids=["flags", "toolchain"]
)
def test_with_other_flags_or_another_toolchain_and_back_the_macro_counts_as_in_a_fresh_build(
    macros: Macros, other: Variables
) -> None:
    path = macros.crate.directory / "user/src/lib.rs"
    short = "    #[cfg(short)]\n    return 3;\n    #[cfg(not(short))]\n    if more {"
    path.write_text(path.read_text().replace("    if more {", short))
    before = both(macros.crate)
    assert both(macros.crate, env=other) == directly(macros.crate, "--workspace", "--all-features", env=other)
    assert both(macros.crate) == before == directly(macros.crate, "--workspace", "--all-features")
