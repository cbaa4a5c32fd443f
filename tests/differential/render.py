"""Write a workspace: its files as data, and the least that turns a folder into them."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.crates import NOXFILE
from tests.differential.traits import TRAITS, function, unit_test

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tests.differential.workspace import Dependency, Feature, Package, Workspace

REPOSITORY = "deep/work"
"""The folder of the repository; packages may lie beside it."""
AGE = 2 * 86400
"""Seconds by which an older file is older."""
BASE = """\
/// Is in every library.
pub fn base(x: i32) -> i32 {
    if x < 0 {
        return -1;
    }
    x + 1
}
"""
MACROS = """\
use proc_macro::TokenStream;

/// Doubles an expression.
#[proc_macro]
pub fn twice(input: TokenStream) -> TokenStream {
    let text = double(&input.to_string());
    text.parse().expect("tokens")
}

/// Is in every library.
fn base(x: i32) -> i32 {
    if x < 0 {
        return -1;
    }
    x + 1
}

fn double(text: &str) -> String {
    if text.is_empty() {
        return base(-2).to_string();
    }
    format!("(({text}) * 2)")
}
"""


@dataclass(frozen=True, kw_only=True)
class Denied:
    """Flags laid over the workspace's own, wherever these stand."""

    rustflags: tuple[str, ...] = ()
    rustdocflags: tuple[str, ...] = ()

    def of(self, key: str) -> tuple[str, ...]:
        """Return those for a key of cargo's configuration."""
        return self.rustflags if key == "rustflags" else self.rustdocflags


NOTHING = Denied()


# The environment and cargo's configuration


def variables(workspace: Workspace, host: str, denied: Denied) -> dict[str, str]:
    """Return the environment variables that hold flags."""
    environment = {}
    for flags in workspace.flags:
        words = (*flags.words, *denied.of(flags.key))
        upper, triple = flags.key.upper(), host.upper().replace("-", "_")
        names = {
            "plain": upper,
            "encoded": f"CARGO_ENCODED_{upper}",
            "build-variable": f"CARGO_BUILD_{upper}",
            "triple-variable": f"CARGO_TARGET_{triple}_{upper}",
        }
        if flags.place in names:
            environment[names[flags.place]] = ("\x1f" if flags.place == "encoded" else " ").join(words)
    return environment


def configuration(workspace: Workspace, host: str, denied: Denied) -> str:
    """Return the text of cargo's configuration file."""
    places = {"build": "build", "triple": f"target.{host}", "cfg": "target.'cfg(unix)'"}
    tables: dict[str, dict[str, object]] = {place: {} for place in places.values()}
    for flags in workspace.flags:
        words = [*flags.words, *denied.of(flags.key)]
        if flags.place in places:
            tables[places[flags.place]][flags.key] = " ".join(words) if flags.form == "string" else words
    for key in ("rustflags", "rustdocflags"):
        if denied.of(key):
            tables["build"].setdefault(key, denied.of(key))
    lines: dict[str, tuple[str, str, object]] = {
        "target": ("build", "target", host),
        "target-list": ("build", "target", [host]),
        "target-folder": ("build", "target-dir", "out"),
        "runner": (places["triple"], "runner", "/usr/bin/env RUNNER=yes"),
        "runner-list": (places["triple"], "runner", ["/usr/bin/env", "RUNNER=yes"]),
        "runner-cfg": (places["cfg"], "runner", "/usr/bin/env RUNNER=yes"),
        "variable": ("env", "SPECIAL", "yes"),
    }
    for table, key, value in (lines[trait] for trait in workspace.traits if trait in lines):
        tables.setdefault(table, {})[key] = value
    return _toml({name: values for name, values in tables.items() if values})


def _toml(tables: Mapping[str, Mapping[str, object]]) -> str:
    """Return tables of strings and lists of strings as TOML."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for name, values in tables.items()
    )


# Manifests


def _relative(workspace: Workspace, path: str, start: str) -> str:
    root = Path("/", REPOSITORY, workspace.top)
    return os.path.relpath(root / path, root / start)


def _dependency(package: Package, dependency: Dependency, workspace: Workspace) -> str:
    other = workspace.package(dependency.on)
    key = dependency.rename or other.name
    values: dict[str, object] = {}
    if dependency.via == "workspace":
        values["workspace"] = True
    elif dependency.via == "patch":
        values["version"] = "*"
    else:
        values["path"] = _relative(workspace, other.folder, package.folder)
    if dependency.rename and dependency.via != "workspace":
        values["package"] = other.name
    if dependency.optional:
        values["optional"] = True
    if not dependency.defaults and dependency.via != "workspace":
        values["default-features"] = False
    if dependency.features:
        values["features"] = list(dependency.features)
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    return f"[{dependency.kind}.{key}]\n{lines}"


def manifest(package: Package, workspace: Workspace) -> str:
    """Return a package's manifest, without the workspace's tables."""
    parts = [
        f'[package]\nname = "{package.name}"\nversion = "{package.version}"\nedition = "{package.edition}"\n'
    ]
    if package.member and package.folder.startswith(".."):
        parts[0] += f'workspace = "{_relative(workspace, ".", package.folder)}"\n'
    if package.table and package.excludes:
        sets = json.dumps([list(package.excludes)])
        parts.append(f"[package.metadata.cargo-all-features]\nskip_feature_sets = {sets}\n")
    if package.features:
        default = [feature.name for feature in package.features if feature.default]
        lines = [f"default = {json.dumps(default)}"] if default else []
        lines += [f"{feature.name} = {json.dumps(feature.implies)}" for feature in package.features]
        parts.append("[features]\n" + "".join(f"{line}\n" for line in lines))
    traits = [TRAITS[name] for name in package.traits]
    if package.kinds:
        lines = [f'name = "{package.library}"'] if package.library else []
        lines += ["proc-macro = true"] if package.proc_macro else []
        if package.kinds != ("lib",) and not package.proc_macro:
            lines.append(f"crate-type = {json.dumps(package.kinds)}")
        lines += [line for trait in traits for line in trait.library.splitlines()]
        parts += ["[lib]\n" + "".join(f"{line}\n" for line in lines)] if lines else []
    parts += [_dependency(package, dependency, workspace) for dependency in package.dependencies]
    parts += [trait.manifest for trait in traits if trait.manifest]
    return "\n".join(parts)


def _root(workspace: Workspace) -> str:
    members = [p.folder for p in workspace.members if p.folder != "."]
    outside = [p.folder for p in workspace.packages if not p.member and not p.folder.startswith("..")]
    lines = [f"members = {json.dumps(members)}"] if members else []
    lines += [f"exclude = {json.dumps(outside)}"] if outside else []
    parts = [
        "[workspace]\n" + "".join(f"{line}\n" for line in [f'resolver = "{workspace.resolver}"', *lines])
    ]
    inherited, patched = {}, {}
    for dependency in (d for package in workspace.packages for d in package.dependencies):
        other = workspace.package(dependency.on)
        if dependency.via == "workspace":
            name = f'package = "{other.name}", ' if dependency.rename else ""
            inherited[dependency.rename or other.name] = f'{{ {name}path = "{other.folder}" }}'
        if dependency.via == "patch":
            patched[other.name] = f'{{ path = "{other.folder}" }}'
    tables = {"workspace.dependencies": inherited, "patch.crates-io": patched}
    for name, entries in tables.items():
        if entries:
            parts.append(f"[{name}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()))
    if any("lints-inherited" in package.traits for package in workspace.packages):
        parts.append('[workspace.lints.rust]\ndead_code = "allow"\n')
    if "profile" in workspace.traits:
        parts.append('[profile.dev]\nopt-level = 1\n\n[profile.release]\npanic = "abort"\n')
    if "codegen-units" in workspace.traits:
        parts.append("[profile.test]\ncodegen-units = 1\n")
    return "\n".join(parts)


# Sources


def _uses(package: Package, workspace: Workspace) -> Iterator[tuple[str, str]]:
    """Yield code and tests that use the dependencies."""
    for number, dependency in enumerate(package.dependencies):
        other = workspace.package(dependency.on)
        if not other.linkable or dependency.kind == "build-dependencies":
            continue
        key = dependency.rename or other.name
        crate = dependency.rename.replace("-", "_") or other.crate
        uses = [TRAITS[name].use.replace("@dep@", crate) for name in other.traits if TRAITS[name].use]
        first = f"{crate}::twice!(x)" if other.proc_macro else f"{crate}::base(x)"
        uses = [first] if other.proc_macro else [first, *uses]
        if dependency.borrows and not other.proc_macro:
            uses.append(f"{crate}::with_{dependency.borrows}(x)")
        gate = "#[cfg(test)]\n" if dependency.kind == "dev-dependencies" else ""
        if dependency.optional:
            gate = f'#[cfg(feature = "{key}")]\n'
        lines = "".join(f"    sum += {use};\n" for use in uses[1:])
        body = f"    let mut sum = {uses[0]};\n{lines}    sum\n" if lines else f"    {uses[0]}\n"
        function = f"/// Uses a dependency.\n{gate}pub fn use_{number}(x: i32) -> i32 {{\n{body}}}\n"
        test = f"    {gate}" if gate else ""
        test += unit_test(f"use_{number}", f"assert!(super::use_{number}(3) > 0);")
        yield function, test


def _feature(feature: Feature) -> tuple[str, str]:
    """Return code and a test that only a feature has."""
    body = {
        "error": '    let y: i32 = "";\n    x + y\n',
        "warning": "    let y = 1;\n    x\n",
        "test": "    -x\n",
    }.get(feature.fault, "    x\n")
    name, gate = feature.name, f'#[cfg(feature = "{feature.name}")]\n'
    code = f"/// Is there with a feature.\n{gate}pub fn with_{name}(x: i32) -> i32 {{\n{body}}}\n"
    test = f"    {gate}" + unit_test(f"with_{name}", f"assert_eq!(super::with_{name}(3), 3);")
    return code, test


def source(package: Package, workspace: Workspace) -> str:
    """Return the root file of the library, or that of the program where there is no library."""
    traits = [TRAITS[name] for name in package.traits]
    private = package.proc_macro or not package.kinds
    heads = dict.fromkeys(trait.head for trait in traits if trait.head)
    used = [*_uses(package, workspace), *(_feature(feature) for feature in package.features)]
    code = ["" if package.proc_macro else BASE, *(text for text, _ in used)]
    if package.excludes:
        both = ", ".join(f'feature = "{name}"' for name in package.excludes)
        code.append(f'#[cfg(all({both}))]\ncompile_error!("only one of them");\n')
    code += [trait.code for trait in traits if trait.code]
    for number in range(package.size):
        code.append(f"/// Grows.\npub fn grown_{number}(x: i32) -> i32 {{\n    base(x) + {number + 1}\n}}\n")
    if private:
        heads["#![allow(dead_code)]\n"] = None
        code = [f"\n{text}".replace("\npub ", "\n")[1:] for text in code]
    code[:1] = [MACROS] if package.proc_macro else code[:1]
    if not package.kinds:
        code.append('fn main() {\n    println!("hello @size@");\n    base(1);\n}\n')
    tests = [
        unit_test("base", "assert_eq!(super::base(1), 2);"),
        *(text for _, text in used),
        *(trait.tests for trait in traits if trait.tests),
    ]
    code.append("#[cfg(test)]\nmod tests {\n" + "\n".join(tests) + "}\n")
    return f"//! Package {package.name}.\n" + "".join(heads) + "\n" + "\n".join(code)


def files(workspace: Workspace, host: str, denied: Denied = NOTHING) -> dict[str, str]:
    """Return the text of each file by its path from the repository's parent; a link begins with ``->``."""
    top = Path(REPOSITORY, workspace.top)
    texts: dict[str, str] = {}

    def put(path: Path | str, text: str) -> None:
        texts[os.path.normpath(path)] = text

    put(
        Path(REPOSITORY, ".gitignore"),
        "target\nout\n__pycache__\n" + ("Cargo.lock\n" if "lock-ignored" in workspace.traits else ""),
    )
    put(Path(REPOSITORY, "NOTES.md"), f"Notes {workspace.notes}\n")
    texts |= _shared(workspace, top)
    roots = [package for package in workspace.packages if package.folder == "."]
    put(top / "Cargo.toml", "\n".join([*(manifest(p, workspace) for p in roots), _root(workspace)]))
    if text := configuration(workspace, host, denied):
        if "configuration-above" in workspace.traits:
            put(Path(".cargo/config.toml"), text)
        elif "configuration-included" in workspace.traits:
            put(top / ".cargo/config.toml", 'include = ["more.toml"]\n')
            put(top / ".cargo/more.toml", text)
        else:
            put(top / ".cargo/config.toml", text)
    for package in workspace.packages:
        folder = top / package.folder
        if package.folder != ".":
            put(folder / "Cargo.toml", manifest(package, workspace))
        for path, text in _package_files(package, workspace).items():
            put(folder / path, text)
    home = top / workspace.noxfile if workspace.noxfile else top
    put(home / "noxfile.py", NOXFILE.format(options="workspace=False" if workspace.noxfile else ""))
    config = {"exclude_path": workspace.exclude} if workspace.exclude else {}
    if workspace.crate_features is not None:
        config["crate_features"] = workspace.crate_features
    if config:
        put(home / f"coverage_config_{host.partition('-')[0]}.json", json.dumps(config))
    return texts


def _shared(workspace: Workspace, top: Path) -> dict[str, str]:
    number = workspace.shared
    texts = {
        "common.rs": "//! Shared.\n\n" + function("common", number),
        "included.rs": function("included", number),
        "text.txt": f"text {number}\n",
    }
    return {os.path.normpath(top / "shared" / name): text for name, text in texts.items()}


def _package_files(package: Package, workspace: Workspace) -> dict[str, str]:
    traits = [TRAITS[name] for name in package.traits]
    root = "src/lib.rs" if package.kinds else "src/main.rs"
    texts: dict[str, str] = {}
    for trait in traits:
        texts |= trait.files
    texts[root] = source(package, workspace)
    words = {
        "@name@": package.name,
        "@crate@": package.crate,
        "@up@": _relative(workspace, ".", package.folder),
        "@size@": str(package.size),
    }
    return {_filled(path, words): _filled(text, words) for path, text in texts.items()}


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text


# Writing


def write(place: Path, texts: Mapping[str, str], before: Iterable[str], *, older: bool = False) -> None:
    """Turn a folder that holds files `before` into one that holds `texts`; equal files are left alone."""
    for path in sorted(set(before) - set(texts), reverse=True):
        (place / path).unlink()
        for folder in (place / path).parents:
            if folder == place or any(folder.iterdir()):
                break
            folder.rmdir()
    for path, text in texts.items():
        file = place / path
        link = text.removeprefix("->") if text.startswith("->") else None
        if link is not None:
            if not file.is_symlink() or os.readlink(file) != link:  # noqa: PTH115
                file.parent.mkdir(parents=True, exist_ok=True)
                file.unlink(missing_ok=True)
                file.symlink_to(link)
        elif file.is_symlink() or not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            file.write_text(text)
            if older:
                then = time.time() - AGE
                os.utime(file, (then, then))
