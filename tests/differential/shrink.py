"""Make a case smaller while it shows the same difference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.differential.traits import TRAITS
from tests.differential.workspace import Case, Check, Edit, Package, Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def shrink(case: Case, same: Callable[[Case], bool]) -> Case:
    """Return a case of which no smaller one is the `same`; the largest cuts are tried first."""
    tried: set[Case] = set()
    while True:
        for smaller in candidates(case):
            if smaller not in tried and same(smaller):
                case = smaller
                break
            tried.add(smaller)
        else:
            return case


def candidates(case: Case) -> Iterator[Case]:
    """Yield smaller cases, each of which holds together."""
    return (smaller for smaller in _cuts(case) if smaller != case)


def _cuts(case: Case) -> Iterator[Case]:
    steps = case.steps
    if len(steps) > 2:
        yield replace(case, steps=steps[-1:])
        yield replace(case, steps=steps[len(steps) // 2 :])
    for package in case.workspace.packages:
        if len(case.workspace.members) > 1 or not package.member:
            yield from _fitting(_without(case.workspace, package), steps)
    for number in range(len(steps) - 1):
        yield from _fitting(case.workspace, (*steps[:number], *steps[number + 1 :]))
    for workspace in _plainer(case.workspace):
        yield from _fitting(workspace, steps)
    for number, package in enumerate(case.workspace.packages):
        yield from _moved(case, package, f"p{number}")
    for number, step in enumerate(steps):
        if isinstance(step, Edit) and (step.older or step.commit):
            plain = replace(step, older=False, commit=False)
            yield replace(case, steps=(*steps[:number], plain, *steps[number + 1 :]))
        if isinstance(step, Check) and step.record != "none":
            plain_check = replace(step, record="none")
            yield replace(case, steps=(*steps[:number], plain_check, *steps[number + 1 :]))


def _fitting(workspace: Workspace, steps: tuple[Check | Edit, ...]) -> Iterator[Case]:
    """Yield the case, less the edits that no longer change anything in it."""
    state, kept = workspace, list[Check | Edit]()
    folders = {package.folder for package in workspace.packages}
    names = {package.name for package in workspace.members}
    for step in steps:
        if isinstance(step, Edit):
            if step.package and step.package not in folders:
                continue
            after = step.apply(state)
            if after == state or not all(map(_holds, after.packages)):
                continue
            state = after
        elif "--package" in step.options and step.options[-1] not in names:
            return
        kept.append(step)
    if kept and isinstance(kept[-1], Check) and all(map(_holds, workspace.packages)):
        yield Case(workspace=workspace, steps=tuple(kept))


def _moved(case: Case, package: Package, name: str) -> Iterator[Case]:
    """Yield the case with a plain name for a package, and with a plain folder."""
    renamed = tuple(
        replace(step, options=tuple(name if word == package.name else word for word in step.options))
        if isinstance(step, Check)
        else step
        for step in case.steps
    )
    yield from _fitting(case.workspace.changed(replace(package, name=name)), renamed)
    if package.folder in (".", name) or not package.member:
        return
    packages = tuple(
        replace(
            p,
            folder=name if p is package else p.folder,
            dependencies=tuple(replace(d, on=name) if d.on == package.folder else d for d in p.dependencies),
        )
        for p in case.workspace.packages
    )
    noxfile = name if case.workspace.noxfile == package.folder else case.workspace.noxfile
    steps = tuple(
        replace(step, package=name) if isinstance(step, Edit) and step.package == package.folder else step
        for step in case.steps
    )
    yield from _fitting(replace(case.workspace, packages=packages, noxfile=noxfile), steps)


def _holds(package: Package) -> bool:
    """Whether the package has what its traits and dependencies need, and something to build."""
    traits = set(package.traits)
    needed = {name for trait in traits for name in TRAITS[trait].needs}
    built = any(d.kind == "build-dependencies" for d in package.dependencies)
    scripted = any(TRAITS[name].group == "build" for name in traits)
    library = package.linkable and not package.proc_macro
    return (
        needed <= traits
        and (scripted or not built)
        and (bool(package.kinds) or "program" in traits)
        and (library or not any(TRAITS[name].needs_library for name in traits))
    )


def _without(workspace: Workspace, package: Package) -> Workspace:
    packages = tuple(
        replace(p, dependencies=tuple(d for d in p.dependencies if d.on != package.folder))
        for p in workspace.packages
        if p is not package
    )
    noxfile = "" if workspace.noxfile == package.folder else workspace.noxfile
    return replace(workspace, packages=packages, noxfile=noxfile)


def _plainer(workspace: Workspace) -> Iterator[Workspace]:
    if workspace.flags:
        yield replace(workspace, flags=())
    yield replace(workspace, top="")
    yield replace(workspace, noxfile="")
    yield replace(workspace, exclude="")
    yield replace(workspace, resolver="2")
    yield replace(workspace, crate_features=None)
    for number in range(len(workspace.flags)):
        yield replace(workspace, flags=workspace.flags[:number] + workspace.flags[number + 1 :])
    for trait in workspace.traits:
        yield replace(workspace, traits=tuple(name for name in workspace.traits if name != trait))
    for package in workspace.packages:
        yield from (workspace.changed(plainer) for plainer in _plainer_package(package))


def _plainer_package(package: Package) -> Iterator[Package]:
    if len(package.traits) > 1:
        yield replace(package, traits=())
    for trait in package.traits:
        yield replace(package, traits=tuple(name for name in package.traits if name != trait))
    for number, dependency in enumerate(package.dependencies):
        before, after = package.dependencies[:number], package.dependencies[number + 1 :]
        yield replace(package, dependencies=(*before, *after))
        plain = replace(dependency, via="path", optional=False, features=(), defaults=True, borrows="")
        if plain != dependency:
            yield replace(package, dependencies=(*before, plain, *after))
    if package.features:
        yield replace(package, features=(), excludes=(), table=False)
    if package.table:
        yield replace(package, table=False)
    yield replace(package, kinds=("lib",))
    yield replace(package, library="")
    yield replace(package, edition="2021")
    yield replace(package, size=0)
    yield replace(package, version="0.1.0")
