"""Small crates for tests, made in a temporary directory, and nox run in them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

UPSTREAM_VARIABLES = (
    "BUILDKITE_REPO",
    "REMOTE",
    "BUILDKITE_PULL_REQUEST_BASE_BRANCH",
    "GITHUB_BASE_REF",
    "BASE_BRANCH",
)
"""Variables of CI that say what upstream is."""
REPOSITORY = Path(__file__).resolve().parent.parent

NOXFILE = """\
import nox
from rustvmm_sessions import register

register({options})

if __name__ == "__main__":
    nox.main()
"""

MANIFEST = """\
[package]
name = "{name}"
version = "0.1.0"
edition = "2021"

[workspace]
"""

LIB = """\
//! A crate for tests.

/// Five lines that can be covered; a negative `x` is not reached.
pub fn sign(x: i32) -> i32 {
    if x < 0 {
        return -1;
    }
    1
}

#[cfg(test)]
mod tests {
    #[test]
    fn positive() {
        assert_eq!(super::sign(3), 1);
    }
}
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended: its exit status and what it printed."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass(frozen=True)
class CrateBuilder:
    """A crate in a directory; every ``with_`` writes a file and returns the builder."""

    directory: Path

    def with_file(self, name: str, text: str) -> CrateBuilder:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self

    def with_files_of(self, crate: str, folder: str = "") -> CrateBuilder:
        """Write the files of a crate of tests/data/crates, or those in one of its folders."""
        top = REPOSITORY / "tests" / "data" / "crates" / crate
        for path in sorted((top / folder).rglob("*")):
            if path.is_file():
                self.with_file(str(path.relative_to(top)), path.read_text())
        return self

    def with_lib(self, text: str) -> CrateBuilder:
        return self.with_file("src/lib.rs", text)

    def with_record(self, text: str) -> CrateBuilder:
        return self.with_file("tests/coverage", text)

    def with_noxfile(self, options: str = "") -> CrateBuilder:
        return self.with_file("noxfile.py", NOXFILE.format(options=options))

    def with_published(self, name: str, version: str, dependencies: str = "") -> CrateBuilder:
        """Let crates.io be a folder of the crate, and have a package there."""
        place = f"vendor/{name}-{version}"
        source = '[source.crates-io]\nreplace-with = "folder"\n[source.folder]\ndirectory = "vendor"\n'
        manifest = MANIFEST.format(name=name).replace("0.1.0", version).replace("[workspace]\n", "")
        return (
            self.with_file(".cargo/config.toml", source)
            .with_file(f"{place}/Cargo.toml", f"{manifest}[dependencies]\n{dependencies}\n")
            .with_file(f"{place}/src/lib.rs", LIB)
            .with_file(f"{place}/.cargo-checksum.json", '{"files": {}}')
        )

    def with_git(self) -> CrateBuilder:
        """Make it a git repository with one commit of all there is, target/ ignored."""
        self.with_file(".gitignore", "/target\n__pycache__/\n")
        self.git("init", "--quiet", "--initial-branch=main")
        return self.commit("start")

    def with_identity(self) -> CrateBuilder:
        """Let ``git commit`` work here as a user types it, also where nobody has said who commits."""
        self.git("config", "user.name", "Test")
        self.git("config", "user.email", "test@example.com")
        return self

    def commit(self, title: str) -> CrateBuilder:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", title)
        return self

    def git(self, *args: str) -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *identity, *args],
            cwd=self.directory,
            env={k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def clone(self, *options: str) -> CrateBuilder:
        """Return a clone of the branch work, beside it, made as over a network."""
        crate = CrateBuilder(self.directory.parent / "clone")
        url = f"file://{self.directory}"
        self.git("clone", "--quiet", "--branch=work", *options, url, str(crate.directory))
        return crate.with_identity()

    @property
    def record(self) -> str:
        return (self.directory / "tests" / "coverage").read_text()

    def nox(self, *args: str, env: dict[str, str | None] | None = None, cwd: Path | None = None) -> Outcome:
        """Run ``nox ARGS`` in the crate as a user does, without colours."""
        return run([sys.executable, "-m", "nox", *args], cwd=cwd or self.directory, env=env)

    def coverage(self, *options: str, env: dict[str, str | None] | None = None) -> Outcome:
        """Run ``nox -s coverage -- OPTIONS``."""
        return self.nox("-s", "coverage", "--", *options, env=env)


def run(args: list[str], *, cwd: Path, env: dict[str, str | None] | None = None) -> Outcome:
    """Run a command with a clean environment: no colours, no profile, no variables of git, nox or CI."""
    variables: dict[str, str] = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GIT_", "NOX", "RUSTVMM_", "FORCE_COLOR"))
        and name not in ("CI", "BUILDKITE", "GITHUB_ACTIONS")
    }
    variables["NO_COLOR"] = "1"
    variables["PYTHONPATH"] = str(REPOSITORY)
    for name, value in (env or {}).items():
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value
    done = subprocess.run(
        args, cwd=cwd, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)


def new_crate(directory: Path, name: str = "sample", options: str = "") -> CrateBuilder:
    """Return a crate with a manifest, a library with one test, and a noxfile."""
    return (
        CrateBuilder(directory)
        .with_file("Cargo.toml", MANIFEST.format(name=name))
        .with_lib(LIB)
        .with_noxfile(options)
    )
