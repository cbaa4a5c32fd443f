"""A generated workspace and what happens to it, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

What: TypeAlias = Literal[
    "add", "drop", "size", "version", "shared", "notes", "crate_features", "drop-dependency", "drop-flags"
]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """A feature of a package.

    Attributes:
        name: Its name.
        implies: What it switches on.
        default: Whether it is a default feature.
        fault: What is wrong in code that only it has: ``error``, ``warning``, ``test`` or nothing.
    """

    name: str
    implies: tuple[str, ...] = ()
    default: bool = False
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """A dependency of one package on another.

    Attributes:
        on: The other package's folder.
        kind: The table of the manifest.
        via: ``path``, ``workspace`` (inherited) or ``patch`` (a version, replaced by a path).
        optional: Whether a feature of its name switches it on.
        rename: Its name in this package.
        features: What is asked of it.
        defaults: Whether its default features are asked for.
        borrows: A feature of it whose code is used without asking for it.
    """

    on: str
    kind: str = "dependencies"
    via: str = "path"
    optional: bool = False
    rename: str = ""
    features: tuple[str, ...] = ()
    defaults: bool = True
    borrows: str = ""


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package.

    Attributes:
        name: Its name.
        folder: Where it is, from the workspace's root; ``.`` for the root package.
        member: Whether it is a member of the workspace.
        edition: Rust's edition.
        version: Its version.
        kinds: Crate types of its library; none for no library.
        library: The library's name where it is another than the package's.
        features: Its features.
        excludes: Features of which only one may be on.
        table: Whether the table of cargo-all-features says so.
        dependencies: Its dependencies.
        traits: Names of `traits.TRAITS`.
        size: Number of functions that no test reaches.
    """

    name: str
    folder: str
    member: bool = True
    edition: str = "2021"
    version: str = "0.1.0"
    kinds: tuple[str, ...] = ("lib",)
    library: str = ""
    features: tuple[Feature, ...] = ()
    excludes: tuple[str, ...] = ()
    table: bool = False
    dependencies: tuple[Dependency, ...] = ()
    traits: tuple[str, ...] = ()
    size: int = 0

    @property
    def crate(self) -> str:
        """The library's name in Rust."""
        return (self.library or self.name).replace("-", "_")

    @property
    def linkable(self) -> bool:
        """Whether Rust code can use the library."""
        return not {"lib", "rlib", "dylib", "proc-macro"}.isdisjoint(self.kinds)

    @property
    def proc_macro(self) -> bool:
        """Whether the library is one of procedural macros."""
        return "proc-macro" in self.kinds


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The crate's own flags for rustc or rustdoc.

    Attributes:
        key: ``rustflags`` or ``rustdocflags``.
        place: ``build``, ``triple`` or ``cfg`` in cargo's configuration; ``plain``, ``encoded``,
            ``build-variable`` or ``triple-variable`` in the environment.
        form: ``string`` or ``list``.
        words: The flags.
    """

    key: str
    place: str
    form: str
    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A workspace.

    Attributes:
        packages: Its packages and those outside it that they depend on.
        top: Its folder in the repository.
        noxfile: The folder of the package whose own noxfile is used; empty for the root's.
        resolver: Cargo's resolver.
        traits: Names that `render` knows.
        flags: Flags of its own.
        crate_features: That key of the coverage configuration; None where it is missing.
        exclude: ``exclude_path`` of the coverage configuration.
        shared: Version of the files that packages share.
        notes: Version of a file that nothing reads.
    """

    packages: tuple[Package, ...]
    top: str = ""
    noxfile: str = ""
    resolver: str = "2"
    traits: tuple[str, ...] = ()
    flags: tuple[Flags, ...] = ()
    crate_features: str | None = None
    exclude: str = ""
    shared: int = 0
    notes: int = 0

    @property
    def members(self) -> tuple[Package, ...]:
        """The packages that are members."""
        return tuple(package for package in self.packages if package.member)

    def package(self, folder: str) -> Package:
        """Return the package in a folder."""
        return next(package for package in self.packages if package.folder == folder)

    def changed(self, package: Package) -> Workspace:
        """Return the workspace with another state of one package."""
        packages = tuple(package if p.folder == package.folder else p for p in self.packages)
        return replace(self, packages=packages)


@dataclass(frozen=True, kw_only=True)
class Edit:
    """A change of the workspace.

    Attributes:
        what: Which one.
        package: The folder of the package that it concerns.
        value: Its new trait, version, features or the like.
        older: Whether files that it writes are older than those they replace.
        commit: Whether it is committed.
    """

    what: What
    package: str = ""
    value: str = ""
    older: bool = False
    commit: bool = False

    def apply(self, workspace: Workspace) -> Workspace:
        """Return the workspace as it is afterwards."""
        match self.what:
            case "shared":
                return replace(workspace, shared=workspace.shared + 1)
            case "notes":
                return replace(workspace, notes=workspace.notes + 1)
            case "crate_features":
                return replace(workspace, crate_features=self.value)
            case "drop-flags":
                return replace(workspace, flags=workspace.flags[1:])
        package = workspace.package(self.package)
        match self.what:
            case "add":
                package = replace(package, traits=(*package.traits, self.value))
            case "drop":
                package = replace(package, traits=tuple(t for t in package.traits if t != self.value))
            case "size":
                package = replace(package, size=package.size + int(self.value))
            case "version":
                package = replace(package, version=self.value)
            case "drop-dependency":
                package = replace(package, dependencies=package.dependencies[1:])
        return workspace.changed(package)


@dataclass(frozen=True, kw_only=True)
class Check:
    """A session that is run and held against its oracle.

    Attributes:
        session: Its name.
        options: Words after ``--``.
        record: For coverage, what is recorded beside what cargo-llvm-cov measures: ``none``, ``equal``,
            ``percent``, ``less`` or ``more``.
    """

    session: str
    options: tuple[str, ...] = ()
    record: str = "none"


Step: TypeAlias = Edit | Check


@dataclass(frozen=True, kw_only=True)
class Case:
    """A workspace and what is done with it."""

    workspace: Workspace
    steps: tuple[Step, ...]
