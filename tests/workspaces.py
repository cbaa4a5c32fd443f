"""Workspaces as `cargo metadata --no-deps` prints them, as far as it matters, and what is planned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rustvmm_sessions.gate.plan import Plan
    from rustvmm_sessions.rust.features import Run

TABLE = "cargo-all-features"


def dependency(  # noqa: PLR0913 - cargo has as many keys
    name: str,
    *,
    optional: bool = False,
    kind: str | None = None,
    features: Sequence[str] = (),
    default: bool = True,
    rename: str | None = None,
    path: str | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "rename": rename,
        "optional": optional,
        "kind": kind,
        "features": list(features),
        "uses_default_features": default,
        **({"path": path} if path else {}),
    }


def member_of(folder: str, **options: Any) -> dict[str, Any]:
    """Return a dependency on another member."""
    return dependency(folder, path=f"/ws/{folder}", **options)


def package(  # noqa: PLR0913 - a manifest has as many sections
    name: str,
    features: Mapping[str, Sequence[str]] | None = None,
    *,
    optional: Iterable[str] = (),
    needs: Iterable[dict[str, Any]] = (),
    table: Any = None,
    metadata: Any = None,
    folder: str | None = None,
    edition: str = "2021",
) -> dict[str, Any]:
    """Return a package; like cargo, with a feature per optional dependency that no `dep:` names."""
    written = {key: list(entries) for key, entries in (features or {}).items()}
    needs = [*needs, *(dependency(each, optional=True) for each in optional)]
    explicit = {entry for entries in written.values() for entry in entries}
    for each in needs:
        key = each["rename"] or each["name"]
        if each["optional"] and f"dep:{key}" not in explicit:
            written.setdefault(key, [f"dep:{key}"])
    path = "/ws" + (f"/{name}" if folder is None else folder)
    return {
        "name": name,
        "id": f"path+file://{path}#{name}@0.1.0",
        "manifest_path": f"{path}/Cargo.toml",
        "edition": edition,
        "features": written,
        "dependencies": needs,
        "metadata": metadata if table is None else {TABLE: table},
    }


def workspace(*packages: dict[str, Any], metadata: Any = None) -> dict[str, Any]:
    return {
        "packages": list(packages),
        "workspace_members": [each["id"] for each in packages],
        "workspace_root": "/ws",
        "metadata": metadata,
    }


def commands(made: Plan) -> list[str]:
    return [" ".join(run.arguments()) for run in made.runs]


def requests(made: Plan, name: str) -> list[str]:
    """Return the feature lists that are run for one package without its default features."""
    return [",".join(run.features) for run in made.runs if run.packages == (name,) and run.no_default]


def joint(made: Plan) -> list[Run]:
    """Return the runs of more than one package."""
    return [run for run in made.runs if len(run.packages) != 1]


VMM_SYS_UTIL = package(
    "vmm-sys-util",
    {"with-serde": ["serde", "serde_derive"]},
    optional=["serde", "serde_derive"],
)

VM_MEMORY = package(
    "vm-memory",
    {
        "default": ["rawfd"],
        "backend-mmap": ["dep:libc", "dep:winapi"],
        "backend-bitmap": ["dep:libc", "dep:winapi"],
        "backend-atomic": ["arc-swap"],
        "rawfd": ["dep:libc"],
        "xen": ["backend-mmap", "bitflags", "vmm-sys-util"],
        "iommu": ["dep:rangemap"],
    },
    optional=["arc-swap", "bitflags", "libc", "rangemap", "vmm-sys-util", "winapi"],
    table={"skip_optional_dependencies": True},
)
