"""What may be odd about a package, each with what it adds to the package.

In texts ``@name@`` stands for the package's name, ``@crate@`` for its library's, ``@up@`` for the way to the
workspace's root from the package's folder, and ``@size@`` for a number that edits change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Trait:
    """Something odd about a package.

    Attributes:
        head: Inner attributes of the library, or of the program where there is no library.
        code: More code there.
        tests: More tests there.
        manifest: More tables of the manifest.
        library: Lines of the manifest's table ``[lib]``.
        files: More files of the package; a text that begins with ``->`` is a link.
        use: An expression of `x` with which dependents use it.
        needs: Traits that it cannot do without.
        group: Of those with the same group, a package has one.
        needs_library: Whether the library has to be one that Rust code can use, and none of macros.
        fault: Whether some session should fail.
    """

    head: str = ""
    code: str = ""
    tests: str = ""
    manifest: str = ""
    library: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    use: str = ""
    needs: tuple[str, ...] = ()
    group: str = ""
    needs_library: bool = False
    fault: bool = False


def function(name: str, more: int = 0) -> str:
    """Return a public function, of which a test reaches one half."""
    body = f"    if x < 3 {{\n        return {more + 4};\n    }}\n    x\n"
    return f"/// Has two ways.\npub fn {name}(x: i32) -> i32 {{\n{body}}}\n"


def unit_test(name: str, body: str) -> str:
    """Return a test of those in a library."""
    lines = "".join(f"        {line}\n" for line in body.splitlines())
    return f"    #[test]\n    fn {name}() {{\n{lines}    }}\n"


def _file(name: str, body: str) -> str:
    """Return a file of integration tests with one test."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    return f"//! Tests.\n\n#[test]\nfn {name}() {{\n{lines}}}\n"


_MAIN = """\
//! A program.

fn main() {
    let words = std::env::args().count();
    if words > 5 {
        println!("many @size@");
    } else {
        println!("hello @size@");
    }
}
"""
_CHILD = """\
let output = std::process::Command::new({program}){more}
    .output()
    .expect("a child");
assert_eq!(output.stdout, b"hello @size@\\n");"""
_SIBLING = """\
let here = std::env::current_exe().expect("a path");
let folder = here.parent().and_then(|p| p.parent()).expect("a folder");
let program = folder.join("{program}");
let output = std::process::Command::new(program)
    .output()
    .expect("a child");
assert_eq!(output.stdout, b"hello @size@\\n");"""
_HARNESSLESS = '[[test]]\nname = "{name}"\nharness = false\n'
_BUILD = "//! Runs while the package is built.\n\nfn main() {{\n{body}}}\n"


def _build(body: str, **more: str | bool) -> Trait:
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    code, tests = str(more.get("code", "")), str(more.get("tests", ""))
    return Trait(
        group="build",
        code=code,
        tests=tests,
        files={"build.rs": _BUILD.format(body=lines)},
        fault=bool(more.get("fault")),
    )


def _harnessless(name: str, body: str, *, fault: bool = False) -> Trait:
    text = f"//! Tests.\n\nfn main() {{\n{body}}}\n"
    return Trait(
        manifest=_HARNESSLESS.format(name=name),
        files={f"tests/{name}.rs": text},
        fault=fault,
        needs_library=True,
    )


TRAITS: Mapping[str, Trait] = {
    # Code
    "generic": Trait(
        code="/// Gives one of two.\npub fn pick<T>(first: T, _second: T) -> T {\n    first\n}\n",
        use="@dep@::pick(x, 2)",
        needs_library=True,
    ),
    "macro": Trait(
        code="/// Adds one.\n#[macro_export]\n"
        "macro_rules! bump {\n    ($x:expr) => {\n        $x + 1\n    };\n}\n",
        use="@dep@::bump!(x)",
        needs_library=True,
    ),
    "inline": Trait(
        code="/// Is inlined.\n#[inline(always)]\npub fn same(x: i32) -> i32 {\n    x\n}\n",
        use="@dep@::same(x)",
        needs_library=True,
    ),
    "closure": Trait(
        code="/// Has a closure.\n"
        "pub fn mapped(x: Option<i32>) -> i32 {\n    x.map(|y| y + 1).unwrap_or(0)\n}\n",
        tests=unit_test("maps", "assert_eq!(super::mapped(None), 0);"),
    ),
    "module": Trait(
        code="/// A module.\npub mod deep;\n",
        files={
            "src/deep/mod.rs": "//! A module.\n\n/// Another.\npub mod deeper;\n",
            "src/deep/deeper.rs": "//! Deeper.\n\n" + function("deeper"),
        },
        tests=unit_test("goes_deep", "assert_eq!(super::deep::deeper::deeper(5), 5);"),
    ),
    "unit-tests-file": Trait(
        code="#[cfg(test)]\nmod unit_tests;\n",
        files={
            "src/unit_tests.rs": '//! Tests.\n\n#[test]\nfn in_a_file() {\n    assert_eq!("a".len(), 1);\n}\n'
        },
    ),
    "tests-file": Trait(
        code='#[cfg(test)]\n#[path = "tests.rs"]\nmod more_tests;\n',
        files={"src/tests.rs": '//! Tests.\n\n#[test]\nfn in_a_file() {\n    assert_eq!("a".len(), 1);\n}\n'},
    ),
    "path": Trait(
        code='/// Shared.\n#[path = "../@up@/shared/common.rs"]\npub mod common;\n',
        tests=unit_test("shares", "assert_eq!(super::common::common(5), 5);"),
    ),
    "include": Trait(
        code='include!("../@up@/shared/included.rs");\n',
        tests=unit_test("includes", "assert_eq!(super::included(5), 5);"),
    ),
    "include-str": Trait(
        code='/// Text.\npub const TEXT: &str = include_str!("../@up@/shared/text.txt");\n',
        tests=unit_test("has_text", 'assert!(super::TEXT.starts_with("text"));'),
    ),
    "link": Trait(
        code="/// A link.\npub mod linked;\n",
        files={"src/linked.rs": "->../@up@/shared/common.rs"},
        tests=unit_test("follows", "assert_eq!(super::linked::common(5), 5);"),
    ),
    "unicode": Trait(
        code='/// A name.\n#[path = "größe und mehr.rs"]\npub mod groesse;\n',
        files={"src/größe und mehr.rs": "//! A name.\n\n" + function("size")},
        tests=unit_test("has_size", "assert_eq!(super::groesse::size(5), 5);"),
    ),
    "reads-at-run": Trait(
        files={"data.txt": "data @size@\n"},
        tests=unit_test(
            "reads",
            'let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data.txt");\n'
            "assert!(std::fs::read_to_string(path).is_ok());",
        ),
    ),
    "readme": Trait(
        head='#![doc = include_str!("../README.md")]\n',
        files={"README.md": "# Read me @size@\n\n```\nassert_eq!(1, 1);\n```\n"},
    ),
    "if-covered": Trait(
        head="#![allow(unexpected_cfgs)]\n",
        code="/// Only where coverage is measured.\n#[cfg(coverage)]\npub fn measured() -> i32 {\n    1\n}\n",
    ),
    "if-extra": Trait(
        head="#![allow(unexpected_cfgs)]\n",
        code="/// Only with a flag.\n#[cfg(extra)]\npub fn extra() -> i32 {\n    1\n}\n",
    ),
    "windows": Trait(code='#[cfg(windows)]\nfn never() -> i32 {\n    "not a number"\n}\n'),
    "allows": Trait(head="#![allow(warnings)]\n"),
    "lints-allow": Trait(manifest='[lints.rust]\ndead_code = "allow"\n', group="lints"),
    "lints-inherited": Trait(manifest="[lints]\nworkspace = true\n", group="lints"),
    "no-unit-tests": Trait(library="test = false\n", needs_library=True),
    "no-doctests": Trait(library="doctest = false\n"),
    # Targets
    "program": Trait(files={"src/main.rs": _MAIN}),
    "tool": Trait(
        files={
            "src/bin/@name@-tool.rs": _MAIN
            + "\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn works() {\n        super::main();\n    }\n}\n"
        }
    ),
    "equal-program": Trait(
        manifest='[[bin]]\nname = "equal"\npath = "src/equal.rs"\n', files={"src/equal.rs": _MAIN}
    ),
    "example": Trait(files={"examples/show.rs": _MAIN}),
    "tested-example": Trait(
        manifest='[[example]]\nname = "shown"\ntest = true\n',
        files={"examples/shown.rs": _MAIN + "\n#[test]\nfn works() {\n    main();\n}\n"},
    ),
    "example-library": Trait(
        manifest='[[example]]\nname = "plug"\ncrate-type = ["cdylib"]\n',
        files={"examples/plug.rs": '//! A plug.\n\n/// Is called from C.\npub extern "C" fn plug() {}\n'},
    ),
    "bench": Trait(
        manifest='[[bench]]\nname = "speed"\nharness = false\n', files={"benches/speed.rs": _MAIN}
    ),
    "tested-bench": Trait(
        manifest='[[bench]]\nname = "quick"\nharness = false\ntest = true\n',
        files={"benches/quick.rs": _MAIN},
    ),
    "bench-with-harness": Trait(files={"benches/plain.rs": _file("plain", 'assert_eq!("a".len(), 1);')}),
    "itest": Trait(
        files={"tests/it.rs": _file("base", "assert_eq!(@crate@::base(-2), -1);")}, needs_library=True
    ),
    "itest-folder": Trait(files={"tests/folder/main.rs": _file("inside", 'assert_eq!("a".len(), 1);')}),
    "itest-common": Trait(
        files={
            "tests/commonly.rs": "//! Tests.\n\nmod common;\n\n"
            "#[test]\nfn helps() {\n    assert_eq!(common::help(), 1);\n}\n",
            "tests/common/mod.rs": "//! Help.\n\n/// Helps.\npub fn help() -> i32 {\n    1\n}\n",
        }
    ),
    "itest-place": Trait(
        files={
            "tests/place.rs": _file(
                "place",
                'assert!(std::path::Path::new("Cargo.toml").exists());\n'
                'let folder = env!("CARGO_TARGET_TMPDIR");\n'
                'assert!(std::fs::write(format!("{folder}/written"), "x").is_ok());',
            )
        }
    ),
    "itest-child": Trait(
        files={
            "tests/child.rs": _file("starts", _CHILD.format(program='env!("CARGO_BIN_EXE_@name@")', more=""))
        },
        needs=("program",),
    ),
    "itest-bare-child": Trait(
        files={
            "tests/bare.rs": _file(
                "starts_bare",
                _CHILD.format(program='env!("CARGO_BIN_EXE_@name@")', more="\n    .env_clear()"),
            )
        },
        needs=("program",),
    ),
    "itest-child-elsewhere": Trait(
        files={
            "tests/elsewhere.rs": _file(
                "starts_elsewhere",
                _CHILD.format(program='env!("CARGO_BIN_EXE_@name@")', more='\n    .current_dir("/")'),
            )
        },
        needs=("program",),
    ),
    "itest-sibling": Trait(
        files={"tests/sibling.rs": _file("finds", _SIBLING.format(program="@name@"))}, needs=("program",)
    ),
    "itest-example-child": Trait(
        files={"tests/example.rs": _file("finds_example", _SIBLING.format(program="examples/show"))},
        needs=("example",),
        fault=True,
    ),
    "itest-itself": Trait(
        files={
            "tests/itself.rs": _file(
                "starts_itself",
                'if std::env::var_os("INNER").is_some() {\n    return;\n}\n'
                'let here = std::env::current_exe().expect("a path");\n'
                "let status = std::process::Command::new(here)\n"
                '    .args(["--exact", "starts_itself"])\n    .env("INNER", "1")\n    .status();\n'
                'assert!(status.expect("a child").success());',
            )
        }
    ),
    "itest-harnessless": _harnessless("bare_main", "    assert_eq!(@crate@::base(1), 2);\n"),
    "itest-early-end": _harnessless(
        "early", "    assert_eq!(@crate@::base(1), 2);\n    std::process::exit(0);\n"
    ),
    "build": _build('assert_eq!("a".len(), 1);'),
    "build-says": _build('println!("cargo::rerun-if-changed=build.rs");'),
    "build-reads": _build(
        'println!("cargo::rerun-if-changed=@up@/shared/text.txt");\n'
        'assert!(std::fs::read("@up@/shared/text.txt").is_ok());'
    ),
    "build-writes": _build(
        'let folder = std::env::var("OUT_DIR").expect("a folder");\n'
        'let text = "/// Is generated.\\npub fn generated() -> i32 {\\n    1\\n}\\n";\n'
        'std::fs::write(format!("{folder}/made.rs"), text).expect("written");',
        code='include!(concat!(env!("OUT_DIR"), "/made.rs"));\n',
        tests=unit_test("is_generated", "assert_eq!(super::generated(), 1);"),
    ),
    "build-cfg": _build(
        'println!("cargo::rustc-check-cfg=cfg(found)");\nprintln!("cargo::rustc-cfg=found");\n'
        'println!("cargo::warning=only a word @size@");',
        code="/// Is found.\n#[cfg(found)]\npub fn found() -> i32 {\n    1\n}\n",
        tests=unit_test("is_found", "assert_eq!(super::found(), 1);"),
    ),
    "build-fails": _build('assert_eq!("a".len(), 2);', fault=True),
    # Faults
    "dead": Trait(code="fn dead() {}\n", fault=True),
    "dead-in-release": Trait(code="#[cfg(not(debug_assertions))]\nfn dead_in_release() {}\n", fault=True),
    "dead-in-debug": Trait(code="#[cfg(debug_assertions)]\nfn dead_in_debug() {}\n", fault=True),
    "unused-in-test": Trait(tests=unit_test("unused", "let x = 1;"), fault=True),
    "unused-in-example": Trait(
        files={"examples/unused.rs": "//! Unused.\n\nfn main() {\n    let x = 1;\n}\n"}, fault=True
    ),
    "error-in-example": Trait(
        files={"examples/wrong.rs": '//! Wrong.\n\nfn main() {\n    let _: i32 = "";\n}\n'}, fault=True
    ),
    "error-in-bench": Trait(
        files={"benches/wrong_bench.rs": '//! Wrong.\n\nfn main() {\n    let _: i32 = "";\n}\n'}, fault=True
    ),
    "error-in-test": Trait(tests=unit_test("wrong", 'let _: i32 = "";'), fault=True),
    "warns-docs": Trait(head="#![warn(missing_docs)]\n", code="pub fn undocumented() {}\n", fault=True),
    "denies-docs": Trait(head="#![deny(missing_docs)]\n", code="pub fn undocumented_too() {}\n", fault=True),
    "unformatted": Trait(code="/// Is not formatted.\npub fn   unformatted() { }\n", fault=True),
    "unformatted-docs": Trait(code="/// ```\n/// let x  =  1;\n/// ```\npub fn shown() {}\n", fault=True),
    "broken-link": Trait(code="/// See [`nowhere`].\npub fn linking() {}\n", fault=True),
    "private-link": Trait(
        code="/// See [`hidden`].\npub fn to_hidden() -> i32 {\n    hidden()\n}\n\n"
        "fn hidden() -> i32 {\n    1\n}\n",
        fault=True,
    ),
    "broken-private-link": Trait(
        code="/// Uses it.\npub fn uses() -> i32 {\n    quiet()\n}\n\n"
        "/// See [`nowhere`].\nfn quiet() -> i32 {\n    1\n}\n",
        fault=True,
    ),
    "html": Trait(code="/// A <b>word.\npub fn html() {}\n", fault=True),
    "bare-url": Trait(code="/// See https://example.com/ there.\npub fn bare_url() {}\n", fault=True),
    "extra-link": Trait(
        head="#![allow(unexpected_cfgs)]\n",
        code="/// See [`nowhere`].\n#[cfg(extra_doc)]\npub fn extra_linking() {}\n",
        fault=True,
    ),
    "clippy": Trait(code="/// Returns.\npub fn returns(x: i32) -> i32 {\n    return x;\n}\n", fault=True),
    "unsafe": Trait(
        code="/// Is not explained.\n"
        "pub fn unexplained(x: &u8) -> u8 {\n    unsafe { std::ptr::read(x) }\n}\n",
        fault=True,
    ),
    "doctest": Trait(code="/// ```\n/// assert_eq!(1, 1);\n/// ```\npub fn documented() {}\n"),
    "doctest-fails": Trait(code="/// ```\n/// assert_eq!(1, 2);\n/// ```\npub fn badly() {}\n", fault=True),
    "doctest-not-run": Trait(code="/// ```no_run\n/// panic!();\n/// ```\npub fn not_run() {}\n"),
    "doctest-unlike": Trait(
        code="/// ```compile_fail\n/// let x = 1;\n/// ```\npub fn compiles() {}\n", fault=True
    ),
    "test-fails": Trait(tests=unit_test("fails", "assert_eq!(super::base(1), 7);"), fault=True),
    "test-ignored": Trait(tests="    #[test]\n    #[ignore]\n    fn ignored() {\n        panic!();\n    }\n"),
    "test-panics": Trait(
        tests="    #[test]\n    #[should_panic]\n    fn panics() {\n        panic!();\n    }\n"
    ),
    "itest-fails": Trait(files={"tests/failing.rs": _file("fails", "assert_eq!(1, 2);")}, fault=True),
    "itest-aborts": Trait(files={"tests/aborting.rs": _file("aborts", "std::process::abort();")}, fault=True),
    "itest-ends": _harnessless("ending", "    std::process::exit(3 + @crate@::base(-2));\n", fault=True),
    "itest-variable": Trait(
        files={
            "tests/variable.rs": _file(
                "variable", 'assert_eq!(std::env::var("SPECIAL").as_deref(), Ok("yes"));'
            )
        },
        fault=True,
    ),
    "itest-runner": Trait(
        files={
            "tests/runner.rs": _file("runner", 'assert_eq!(std::env::var("RUNNER").as_deref(), Ok("yes"));')
        },
        fault=True,
    ),
}
FAULTS = tuple(name for name, trait in TRAITS.items() if trait.fault)
QUIRKS = tuple(name for name, trait in TRAITS.items() if not trait.fault)
