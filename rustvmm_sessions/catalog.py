"""The table of standard sessions: the one place that says what they are."""

from __future__ import annotations

from dataclasses import dataclass

X86_64 = "x86_64"
AARCH64 = "aarch64"
RISCV64 = "riscv64"
PLATFORMS = (X86_64, AARCH64, RISCV64)
"""What the standard sessions are for."""
KNOWN_PLATFORMS = (
    *PLATFORMS,
    *("armv7", "i686", "loongarch64", "powerpc64", "powerpc64le", "riscv32", "s390x"),
)
"""What `.platform`, tests and settings may name: for the others only a crate's own tests run."""
DEFAULT_PLATFORMS = (X86_64, AARCH64)
"""What rust-vmm-ci takes for granted where there is no .platform."""
TIMEOUT_MINUTES = 15
"""Time limit of a session that sets none, as on rust-vmm's agents."""
HELPERS = "helpers"
"""The tag of sessions that are no part of a pipeline."""
EXTRA = "extra"
"""The tag of sessions that are in the gate and in a pipeline only where the crate asks for them."""
BENCH = "bench"
"""The name of the session that compares benchmarks, in which custom tests of rust-vmm-ci's end."""
HARNESS = "main"
"""The benchmark target that is compared, as in rust-vmm-ci."""
RESULTS = "target/rustvmm-results"
"""The folder, from the repository's top, where steps leave results and pages for Buildkite to keep."""
IMAGE = "rustvmm/dev:g8b11be7"
"""The container image that rust-vmm's agents run sessions in."""
RISCV64_IMAGE = f"{IMAGE}-riscv"
"""The same, an x86_64 image, whose entry point runs its arguments in a riscv64 virtual machine."""


@dataclass(frozen=True, kw_only=True)
class CargoRun:
    """What a session of the feature matrix does with each combination.

    Attributes:
        command: Words after ``cargo``.
        after: Words after ``--``.
        musl: Whether it is built for the musl target of the machine.
        deny_warnings: Whether a warning of the compiler fails it. Done by reading cargo's messages,
            not by RUSTFLAGS, which would drop the crate's own flags and build everything anew.
        tests: Whether it runs tests.
        doctests: Whether documentation tests are among them, unless the crate says otherwise.
    """

    command: tuple[str, ...]
    after: tuple[str, ...] = ()
    musl: bool = False
    deny_warnings: bool = False
    tests: bool = False
    doctests: bool = False


@dataclass(frozen=True, kw_only=True)
class StandardSession:
    """What is known about a standard session without running it.

    Attributes:
        name: As in ``nox -s NAME``.
        alias: rust-vmm-ci's name of it, accepted in settings; empty where it has none.
        summary: The line of ``nox -l``.
        tags: As in ``nox -t TAG``; without ``quick`` it is not part of plain ``nox``.
        tools: What it needs beside cargo and rustc, by the names that ``doctor`` gives them.
        timeout_minutes: Its time limit unless the crate sets another.
        matrix: What it runs for each feature combination; None where features play no part.
        parallel: Whether it may run beside others. Those that run tests take turns with these.
        platforms: What its pipeline steps are for; empty for a single step on any machine.
        privileged: Whether its steps run in a privileged container.
        propagate_environment: Whether its steps see the build's variables in the container.
        soft_fail: Whether the build passes when it fails.
    """

    name: str
    summary: str
    tags: tuple[str, ...] = ()
    alias: str = ""
    tools: tuple[str, ...] = ()
    timeout_minutes: int = TIMEOUT_MINUTES
    matrix: CargoRun | None = None
    parallel: bool = False
    platforms: tuple[str, ...] = PLATFORMS
    privileged: bool = False
    propagate_environment: bool = False
    soft_fail: bool = False

    @property
    def in_pipeline(self) -> bool:
        """Whether a pipeline has steps of it; `Settings.session` tells which extra ones a crate asks for."""
        return HELPERS not in self.tags and (EXTRA not in self.tags or "gate" in self.tags)

    @property
    def forwards(self) -> bool:
        """Whether words it does not know go to ``cargo test``."""
        return self.matrix is not None and self.matrix.tests

    @property
    def doctests(self) -> bool:
        """Whether it runs documentation tests unless the crate says otherwise."""
        return self.matrix is not None and self.matrix.doctests

    @property
    def by_member(self) -> bool:
        """Whether a pipeline has steps of it for each member of a workspace that is judged by itself."""
        return self.matrix is not None or self.name == "coverage"

    @property
    def chooses_members(self) -> bool:
        """Whether it can be asked to judge some members of a workspace."""
        return self.by_member or self.name in ("fmt", "doc", "targets", BENCH)


# In the order in which faults show soonest; plain `nox` runs the quick ones in this order.
STANDARD = (
    StandardSession(
        name="fmt",
        alias="style",
        summary="Check the formatting, that of code in doc comments included.",
        tags=("gate", "quick", "lint"),
        tools=("rustfmt",),
        parallel=True,
        platforms=(),
    ),
    StandardSession(
        name="clippy",
        alias="clippy",
        summary="Run clippy on all targets and feature combinations; warnings fail it.",
        tags=("gate", "quick", "lint"),
        tools=("clippy",),
        matrix=CargoRun(
            command=("clippy", "--all-targets"),
            after=("-D", "warnings", "-D", "clippy::undocumented_unsafe_blocks"),
        ),
        parallel=True,
    ),
    StandardSession(
        name="build-gnu",
        alias="build-gnu",
        summary="Build all targets and feature combinations in release; warnings fail it.",
        tags=("gate", "build"),
        matrix=CargoRun(command=("build", "--release", "--all-targets"), deny_warnings=True),
        parallel=True,
    ),
    StandardSession(
        name="build-musl",
        alias="build-musl",
        summary="Build for musl: all targets and feature combinations; warnings fail it.",
        tags=("gate", "build", "musl"),
        tools=("musl-target",),
        matrix=CargoRun(command=("build", "--release", "--all-targets"), musl=True, deny_warnings=True),
        parallel=True,
        platforms=(X86_64, AARCH64),
    ),
    StandardSession(
        name="doc",
        alias="doc",
        summary="Build the documentation with all features; warnings fail it.",
        tags=("gate",),
        parallel=True,
        platforms=(),
    ),
    StandardSession(
        name="unit-tests",
        alias="unittests-gnu",
        summary="Run all tests with all feature combinations; arguments go to cargo test.",
        tags=("gate", "quick", "test"),
        matrix=CargoRun(command=("test",), tests=True, doctests=True),
        parallel=True,
        privileged=True,
    ),
    StandardSession(
        name="unit-tests-release",
        alias="unittests-gnu-release",
        summary="Run the tests in release with all feature combinations.",
        tags=("gate", "test"),
        matrix=CargoRun(command=("test", "--release"), tests=True),
        parallel=True,
        privileged=True,
    ),
    StandardSession(
        name="unit-tests-musl",
        alias="unittests-musl",
        summary="Run the tests for musl with all feature combinations.",
        tags=("gate", "test", "musl"),
        tools=("musl-target",),
        matrix=CargoRun(command=("test",), musl=True, tests=True),
        platforms=(X86_64, AARCH64),
        parallel=True,
        privileged=True,
    ),
    StandardSession(
        name="unit-tests-musl-release",
        alias="unittests-musl-release",
        summary="Run the tests for musl in release with all feature combinations.",
        tags=("gate", "test", "musl"),
        tools=("musl-target",),
        matrix=CargoRun(command=("test", "--release"), musl=True, tests=True),
        platforms=(X86_64, AARCH64),
        parallel=True,
        privileged=True,
    ),
    StandardSession(
        name="coverage",
        alias="coverage",
        summary="Measure line coverage and compare it with tests/coverage.",
        tags=("gate", "quick"),
        tools=("llvm-tools", "cargo-llvm-cov"),
        parallel=True,
        privileged=True,
        platforms=(X86_64,),
    ),
    StandardSession(
        name="commit-format",
        alias="commit-format",
        summary="Check the messages of the commits that are not upstream yet.",
        tags=("gate",),
        tools=("git", "git-identity"),
        parallel=True,
        platforms=(),
        propagate_environment=True,
    ),
    StandardSession(
        name="audit",
        alias="cargo-audit",
        summary="Look for dependencies with known vulnerabilities.",
        tags=("gate", "network"),
        tools=("cargo-audit",),
        parallel=True,
        platforms=(X86_64,),
    ),
    StandardSession(
        name=BENCH,
        summary="Compare benchmarks with upstream; what is proven to be slower fails it.",
        tags=("bench",),
        tools=("git",),
        timeout_minutes=60,
        platforms=(AARCH64,),
        propagate_environment=True,
        soft_fail=True,
    ),
    StandardSession(
        name="fuzz",
        summary="Fuzz the targets of fuzz/; crashes, hangs and a lack of memory fail it.",
        tags=(EXTRA,),
        tools=("cargo-fuzz", "nightly"),
        timeout_minutes=60,
        platforms=(X86_64, AARCH64),
    ),
    StandardSession(
        name="targets",
        summary="Check the crate for the targets it names, those without std among them.",
        tags=(EXTRA,),
        parallel=True,
        platforms=(X86_64,),
    ),
    StandardSession(
        name="release-check",
        summary="Check that what is about to be published holds together.",
        tags=(EXTRA,),
        parallel=True,
        platforms=(),
        propagate_environment=True,
    ),
    StandardSession(
        name="pipeline",
        summary="Print the pipeline of these sessions, for Buildkite or GitHub.",
        tags=(HELPERS,),
        parallel=True,
    ),
    StandardSession(
        name="setup",
        summary="Provide the tools that the sessions need and that are missing.",
        tags=(HELPERS,),
    ),
    StandardSession(
        name="doctor",
        summary="Say which tools are there, which are missing, and what provides them.",
        tags=(HELPERS,),
        parallel=True,
    ),
    StandardSession(
        name="container",
        summary="Run sessions in the image that CI uses; without any, open a shell there.",
        tags=(HELPERS,),
    ),
    StandardSession(
        name="reproduce",
        summary="Run one step of the pipeline here as CI's agent does.",
        tags=(HELPERS,),
    ),
)


def named(name: str) -> StandardSession | None:
    """Return the standard session of that very name, or None: an alias may be a custom test's name."""
    return next((session for session in STANDARD if session.name == name), None)


def standard(name: str) -> StandardSession | None:
    """Return the standard session of that name or alias, or None."""
    return next((s for s in STANDARD if name and name in (s.name, s.alias)), None)
