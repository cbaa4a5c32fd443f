"""Which Rust is used, and what cargo's own files say; with the toolchains of real rustup."""

from __future__ import annotations

import signal
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.errors import UserError
from rustvmm_sessions.rust.cargo import Cargo, Workspace, own_folder
from rustvmm_sessions.rust.lockfile import lockfile_kept
from tests.crates import CrateBuilder, new_crate, run
from tests.fakes import HOST, Fakes, only_fakes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUSTUP_TOOLCHAIN", "CARGO", "RUSTC"):
        monkeypatch.delenv(name, raising=False)


# The toolchain

NIGHTLY = '[toolchain]\nchannel = "nightly"\n'


@pytest.mark.usefixtures("_no_variables")
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({}, "", id="nothing"),
        pytest.param({"crate/rust-toolchain.toml": NIGHTLY}, "-nightly", id="rust-toolchain.toml"),
        pytest.param({"crate/rust-toolchain": "nightly\n"}, "-nightly", id="rust-toolchain"),
        pytest.param({"rust-toolchain.toml": NIGHTLY}, "-nightly", id="of-the-directory-above"),
        pytest.param({"RUSTUP_TOOLCHAIN": "nightly"}, "-nightly", id="RUSTUP_TOOLCHAIN"),
        pytest.param(
            {"crate/rust-toolchain.toml": NIGHTLY, "RUSTUP_TOOLCHAIN": "1.95.0"},
            "1.95.0",
            id="variable-first",
        ),
        pytest.param({"RUSTUP_TOOLCHAIN": "1.95.0", "+": "nightly"}, "-nightly", id="+nightly-before-all"),
    ],
)
def test_rust_is_chosen_as_cargo_chooses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, str], expected: str
) -> None:
    (tmp_path / "crate").mkdir()
    session = {}
    for place, text in said.items():
        match place:
            case "RUSTUP_TOOLCHAIN":
                monkeypatch.setenv(place, text)
            case "+":  # how `nox -s coverage -- +nightly` reaches cargo
                session = {"RUSTUP_TOOLCHAIN": text}
            case _:
                (tmp_path / place).write_text(text)

    cargo = Cargo(directory=tmp_path / "crate", env=session)

    assert cargo.toolchain.release.endswith(expected)
    assert f"release: {cargo.toolchain.release}\n" in cargo.read("-vV").stdout


@pytest.mark.usefixtures("_no_variables")
def test_a_toolchain_that_is_not_installed_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUSTUP_AUTO_INSTALL", "0")
    (tmp_path / "rust-toolchain.toml").write_text('[toolchain]\nchannel = "1.31.0"\n')

    with pytest.raises(UserError, match=r"1\.31\.0.* is not installed") as error:
        _ = Cargo(directory=tmp_path).toolchain

    assert error.value.where == str(tmp_path)
    assert "`rustup toolchain install`" in error.value.fix


@pytest.mark.usefixtures("_no_variables")
def test_where_rustup_has_no_toolchain_one_is_to_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        _ = Cargo(directory=tmp_path, env={"RUSTUP_HOME": str(tmp_path / "rustup")}).toolchain

    assert error.value.fix == "choose a toolchain: `rustup default stable`"


@pytest.mark.usefixtures("_no_variables")
def test_a_missing_toolchain_of_the_command_line_is_named_and_without_a_backtrace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUST_BACKTRACE", "1")
    monkeypatch.setenv("RUSTUP_AUTO_INSTALL", "0")

    with pytest.raises(UserError) as error:
        _ = Cargo(directory=tmp_path, env={"RUSTUP_TOOLCHAIN": "1.31.0"}).toolchain

    assert error.value.fix == "install it: `rustup toolchain install 1.31.0`"
    assert "backtrace" not in str(error.value)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    monkeypatch.delenv("CARGO", raising=False)
    return only_fakes(tmp_path, monkeypatch)


RUSTUP = "install Rust from https://rustup.rs, or correct PATH"


def test_a_missing_rustc_is_one_message(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUSTC")

    with pytest.raises(UserError) as error:
        _ = fakes.cargo.toolchain

    assert str(error.value) == (
        f"rustc cannot be run: the program 'rustc' is not there\n --> rustc -vV\nhelp: {RUSTUP}"
    )


def test_a_missing_cargo_is_one_message(fakes: Fakes) -> None:
    (fakes.directory / "path" / "cargo").unlink()
    for call in (fakes.cargo.run, fakes.cargo.read):
        with pytest.raises(UserError) as error:
            call("test")

        assert str(error.value) == (
            f"cargo cannot be run: the program 'cargo' is not there\n --> cargo test\nhelp: {RUSTUP}"
        )


def test_a_missing_directory_is_not_taken_for_a_missing_cargo(fakes: Fakes) -> None:
    fakes.add("path/cargo")

    with pytest.raises(UserError, match="the directory to run in does not exist") as error:
        Cargo(directory=fakes.directory / "nowhere").run("test")

    assert error.value.where == str(fakes.directory / "nowhere")


def test_a_rustc_without_llvm_is_one_message(fakes: Fakes) -> None:
    fakes.add("rustc", f"printf 'release: 9.9.9\\nhost: {HOST}\\n'")

    with pytest.raises(UserError, match="does not say its release, host and LLVM version"):
        _ = fakes.cargo.toolchain


def test_a_rustc_of_the_variable_that_fails_is_named(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = fakes.add("broken", "echo 'cannot open librustc_driver.so' >&2; exit 127")
    monkeypatch.setenv("RUSTC", str(broken))

    with pytest.raises(UserError, match="cannot open librustc_driver") as error:
        _ = fakes.cargo.toolchain

    assert error.value.where == f"RUSTC={broken}"
    assert error.value.fix == "correct the variable RUSTC, or unset it"


@pytest.mark.parametrize("by", ["caller", "register"])
def test_the_variables_cargo_and_rustc_name_the_programs(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    fakes.add("path/cargo", "echo wrong")
    fakes.add("path/rustc", "echo wrong")
    named = {
        "CARGO": str(fakes.add("my cargo", "echo mine")),
        "RUSTC": str(fakes.add("my rustc", f"printf 'release: 1.0.0\\nhost: {HOST}\\nLLVM version: 7.0\\n'")),
    }
    if by == "caller":
        for name, value in named.items():
            monkeypatch.setenv(name, value)
    cargo = Cargo(directory=fakes.directory, env=named if by == "register" else {})

    assert cargo.read("--version").stdout == "mine\n"
    assert cargo.toolchain.release == "1.0.0"


# Cargo.lock


class Kept:
    """A crate whose Cargo.lock is to stay, with cargo's part played by the test."""

    def __init__(self, directory: Path) -> None:
        self.lock = directory / "crate" / "Cargo.lock"
        self.keep = directory / "keep"
        self.lock.parent.mkdir()
        self.keep.mkdir()

    def run(self, makes: str | None = None) -> str | None:
        """Let cargo run and write the file; return what it found there."""
        root = self.lock.parent
        workspace = Workspace(root=root, target_directory=root / "target", members=(), current=None)
        with lockfile_kept(workspace, self.keep):
            found = self.text
            if makes is not None:
                self.lock.write_text(makes)
        return found

    @property
    def text(self) -> str | None:
        return self.lock.read_bytes().decode() if self.lock.exists() else None


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_a_lock_file_that_cargo_completes_is_as_it_was_and_completed_but_once(kept: Kept) -> None:
    kept.lock.write_text("old\r\n")
    kept.lock.chmod(0o600)

    assert kept.run(makes="complete\n") == "old\r\n"
    assert kept.lock.read_bytes() == b"old\r\n"
    assert stat.S_IMODE(kept.lock.stat().st_mode) == 0o600

    assert kept.run() == "complete\n"
    assert kept.lock.read_bytes() == b"old\r\n"


def test_a_lock_file_that_cargo_makes_is_kept_for_the_next_run_alone(kept: Kept) -> None:
    assert kept.run(makes="made\n") is None
    assert kept.text is None

    assert kept.run() == "made\n"
    assert kept.text is None


def test_a_lock_file_that_nobody_changes_is_not_touched(kept: Kept) -> None:
    kept.lock.write_text("old\n")
    before = kept.lock.stat()

    kept.run(makes=None)

    assert kept.lock.stat() == before


def test_a_lock_file_that_its_user_changes_is_completed_anew(kept: Kept) -> None:
    kept.lock.write_text("old\n")
    kept.run(makes="complete\n")
    kept.lock.write_text("new\n")
    assert kept.run() == "new\n"

    kept.lock.unlink()
    assert kept.run() is None

    kept.run(makes="made\n")
    kept.lock.write_text("old\n")
    assert kept.run() == "old\n"


@pytest.mark.parametrize("before", ["old\n", None])
def test_after_ctrl_c_the_lock_file_is_as_it_was(kept: Kept, before: str | None) -> None:
    if before:
        kept.lock.write_text(before)
    root = kept.lock.parent

    def interrupted() -> None:
        workspace = Workspace(root=root, target_directory=root / "target", members=(), current=None)
        with lockfile_kept(workspace, kept.keep):
            kept.lock.write_text("new\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert kept.text == before


KILLED = """\
import os, pathlib, signal, sys
from rustvmm_sessions.rust.cargo import Workspace
from rustvmm_sessions.rust.lockfile import lockfile_kept

root, keep = map(pathlib.Path, sys.argv[1:])
workspace = Workspace(root=root, target_directory=root / "target", members=(), current=None)
with lockfile_kept(workspace, keep):
    (root / "Cargo.lock").write_text("made\\n")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("committed", [False, True])
def test_what_a_killed_run_left_is_removed_by_the_next_one_unless_it_is_committed(
    kept: Kept,
    committed: bool,
) -> None:
    root = kept.lock.parent
    crate = CrateBuilder(root).with_file("Cargo.toml", "").with_git()
    words = [sys.executable, "-c", KILLED, str(root), str(kept.keep)]
    assert run(words, cwd=root).code == -signal.SIGKILL
    assert kept.text == "made\n"
    if committed:
        crate.commit("we commit it now")

    assert kept.run() == "made\n"
    assert kept.text == ("made\n" if committed else None)


@pytest.mark.parametrize("committed", [False, True])
def test_a_lock_file_that_a_killed_run_completed_is_put_back_by_the_next_one_unless_it_is_committed(
    kept: Kept,
    committed: bool,
) -> None:
    root = kept.lock.parent
    crate = CrateBuilder(root).with_file("Cargo.lock", "old\n").with_git()
    kept.run(makes="made\n")
    words = [sys.executable, "-c", KILLED, str(root), str(kept.keep)]
    for _ in range(2):
        assert run(words, cwd=root).code == -signal.SIGKILL
    assert kept.text == "made\n"
    if committed:
        crate.commit("we complete it now")

    assert kept.run() == "made\n"
    assert kept.text == ("made\n" if committed else "old\n")


def test_a_lock_file_that_the_user_may_have_changed_since_a_killed_run_is_never_put_back(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    root = kept.lock.parent
    CrateBuilder(root).with_file("Cargo.lock", "old\n").with_git()
    assert run([sys.executable, "-c", KILLED, str(root), str(kept.keep)], cwd=root).code == -signal.SIGKILL
    kept.lock.write_text("updated\n")

    assert kept.run() == "updated\n"
    assert kept.text == "updated\n"
    before = kept.keep / "Cargo.lock.before"
    assert f"by you since; what it was before is in {before}\n" in capsys.readouterr().err
    assert before.read_text() == "old\n"
    assert kept.run() == "updated\n"
    assert not capsys.readouterr().err


def test_crates_with_one_target_directory_keep_their_lock_files_apart(tmp_path: Path) -> None:
    first, second = (
        Workspace(root=root, target_directory=tmp_path / "target", members=(), current=None)
        for root in (tmp_path / "first", tmp_path / "second")
    )
    for workspace in (first, second):
        workspace.root.mkdir()
    (second.root / "Cargo.lock").write_text("its own\n")

    with lockfile_kept(first, own_folder(first, "ours")):
        (first.root / "Cargo.lock").write_text("made\n")
        with lockfile_kept(second, own_folder(second, "ours")):
            (second.root / "Cargo.lock").write_text("completed\n")

    assert not (first.root / "Cargo.lock").exists()
    assert (second.root / "Cargo.lock").read_text() == "its own\n"


def test_a_target_directory_of_the_workspace_has_our_folder_itself(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path, target_directory=tmp_path / "target", members=(), current=None)
    assert own_folder(workspace, "ours") == tmp_path / "target/ours"


@pytest.mark.usefixtures("_no_variables")
def test_real_cargo_leaves_a_crate_without_lock_file_as_it_is(tmp_path: Path) -> None:
    crate = new_crate(tmp_path / "crate").with_git()
    cargo = Cargo(directory=crate.directory)
    (tmp_path / "keep").mkdir()

    with lockfile_kept(cargo.workspace, tmp_path / "keep"):
        cargo.run("generate-lockfile", "--offline").check()
        assert (crate.directory / "Cargo.lock").exists()

    assert crate.git("status", "--porcelain") == ""
