"""Providing tools: `nox -s setup` with the real ones, and scripts in place of rustup and apt-get."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rustvmm_sessions.catalog import STANDARD
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.rust.tools import find_cargo_llvm_cov, need_llvm_tools
from rustvmm_sessions.settings import Settings
from rustvmm_sessions.tooling.setup import provide_tools
from tests.crates import REPOSITORY, new_crate
from tests.fakes import Fakes, only_fakes

if TYPE_CHECKING:
    from collections.abc import Iterator

COVERAGE = [Settings(directory=Path()).session("coverage")]
OTHERS = [s.name for s in STANDARD if "gate" in s.tags and s.name != "coverage"]

# With the real tools


@pytest.mark.parametrize("options", [[], ["--", "+nightly"]])
def test_tools_that_are_there_are_named_and_nothing_is_done(tmp_path: Path, options: list[str]) -> None:
    crate = new_crate(tmp_path / "crate", options=f"skip={OTHERS!r}").with_git()
    fakes = Fakes(tmp_path / "fakes")
    for name in ("rustup", "apt-get", "sudo"):
        fakes.add(f"path/{name}", "exit 1")
    cargo = Cargo(directory=crate.directory, env={"RUSTUP_TOOLCHAIN": "nightly"} if options else {})
    tool, toolchain = find_cargo_llvm_cov(), cargo.toolchain
    assert tool is not None

    path = f"{fakes.directory}/path:{os.environ['PATH']}"
    first, second = (crate.nox("-s", "setup", *options, env={"PATH": path}) for _ in range(2))

    assert (first.code, first.out) == (
        0,
        f"LLVM {toolchain.llvm_major} tools for rustc {toolchain.release}: {need_llvm_tools(cargo).cov}\n"
        f"cargo-llvm-cov {tool.version}: {tool.path}\n",
    )
    assert (second.code, second.out) == (first.code, first.out)
    assert fakes.calls == []
    assert crate.git("status", "--porcelain") == ""


# Where the LLVM tools are missing

RUSTUP = "rustup component add --toolchain=9.9.9 llvm-tools"
UPDATE = "apt-get update --quiet"
INSTALL = "apt-get install --yes --quiet --no-install-recommends llvm-99"


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return only_fakes(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def add_rustup(fakes: Fakes, before: str = "") -> None:
    """Make a rustup whose component is at hand."""
    staged = fakes.llvm("staged").cov.parent
    folder = fakes.directory / fakes.sysroot_programs
    fakes.add(
        "path/rustup",
        f"PATH=/usr/bin:/bin; {before}\nmkdir -p {folder} && cp {staged}/* {folder}\necho rustup works >&2",
    )


def add_apt(fakes: Fakes) -> None:
    """Make an apt-get that installs as Debian's does: programs with their version in the name."""
    staged = fakes.llvm("package", suffix="-99").cov.parent
    fakes.add(
        "path/apt-get",
        f'[ "$1" = update ] || PATH=/usr/bin:/bin cp {staged}/* {fakes.directory}/path\n'
        'echo "apt-get works: $DEBIAN_FRONTEND" >&2',
    )


def test_rustup_provides_them_and_is_asked_but_once(fakes: Fakes, capfd: pytest.CaptureFixture[str]) -> None:
    add_rustup(fakes)
    add_apt(fakes)

    provide_tools(fakes.cargo, COVERAGE)

    out, err = capfd.readouterr()
    cov = fakes.directory / fakes.sysroot_programs / "llvm-cov"
    summary = (
        f"LLVM 99 tools for rustc 9.9.9: {cov}\n"
        "cargo-llvm-cov 0.9: not found; coverage uses the LLVM tools alone, with the same figures\n"
    )
    assert out == f"LLVM 99 tools for rustc 9.9.9: missing\n{summary}"
    assert err == f"+ {fakes.directory}/path/{RUSTUP}\nrustup works\n"
    assert fakes.calls == [RUSTUP]

    provide_tools(fakes.cargo, COVERAGE)

    assert capfd.readouterr() == (summary, "")
    assert fakes.calls == [RUSTUP]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param("exit 1", "that did not work (exit status 1)\n", id="fails"),
        pytest.param("", "", id="provides-nothing"),
    ],
)
def test_where_rustup_cannot_provide_them_apt_does(
    fakes: Fakes, capfd: pytest.CaptureFixture[str], script: str, said: str
) -> None:
    fakes.add("path/rustup", script)
    add_apt(fakes)

    provide_tools(fakes.cargo, COVERAGE)

    out, err = capfd.readouterr()
    bin_ = f"{fakes.directory}/path"
    assert out.startswith(
        f"LLVM 99 tools for rustc 9.9.9: missing\n{said}LLVM 99 tools for rustc 9.9.9: {bin_}/llvm-cov-99\n"
    )
    assert err == (
        f"+ {bin_}/{RUSTUP}\n"
        f"+ {bin_}/{UPDATE}\napt-get works: noninteractive\n"
        f"+ {bin_}/{INSTALL}\napt-get works: noninteractive\n"
    )
    assert fakes.calls == [RUSTUP, UPDATE, INSTALL]


def test_rustup_is_not_asked_for_a_toolchain_that_is_not_its_own(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A distribution's rustc beside an installed rustup."""
    monkeypatch.setenv("RUSTUP_HOME", str(fakes.directory / "elsewhere"))
    add_rustup(fakes)
    add_apt(fakes)

    provide_tools(fakes.cargo, COVERAGE)

    assert fakes.calls == [UPDATE, INSTALL]


def test_who_is_not_root_installs_by_sudo_where_that_asks_nothing(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    fakes.add("path/true")
    fakes.add("path/sudo", '[ "$1" = -n ] && shift && exec "$@"')
    add_apt(fakes)

    provide_tools(fakes.cargo, COVERAGE)

    apt = f"{fakes.directory}/path"
    assert [call for call in fakes.calls if call.startswith(("sudo -n /", "apt"))] == [
        f"sudo -n {apt}/{UPDATE}",
        UPDATE,
        f"sudo -n {apt}/{INSTALL}",
        INSTALL,
    ]


@pytest.mark.parametrize("sudo", ["asks for a password", "not there"])
def test_who_may_not_install_is_told_the_command(
    fakes: Fakes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], sudo: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if sudo == "asks for a password":
        fakes.add("path/sudo", "echo sudo: a password is required >&2; exit 1")
    add_apt(fakes)

    with pytest.raises(UserError, match="could not be provided"):
        provide_tools(fakes.cargo, COVERAGE)

    out, err = capfd.readouterr()
    assert out == (
        "LLVM 99 tools for rustc 9.9.9: missing\n"
        "apt-get needs root: run `sudo apt-get install llvm-99` yourself\n"
    )
    assert err == ""
    assert not any(call.startswith("apt-get") for call in fakes.calls)


@pytest.mark.parametrize("apt", ["not there", "fails"])
def test_what_cannot_be_provided_is_one_message(fakes: Fakes, apt: str) -> None:
    if apt == "fails":
        fakes.add("path/apt-get", "exit 100")

    with pytest.raises(UserError) as error:
        provide_tools(fakes.cargo, COVERAGE)

    assert str(error.value) == (
        "LLVM 99 tools for rustc 9.9.9 could not be provided\n"
        " --> rustc's sysroot, /usr/lib/llvm-99/bin\n"
        "help: install them (`rustup component add llvm-tools`, or your distribution's package llvm-99), "
        "or set LLVM_COV and LLVM_PROFDATA to them"
    )


def test_an_outdated_package_list_does_not_keep_apt_from_installing(fakes: Fakes) -> None:
    """One of several package sources may be out of reach."""
    add_apt(fakes)
    working = (fakes.directory / "path" / "apt-get").read_text()
    (fakes.directory / "path" / "apt-get").write_text(f'{working}[ "$1" != update ] || exit 100\n')

    provide_tools(fakes.cargo, COVERAGE)

    assert fakes.calls == [UPDATE, INSTALL]


SETUP = """\
import sys
from pathlib import Path
from rustvmm_sessions.tooling.setup import provide_tools
from rustvmm_sessions.rust.cargo import Cargo
from rustvmm_sessions.settings import Settings

here = Path(sys.argv[1])
provide_tools(Cargo(directory=here), [Settings(directory=here).session("coverage")])
"""


@contextmanager
def setup(fakes: Fakes) -> Iterator[subprocess.Popen[str]]:
    """Start a setup in a process of its own; it is ended if it hangs."""
    with subprocess.Popen(
        [sys.executable, "-c", SETUP, fakes.directory],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        too_long = threading.Timer(20, process.kill)
        too_long.start()
        try:
            yield process
        finally:
            too_long.cancel()
            process.kill()


def test_of_two_at_once_the_second_waits_and_says_so(fakes: Fakes) -> None:
    go = fakes.directory / "go"
    add_rustup(fakes, before=f"until [ -e {go} ]; do sleep 0.02; done")

    with setup(fakes) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "LLVM 99 tools for rustc 9.9.9: missing\n"
        with setup(fakes) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "another setup is under way; waiting for it to end\n"

            go.touch()

            outputs = [process.communicate(timeout=20)[0] for process in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0)
    assert outputs[0] == outputs[1]
    assert outputs[1].startswith(f"LLVM 99 tools for rustc 9.9.9: {fakes.directory}/")
    assert fakes.calls == [RUSTUP]
