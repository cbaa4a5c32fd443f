"""Make cases out of numbers: the same case for the same seed."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.differential.traits import FAULTS, QUIRKS, TRAITS
from tests.differential.workspace import (
    Case,
    Check,
    Dependency,
    Edit,
    Feature,
    Flags,
    Package,
    Step,
    Workspace,
)

NAMES = ("alpha", "beta-two", "gamma_x", "delta")
KINDS = (
    ("rlib",),
    ("cdylib",),
    ("staticlib",),
    ("dylib",),
    ("lib", "cdylib"),
    ("rlib", "staticlib"),
    ("proc-macro",),
    (),
)
WORKSPACE_TRAITS = (
    *("target", "target-list", "target-folder", "runner", "runner-list", "runner-cfg", "variable"),
    *("configuration-above", "configuration-included", "profile", "codegen-units", "lock", "lock-ignored"),
)
RUSTFLAGS = (
    ("--cfg", "extra"),
    ("-Adead_code",),
    ("-Wmissing_docs",),
    ("-Copt-level=1",),
    ("--cap-lints=warn",),
    ("--force-warn=dead_code",),
    ("-Cdebug-assertions=no",),
)
RUSTDOCFLAGS = (
    ("--cfg", "extra_doc"),
    ("-Arustdoc::broken_intra_doc_links",),
    ("--document-private-items",),
    ("-Wrustdoc::missing_crate_level_docs",),
)
PLACES = ("build", "triple", "cfg", "plain", "encoded", "build-variable", "triple-variable")
GATE = ("fmt", "clippy", "doc", "unit-tests", "build-gnu")
SESSIONS = (*GATE, "coverage")


def case(seed: int) -> Case:
    """Return the case of a seed."""
    rng = random.Random(seed)
    workspace = _workspace(rng)
    return Case(workspace=workspace, steps=_steps(rng, workspace))


def _some(rng: random.Random, choice: tuple[str, ...], most: int) -> tuple[str, ...]:
    return tuple(rng.sample(choice, rng.randint(0, most)))


def _workspace(rng: random.Random) -> Workspace:
    count = rng.choices((1, 2, 3, 4), (2, 4, 4, 1))[0]
    root = rng.random() < (0.7 if count == 1 else 0.25)
    packages: list[Package] = []
    for number, name in enumerate(rng.sample(NAMES, count)):
        folder = "." if root and number == 0 else _folder(rng, name, packages)
        packages.append(_package(rng, name, folder, packages))
    if count > 1 and rng.random() < 0.4:
        packages = [_outside(rng), *packages]
        user = packages[-1]
        via = rng.choice(("path", "workspace", "patch"))
        dependency = Dependency(on=packages[0].folder, via=via, rename="outside")
        packages[-1] = replace(user, dependencies=(*user.dependencies, dependency))
    if rng.random() < 0.45:
        number = rng.randrange(len(packages))
        packages[number] = _with(packages[number], rng.choice(FAULTS))
    traits = set(_some(rng, WORKSPACE_TRAITS, 2))
    used = {trait for package in packages for trait in package.traits}
    if "itest-variable" in used and rng.random() < 0.8:
        traits.add("variable")
    if "itest-runner" in used and rng.random() < 0.8:
        traits.add(rng.choice(("runner", "runner-list", "runner-cfg")))
    members = [package for package in packages if package.member]
    return Workspace(
        packages=tuple(packages),
        top=rng.choice(("", "", "", "rust")),
        noxfile=rng.choice([m.folder for m in members if m.folder != "."] or [""])
        if rng.random() < 0.12
        else "",
        resolver=rng.choice(("2", "2", "3")) if root or rng.random() < 0.8 else "1",
        traits=tuple(sorted(traits)),
        flags=tuple(_flags(rng) for _ in range(rng.choices((0, 1, 2), (5, 4, 1))[0])),
        crate_features=rng.choice((None, None, None, "")),
        exclude=rng.choice(("", "", "", "deep", "src/(main|bin)")),
    )


def _folder(rng: random.Random, name: str, packages: list[Package]) -> str:
    """Return a folder: plain, nested in another package's, or beside the workspace."""
    inside = [package.folder for package in packages if not package.folder.startswith(("..", "."))]
    places = ["", "", "crates/", "../"]
    if inside:
        places.append(f"{rng.choice(inside)}/")
    return f"{rng.choice(places)}{name}"


def _package(rng: random.Random, name: str, folder: str, before: list[Package]) -> Package:
    kinds = ("lib",) if rng.random() < 0.65 else rng.choice(KINDS)
    package = Package(
        name=name,
        folder=folder,
        edition=rng.choice(("2018", "2021", "2021", "2024")),
        kinds=kinds,
        library=rng.choice(("", "", "", "", f"lib_{name.replace('-', '_')}")) if kinds else "",
        size=rng.randint(0, 2),
    )
    if rng.random() < 0.4 and kinds:
        package = _with_features(rng, package)
    if not kinds:
        package = _with(package, "program")
    for trait in rng.sample(QUIRKS, rng.randint(0, 4)):
        package = _with(package, trait)
    chosen = [other for other in before if rng.random() < 0.5]
    dependencies = tuple(_dependency(rng, other) for other in chosen if other.linkable)
    if any(d.kind == "build-dependencies" for d in dependencies):
        package = _with(package, "build")
    return replace(package, dependencies=dependencies)


def _with_features(rng: random.Random, package: Package) -> Package:
    names = ("one", "two", "three")[: rng.choices((1, 2, 3), (4, 4, 1))[0]]
    excludes = names[:2] if len(names) > 1 and rng.random() < 0.5 else ()
    features = tuple(
        Feature(
            name=name,
            implies=names[:1] if number == 2 and rng.random() < 0.5 else (),
            default=not excludes and rng.random() < 0.4,
            fault=rng.choice(("error", "warning", "test")) if rng.random() < 0.1 else "",
        )
        for number, name in enumerate(names)
    )
    return replace(package, features=features, excludes=excludes, table=bool(excludes) and rng.random() < 0.8)


def _dependency(rng: random.Random, other: Package) -> Dependency:
    kinds = ("dependencies", "dependencies", "dev-dependencies", "build-dependencies")
    kind = rng.choice(kinds[:3] if other.proc_macro else kinds)
    names = [feature.name for feature in other.features]
    asked = tuple(name for name in names[:1] if rng.random() < 0.4)
    borrowed = [name for name in names if name not in asked and name not in other.excludes]
    return Dependency(
        on=other.folder,
        kind=kind,
        via=rng.choice(("path", "path", "workspace")),
        optional=kind == "dependencies" and rng.random() < 0.2,
        rename="renamed" if rng.random() < 0.1 else "",
        features=asked,
        defaults=rng.random() < 0.8,
        borrows=borrowed[0] if borrowed and not other.proc_macro and rng.random() < 0.25 else "",
    )


def _outside(rng: random.Random) -> Package:
    """Return a package that is no member: here or there, its name its own or not."""
    name = rng.choice(("outer", "outer", *NAMES[:1]))
    package = Package(
        name=name,
        folder=rng.choice((f"vendor/{name}", f"../vendor/{name}", f"../../elsewhere/{name}")),
        member=False,
        version="0.2.0",
    )
    for trait in rng.sample(QUIRKS, rng.randint(0, 1)):
        package = _with(package, trait)
    return package


def _with(package: Package, name: str) -> Package:
    """Return the package with a trait and what that needs, where it can have them."""
    trait = TRAITS[name]
    groups = {TRAITS[other].group for other in package.traits} - {""}
    unfit = trait.needs_library and (not package.linkable or package.proc_macro)
    if name in package.traits or trait.group in groups or unfit or (trait.library and not package.kinds):
        return package
    for needed in trait.needs:
        package = _with(package, needed)
    return replace(package, traits=(*package.traits, name))


def _flags(rng: random.Random) -> Flags:
    key, words = rng.choice(
        [*(("rustflags", words) for words in RUSTFLAGS), *(("rustdocflags", words) for words in RUSTDOCFLAGS)]
    )
    return Flags(key=key, place=rng.choice(PLACES), form=rng.choice(("string", "list")), words=words)


def _steps(rng: random.Random, workspace: Workspace) -> tuple[Step, ...]:
    theme = rng.choices(("coverage", "gate", "changed"), (5, 4, 2))[0]
    checks = _checks(rng, workspace, theme)
    steps: list[Step] = [] if theme == "changed" else [*checks]
    if rng.random() < 0.3:
        steps += checks[:1]
    state = workspace
    for _ in range(rng.randint(1, 3)):
        edit = _edit(rng, state, older=theme == "coverage")
        state = edit.apply(state)
        steps.append(edit)
        if rng.random() < 0.8:
            steps += checks
    return (*steps, *([] if steps and isinstance(steps[-1], Check) else checks))


def _checks(rng: random.Random, workspace: Workspace, theme: str) -> tuple[Check, ...]:
    if theme == "gate":
        more: tuple[str, ...] = ()
        if not workspace.noxfile and rng.random() < 0.15:
            more = ("--package", rng.choice(workspace.members).name)
        return tuple(Check(session=name, options=more) for name in rng.sample(GATE, rng.randint(1, 3)))
    if theme == "changed" and not workspace.noxfile:
        return (Check(session=rng.choice(GATE[1:]), options=("--changed", "start")),)
    options: tuple[str, ...] = ()
    choice = rng.random()
    root = any(package.folder == "." for package in workspace.packages)
    if choice < 0.1:
        options = ("--no-default-features",)
    elif choice < 0.2 and (root or workspace.noxfile):
        options = ("--scope", "crate")
    elif choice < 0.3 and not workspace.noxfile:
        options = ("--package", rng.choice(workspace.members).name)
    elif choice < 0.55:
        options = ("--diff", "start")
    record = rng.choice(("none", "equal", "equal", "percent", "less", "more"))
    backends = rng.sample(("cargo", "cargo-llvm-cov"), rng.choice((1, 2)))
    return tuple(
        Check(session="coverage", options=(f"--backend={backend}", *options), record=record)
        for backend in backends
    )


def _edit(rng: random.Random, workspace: Workspace, *, older: bool) -> Edit:
    package = rng.choice(workspace.packages)
    commit = rng.random() < 0.2
    old = older and rng.random() < 0.3
    droppable = [
        name for name in package.traits if not any(name in TRAITS[other].needs for other in package.traits)
    ]
    droppable = [name for name in droppable if package.kinds or name != "program"]
    builds = any(d.kind == "build-dependencies" for d in package.dependencies)
    droppable = [name for name in droppable if not (builds and name.startswith("build"))]
    choices: list[Edit] = [
        Edit(what="size", package=package.folder, value="1"),
        Edit(what="size", package=package.folder, value="1"),
        Edit(what="version", package=package.folder, value=f"0.{rng.randint(2, 9)}.{rng.randint(0, 9)}"),
        Edit(what="shared"),
        Edit(what="notes"),
    ]
    if droppable:
        choices += [Edit(what="drop", package=package.folder, value=rng.choice(droppable))] * 2
    trait = rng.choice((*FAULTS, *QUIRKS))
    grown = _with(package, trait)
    if len(grown.traits) == len(package.traits) + 1:
        choices += [Edit(what="add", package=package.folder, value=trait)] * 2
    if package.dependencies:
        choices.append(Edit(what="drop-dependency", package=package.folder))
    if workspace.flags:
        choices.append(Edit(what="drop-flags"))
    if workspace.crate_features is None:
        choices.append(Edit(what="crate_features", value=""))
    return replace(rng.choice(choices), commit=commit, older=old)
