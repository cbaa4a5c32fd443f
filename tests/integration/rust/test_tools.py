"""Which LLVM tools and which cargo-llvm-cov are used; scripts stand for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.rust.tools import (
    CargoLlvmCov,
    LlvmTools,
    find_cargo_llvm_cov,
    find_llvm_tools,
    need_llvm_tools,
)
from tests.fakes import Fakes, only_fakes


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    return only_fakes(tmp_path, monkeypatch)


# LLVM

PLACES = ["named", "scripts", "path", "sysroot"]


@pytest.mark.parametrize("first", PLACES)
def test_the_first_place_that_has_the_tools_is_taken(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    made = {
        place: fakes.llvm(fakes.sysroot_programs if place == "sysroot" else place)
        for place in PLACES[PLACES.index(first) :]
    }
    if first == "named":
        monkeypatch.setenv("LLVM_COV", str(made["named"].cov))
        monkeypatch.setenv("LLVM_PROFDATA", str(made["named"].profdata))

    assert find_llvm_tools(fakes.cargo) == made[first]


def test_the_distributions_folder_of_the_same_version_comes_last(fakes: Fakes) -> None:
    """Which of these are there depends on the machine; `.ci/run` installs one from Debian."""
    for major in range(10, 40):
        fakes.rustc(llvm=major)
        folder = Path(f"/usr/lib/llvm-{major}/bin")
        tools = LlvmTools(cov=folder / "llvm-cov", profdata=folder / "llvm-profdata")
        there = tools.cov.exists() and tools.profdata.exists()

        assert find_llvm_tools(fakes.cargo) == (tools if there else None)


def test_older_tools_on_path_are_passed_over_and_asked_for_their_version_alone(fakes: Fakes) -> None:
    fakes.llvm("path", version=14)
    right = fakes.llvm(fakes.sysroot_programs)

    assert find_llvm_tools(fakes.cargo) == right
    assert set(fakes.calls) <= {"llvm-cov --version", "llvm-profdata --version"}


def test_tools_with_the_version_in_their_name_are_found_beside_older_ones(fakes: Fakes) -> None:
    fakes.llvm("path", version=14)
    fakes.llvm("path", version=14, suffix="-14")
    right = fakes.llvm("path", suffix="-99")

    assert find_llvm_tools(fakes.cargo) == right


@pytest.mark.parametrize("flaw", ["alone", "broken", "mixed", "not executable"])
def test_tools_that_could_not_do_their_work_are_passed_over(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, flaw: str
) -> None:
    flawed = fakes.llvm("flawed")
    match flaw:
        case "alone":
            flawed.profdata.unlink()
        case "broken":
            flawed.cov.write_text("#!/no/such/interpreter\n")
        case "mixed":
            fakes.add("flawed/llvm-profdata", "echo LLVM version 14.0.6")
        case "not executable":
            flawed.cov.chmod(0o644)
    monkeypatch.setenv("PATH", f"{flawed.cov.parent}::{fakes.directory}/path")
    right = fakes.llvm("path")

    assert find_llvm_tools(fakes.cargo) == right


@pytest.mark.parametrize(
    ("variable", "name", "other"),
    [
        ("LLVM_COV", "llvm-cov", "llvm-profdata"),
        ("LLVM_PROFDATA", "llvm-profdata", "llvm-cov"),
        ("LLVM_COV", "llvm-cov-99", "llvm-profdata-99"),
        ("LLVM_PROFDATA", "llvm-profdata-99", "llvm-cov-99"),
    ],
)
def test_one_variable_is_enough_for_the_two_tools(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, variable: str, name: str, other: str
) -> None:
    """The other lies beside it; Debian has llvm-cov of its default version there as well."""
    folder = fakes.llvm("named", version=14 if "-99" in name else 99).cov.parent
    fakes.llvm("named", suffix="-99")
    monkeypatch.setenv(variable, str(folder / name))

    found = find_llvm_tools(fakes.cargo)

    assert found is not None
    assert {found.cov, found.profdata} == {folder / name, folder / other}
    assert "llvm-cov" in found.cov.name


def test_a_variable_may_name_a_program_of_path(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    right = fakes.llvm("path", suffix="-mine")
    monkeypatch.setenv("LLVM_COV", "llvm-cov-mine")
    monkeypatch.setenv("LLVM_PROFDATA", "llvm-profdata-mine")

    assert find_llvm_tools(fakes.cargo) == right


@pytest.mark.parametrize("variable", ["LLVM_COV", "LLVM_PROFDATA"])
@pytest.mark.parametrize(
    ("script", "which"),
    [
        ("echo LLVM version 14.0.6", "of LLVM 14"),
        ("echo hello", "missing or does not say its version"),
        ("exit 3", "missing or does not say its version"),
    ],
)
def test_a_variable_that_names_another_version_is_an_error(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, variable: str, script: str, which: str
) -> None:
    """It is not passed over although the right tools are at hand: the user asked for it."""
    right = fakes.llvm("path")
    monkeypatch.setenv("LLVM_COV", str(right.cov))
    monkeypatch.setenv("LLVM_PROFDATA", str(right.profdata))
    wrong = fakes.add("wrong/tool", script)
    monkeypatch.setenv(variable, str(wrong))

    with pytest.raises(UserError) as error:
        find_llvm_tools(fakes.cargo)

    assert str(error.value) == (
        f"rustc needs the tools of LLVM 99, this one is {which}\n"
        f" --> {variable}={wrong}\n"
        "help: unset LLVM_COV and LLVM_PROFDATA, or point both to matching tools"
    )


def test_a_variable_that_names_what_cannot_be_started_is_an_error(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = fakes.llvm("named").cov
    broken.write_text("#!/no/such/interpreter\n")
    monkeypatch.setenv("LLVM_COV", str(broken))

    with pytest.raises(UserError, match="missing or does not say its version") as error:
        find_llvm_tools(fakes.cargo)

    assert error.value.where == f"LLVM_COV={broken}"


@pytest.mark.parametrize("variable", ["LLVM_COV", "LLVM_PROFDATA", "CARGO_LLVM_COV"])
def test_a_variable_that_names_nothing_there_is_an_error(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    fakes.llvm("path")
    monkeypatch.setenv(variable, "/no/such/tool")

    with pytest.raises(UserError) as error:
        find_cargo_llvm_cov() if variable == "CARGO_LLVM_COV" else find_llvm_tools(fakes.cargo)

    assert str(error.value) == (
        f"the variable {variable} names a program that is not there\n"
        f" --> {variable}=/no/such/tool\n"
        f"help: correct it, or unset {variable}"
    )


@pytest.mark.parametrize("variable", ["LLVM_COV", "LLVM_PROFDATA", "CARGO_LLVM_COV"])
def test_an_empty_variable_counts_as_none(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    right = fakes.llvm("path")
    monkeypatch.setenv(variable, "")

    assert find_llvm_tools(fakes.cargo) == right
    assert find_cargo_llvm_cov() is None


def test_missing_tools_are_one_message_with_the_one_command(fakes: Fakes) -> None:
    fakes.llvm("path", version=14)

    with pytest.raises(UserError) as error:
        need_llvm_tools(fakes.cargo)

    assert str(error.value) == (
        "llvm-cov and llvm-profdata of LLVM 99 are missing "
        "(rustc 9.9.9 writes profiles that only LLVM 99 reads)\n"
        " --> LLVM_COV, PATH, rustc's sysroot, /usr/lib/llvm-99/bin\n"
        "help: run `nox -s setup`, which provides it"
    )


# cargo-llvm-cov


def add_cargo_llvm_cov(fakes: Fakes, folder: str, version: str) -> CargoLlvmCov:
    path = fakes.add(f"{folder}/cargo-llvm-cov", f"echo cargo-llvm-cov {version}")
    return CargoLlvmCov(path=path, version=version)


@pytest.mark.parametrize("first", ["named", "scripts", "path"])
def test_the_first_cargo_llvm_cov_is_taken(fakes: Fakes, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    places = ["named", "scripts", "path"]
    made = {
        place: add_cargo_llvm_cov(fakes, place, f"0.9.{number}")
        for number, place in enumerate(places)
        if number >= places.index(first)
    }
    if first == "named":
        monkeypatch.setenv("CARGO_LLVM_COV", str(made[first].path))

    assert find_cargo_llvm_cov() == made[first]
    assert fakes.calls == ["cargo-llvm-cov llvm-cov --version"]


@pytest.mark.parametrize("version", ["0.9.0", "0.10.1", "1.0.0", "0.9.1-dev"])
def test_newer_versions_are_taken(fakes: Fakes, version: str) -> None:
    assert add_cargo_llvm_cov(fakes, "path", version) == find_cargo_llvm_cov()


@pytest.mark.parametrize("says", ["cargo-llvm-cov 0.8.7", "cargo-llvm-cov 0.6.21", "hello", ""])
def test_an_older_cargo_llvm_cov_is_passed_over(fakes: Fakes, says: str) -> None:
    fakes.add("scripts/cargo-llvm-cov", f"echo {says}")
    assert find_cargo_llvm_cov() is None

    right = add_cargo_llvm_cov(fakes, "path", "0.9.2")
    assert find_cargo_llvm_cov() == right


def test_a_cargo_llvm_cov_that_cannot_be_started_is_passed_over(fakes: Fakes) -> None:
    fakes.add("scripts/cargo-llvm-cov").write_text("#!/no/such/interpreter\n")
    right = add_cargo_llvm_cov(fakes, "path", "0.9.2")

    assert find_cargo_llvm_cov() == right


@pytest.mark.parametrize(
    ("says", "which"), [("cargo-llvm-cov 0.8.7", "is 0.8.7"), ("", "does not say its version")]
)
def test_a_variable_that_names_an_older_cargo_llvm_cov_is_an_error(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, says: str, which: str
) -> None:
    old = fakes.add("old/cargo-llvm-cov", f"echo {says}")
    add_cargo_llvm_cov(fakes, "path", "0.9.2")
    monkeypatch.setenv("CARGO_LLVM_COV", str(old))

    with pytest.raises(UserError) as error:
        find_cargo_llvm_cov()

    assert str(error.value) == (
        f"cargo-llvm-cov 0.9 or newer is needed, this one {which}\n"
        f" --> CARGO_LLVM_COV={old}\n"
        "help: unset CARGO_LLVM_COV, or point it to a newer one"
    )


def test_the_variable_as_cargo_llvm_cov_itself_sets_it_names_no_program(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under ``cargo llvm-cov run`` and after ``cargo llvm-cov show-env`` it is 1."""
    right = add_cargo_llvm_cov(fakes, "path", "0.9.2")
    monkeypatch.setenv("CARGO_LLVM_COV", "1")

    assert find_cargo_llvm_cov() == right
