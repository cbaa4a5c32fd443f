"""What coverage_config_ARCH.json and register() may say, and the one message for what they may not."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rustvmm_sessions import register
from rustvmm_sessions import settings as config
from rustvmm_sessions.coverage.config import (
    SCORE_TOLERANCE,
    CoverageConfig,
    parse_coverage_config,
)
from rustvmm_sessions.coverage.exclusions import split_patterns
from rustvmm_sessions.errors import UserError
from rustvmm_sessions.settings import BenchRules, Override, Settings, settings

if TYPE_CHECKING:
    from collections.abc import Callable

CRATE = Path("/crate")
PATH = CRATE / "coverage_config_x86_64.json"


def message(call: Callable[[], object]) -> str:
    """Return the message that `call` ends with."""
    with pytest.raises(UserError) as caught:
        call()
    return str(caught.value)


# coverage_config_ARCH.json


def test_a_usual_file() -> None:
    text = '{\n  "coverage_score": 92.7,\n  "exclude_path": "",\n  "crate_features": ""\n}\n'  # vm-device's
    assert parse_coverage_config(text, PATH) == CoverageConfig(
        path=PATH, score=Fraction("92.7"), exclude=(), features=(), warnings=()
    )


@pytest.mark.parametrize(
    ("value", "patterns"),
    [
        # as real crates have them
        ("", ()),
        ("xtask", ("xtask",)),
        ("mmap/windows.rs", ("mmap/windows.rs",)),
        (r"virtio-bindings|virtio-queue/src/mock\.rs", ("virtio-bindings", r"virtio-queue/src/mock\.rs")),
        ("tests/integration_tests.rs,tests/json.rs", ("tests/integration_tests.rs", "tests/json.rs")),
        (r".*(bindings\.rs|vmm-sys-util/.*)", (r".*(bindings\.rs|vmm-sys-util/.*)",)),
        # as they could
        ("a.rs, b.rs", ("a.rs", "b.rs")),
        ("|a.rs||b.rs,", ("a.rs", "b.rs")),
        ("a|b,c", ("a", "b", "c")),
        (r"(a|b),c{1,2}|[,|]d", ("(a|b)", "c{1,2}", "[,|]d")),
        ("((a|b)|c)|d", ("((a|b)|c)", "d")),
        (r"a\|b|c\,d", (r"a\|b", r"c\,d")),
        (r"a\\|b", (r"a\\", "b")),
        (r"a\(|b\)", (r"a\(", r"b\)")),
        ("[(]a|b", ("[(]a", "b")),
        ("[)]a,b", ("[)]a", "b")),
        ("[]|(]a|[^],]b", ("[]|(]a", "[^],]b")),
    ],
)
def test_patterns_are_split_outside_brackets(value: str, patterns: tuple[str, ...]) -> None:
    text = json.dumps({"exclude_path": value})
    assert parse_coverage_config(text, PATH).exclude == patterns == split_patterns(value)


@hypothesis_settings(deadline=None)
@given(st.lists(st.from_regex(r"\A[a-z/]{1,3}(\[[a-z,|(){}]{1,3}\]|\([a-z]\|[a-z]\)|\\[|,(\[])?\Z")))
def test_patterns_joined_are_split_again(patterns: list[str]) -> None:
    assert split_patterns("|".join(patterns)) == tuple(patterns)
    assert split_patterns(",".join(patterns)) == tuple(patterns)


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("{}", None),
        ('{"crate_features": ""}', ()),
        ('{"crate_features": "json"}', ("json",)),
        ('{"crate_features": "bzimage,elf"}', ("bzimage", "elf")),
        (
            '{"crate_features": "vhost/vhost-kern, vhost/vhost-vsock"}',
            ("vhost/vhost-kern", "vhost/vhost-vsock"),
        ),
        ('{"crate_features": " "}', ()),
    ],
)
def test_no_features_key_is_all_features_and_an_empty_one_the_default_ones(
    text: str, features: tuple[str, ...] | None
) -> None:
    assert parse_coverage_config(text, PATH).features == features


@pytest.mark.parametrize(
    ("value", "score"),
    [
        ("0", "0"),
        ("90", "90"),
        ("80.1", "80.1"),
        ("81.20", "81.2"),
        ("100", "100"),
        ("1e2", "100"),
        ("92.700000000000000001", "92.700000000000000001"),
        ("1e-999999999", "0"),  # as a fraction it would fill the memory
    ],
)
def test_a_score_is_read_exactly(value: str, score: str) -> None:
    assert parse_coverage_config(f'{{"coverage_score": {value}}}', PATH).score == Fraction(score)


def test_a_key_given_twice_is_named_with_its_line_and_the_last_one_counts() -> None:
    text = (  # linux-loader's
        '{\n  "coverage_score": 92.54,\n  "exclude_path": "",\n  "crate_features": "bzimage,elf",\n'
        '  "exclude_path": "loader_gen"\n}\n'
    )
    parsed = parse_coverage_config(text, PATH)
    assert parsed.exclude == ("loader_gen",)
    assert parsed.warnings == (f"{PATH}:5: the key 'exclude_path' is given twice; the last one counts",)


def test_a_line_is_that_of_the_files_own_key() -> None:
    text = '{\n  "coverage_score": "80",\n  "old": {\n    "coverage_score": 1\n  }\n}'
    assert f"--> {PATH}:2\n" in message(lambda: parse_coverage_config(text, PATH))


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("exclude_paths", "did you mean 'exclude_path'?"),
        ("coverage", "did you mean 'coverage_score'?"),
        ("features", "did you mean 'crate_features'?"),
        ("Coverage_Score", "did you mean 'coverage_score'?"),
        ("größe", "there are: coverage_score, crate_features, exclude_path"),
        ("zzz", "there are: coverage_score, crate_features, exclude_path"),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_right_one(key: str, advice: str) -> None:
    text = f'{{\n  "coverage_score": 80.1,\n  "{key}": ""\n}}'
    parsed = parse_coverage_config(text, PATH)
    assert parsed.warnings == (f"{PATH}:3: the key {key!r} is unknown and ignored; {advice}",)
    assert parsed.score == Fraction("80.1")


BROKEN = [
    pytest.param("", 1, "invalid JSON", id="empty"),
    pytest.param("coverage_score: 80.1", 1, "invalid JSON", id="YAML"),
    pytest.param('{\n  "coverage_score": 80.1,\n}', 3, "invalid JSON", id="comma at the end"),
    pytest.param('{\n  "coverage_score": 80.1\n', 3, "invalid JSON", id="cut short"),
    pytest.param('{\n  "coverage_score": 80,1\n}', 2, "invalid JSON", id="decimal comma"),
    pytest.param('{\n<<<<<<< HEAD\n  "coverage_score": 80.1\n}', 2, "invalid JSON", id="merge"),
    pytest.param("\ufeff{}", 1, "invalid JSON", id="byte order mark"),
    pytest.param("[" * 100_000, 1, "invalid JSON", id="very deep"),
    pytest.param("[80.1]", 1, "an object is expected", id="list"),
    pytest.param("80.1", 1, "an object is expected", id="number"),
    pytest.param("null", 1, "an object is expected", id="null"),
]

WRONG_SCORES = [
    ('"80.1"', "'80.1'"),
    ("true", "True"),
    ("[80]", "[80]"),
    ("NaN", "nan"),
    ("Infinity", "inf"),
    ("-Infinity", "-inf"),
    ("-0.1", "-0.1"),
    ("-1", "-1"),
    ("100.01", "100.01"),
    ("101", "101"),
    ("1e400", "Infinity"),
    ("1e99999999999999999999", "Infinity"),
]


@pytest.mark.parametrize(("text", "line", "what"), BROKEN)
def test_a_broken_file_is_one_message_with_the_line(text: str, line: int, what: str) -> None:
    said = message(lambda: parse_coverage_config(text, PATH))
    assert said.startswith(what)
    assert f"\n --> {PATH}:{line}\nhelp: " in said


@pytest.mark.parametrize(("value", "shown"), WRONG_SCORES)
def test_a_score_that_is_no_percentage_is_one_message_with_the_line(value: str, shown: str) -> None:
    text = f'{{\n  "exclude_path": "",\n  "coverage_score": {value}\n}}'
    assert message(lambda: parse_coverage_config(text, PATH)) == (
        f"coverage_score is a number from 0 to 100, not {shown}\n"
        f' --> {PATH}:3\nhelp: write "coverage_score": 80.1'
    )


@pytest.mark.parametrize("key", ["exclude_path", "crate_features"])
@pytest.mark.parametrize(
    ("value", "kind"), [('["a.rs"]', "list"), ("1", "int"), ("true", "bool"), ("{}", "dict")]
)
def test_a_key_of_the_wrong_type_is_one_message_with_the_line(key: str, value: str, kind: str) -> None:
    text = f'{{\n  "coverage_score": 80.1,\n  "{key}": {value}\n}}'
    assert message(lambda: parse_coverage_config(text, PATH)) == (
        f'{key} is a string, not {kind}\n --> {PATH}:3\nhelp: write "{key}": "..."'
    )


@pytest.mark.parametrize("pattern", ["*.rs", "(a", "a)", "[a", r"a|b\\"])
def test_a_pattern_that_is_no_regular_expression_is_named_with_the_line(pattern: str) -> None:
    text = f'{{\n  "coverage_score": 80.1,\n  "exclude_path": "{pattern}"\n}}'
    said = message(lambda: parse_coverage_config(text, PATH))
    assert "is not a POSIX extended regular expression" in said
    assert f" --> {PATH}:3\n" in said


# What a noxfile gives to register


def given_settings(**given: Any) -> Settings:
    return settings(CRATE, given)


def test_nothing_given_means_the_defaults() -> None:
    assert given_settings() == Settings(directory=CRATE)
    absent = dict.fromkeys(("env", "skip", "overrides", "platforms", "coverage_tolerance"))
    assert given_settings(**absent) == Settings(directory=CRATE)


def test_every_option_arrives() -> None:
    assert given_settings(
        workspace=False,
        env={"RUST_BACKTRACE": "1"},
        skip=["setup"],
        overrides={
            "coverage": {
                "timeout_minutes": 30,
                "devices": ["/dev/kvm"],
                "env": {"A": ""},
                "platforms": ["aarch64"],
            }
        },
        platforms=("x86_64", "aarch64"),
        coverage_tolerance=0.1,
        coverage_reruns=0,
        coverage_features=[["xen", "mmap"], [], ["postcopy"], []],
    ) == Settings(
        directory=CRATE,
        workspace=False,
        env={"RUST_BACKTRACE": "1"},
        skip=frozenset({"setup"}),
        overrides={
            "coverage": Override(
                timeout_minutes=30, devices=("/dev/kvm",), env={"A": ""}, platforms=("aarch64",)
            )
        },
        platforms=("x86_64", "aarch64"),
        coverage_tolerance=Fraction(1, 10),
        coverage_reruns=0,
        coverage_features={"": (("xen", "mmap"), (), ("postcopy",))},
    )


def test_the_options_are_those_of_settings() -> None:
    options = inspect.signature(register).parameters
    assert {"directory", "own", *options} == {field.name for field in fields(Settings)}
    assert [options[name].default for name in ("workspace", "env", "bench")] == [True, {}, BenchRules()]
    for name in options:
        assert f"\n        {name}: " in (register.__doc__ or "")


@pytest.mark.parametrize(
    ("tolerance", "points"),
    [(0, "0"), (0.5, "0.5"), (1, "1"), (Decimal("0.05"), "0.05"), (Fraction(1, 3), "1/3"), (100, "100")],
)
def test_a_tolerance_is_the_number_as_it_is_written(tolerance: Any, points: str) -> None:
    assert given_settings(coverage_tolerance=tolerance).coverage_tolerance == Fraction(points)


def test_sessions_may_have_rust_vmm_cis_names() -> None:
    checked = given_settings(
        skip=["style", "fmt"], overrides={"unittests-gnu": {"timeout_minutes": 0.5}, "coverage": {}}
    )
    assert checked.skip == {"fmt"}
    assert checked.overrides == {"unit-tests": Override(timeout_minutes=0.5), "coverage": Override()}


def test_a_session_has_its_settings_in_one_place() -> None:
    both = {"unit-tests": {"timeout_minutes": 5}, "unittests-gnu": {"devices": ["/dev/kvm"]}}
    said = message(lambda: given_settings(overrides=both))
    assert said.startswith("the session 'unit-tests' is given twice, by both its names\n")
    assert " --> register(overrides=...)\n" in said


UNKNOWN = [
    ({"tolerance": 1}, "there is no option 'tolerance'", "register()", "did you mean 'coverage_tolerance'?"),
    ({"workspaces": True}, "there is no option 'workspaces'", "register()", "did you mean 'workspace'?"),
    ({"overide": {}}, "there is no option 'overide'", "register()", "did you mean 'overrides'?"),
    (
        {"xyz": 1},
        "there is no option 'xyz'",
        "register()",
        "there are: " + ", ".join(sorted({f.name for f in fields(Settings)} - {"directory", "own"})),
    ),
    (
        {"skip": ["coverag"]},
        "there is no standard session 'coverag'",
        "register(skip=...)",
        "did you mean 'coverage'?",
    ),
    (
        {"overrides": {"Setup": {}}},
        "there is no standard session 'Setup'",
        "register(overrides=...)",
        "did you mean 'setup'?",
    ),
    ({"overrides": {"": {}}}, "there is no standard session ''", "register(overrides=...)", "there are: "),
    ({"overrides": {7: {}}}, "there is no standard session 7", "register(overrides=...)", "there are: "),
    (
        {"overrides": {"coverage": {"timeout": 5}}},
        "there is no option 'timeout'",
        "register(overrides={'coverage': ...})",
        "did you mean 'timeout_minutes'?",
    ),
    (
        {"overrides": {"coverage": {"device": []}}},
        "there is no option 'device'",
        "register(overrides={'coverage': ...})",
        "did you mean 'devices'?",
    ),
    (
        {"bench": {"treshold": 2}},
        "there is no option 'treshold'",
        "register(bench=...)",
        "did you mean 'threshold'?",
    ),
    (
        {"platforms": ["x86-64"]},
        "there is no platform 'x86-64'",
        "register(platforms=...)",
        "did you mean 'x86_64'?",
    ),
    (
        {"platforms": ["arm"]},
        "there is no platform 'arm'",
        "register(platforms=...)",
        "there are: aarch64, riscv64, x86_64",
    ),
    (
        {"overrides": {"coverage": {"platforms": ["arch64"]}}},
        "there is no platform 'arch64'",
        "register(overrides={'coverage': ...}), platforms",
        "did you mean 'aarch64'?",
    ),
]


@pytest.mark.parametrize(("given", "what", "where", "fix"), UNKNOWN)
def test_a_wrong_name_is_one_message_with_the_nearest_right_one(
    given: dict[str, Any], what: str, where: str, fix: str
) -> None:
    said = message(lambda: given_settings(**given))
    assert said.startswith(f"{what}\n --> {where}\nhelp: {fix}")


STRINGS = "a list of strings"
DICT = "a dict of strings such as"
POINTS = "a number of points from 0 to 100"
MINUTES = "a number of minutes above 0"

WRONG_TYPES = [
    ("workspace", "yes", "'yes' is not True or False"),
    ("workspace", 1, "1 is not True or False"),
    ("workspace", None, "None is not True or False"),
    ("skip", "coverage", f"'coverage' is not {STRINGS}"),
    ("skip", "", f"'' is not {STRINGS}"),
    ("skip", 1, f"1 is not {STRINGS}"),
    ("skip", False, f"False is not {STRINGS}"),
    ("pipeline_command", "  ", "'  ' is not a non-empty string"),
    ("skip", [1], "1 is not a non-empty string"),
    ("skip", [""], "'' is not a non-empty string"),
    ("env", ["A=1"], f"['A=1'] is not {DICT}"),
    ("env", [], f"[] is not {DICT}"),
    ("env", "", f"'' is not {DICT}"),
    ("env", {"A": 1}, f"{{'A': 1}} is not {DICT}"),
    ("env", {"A": None}, f"{{'A': None}} is not {DICT}"),
    ("env", {1: "A"}, f"{{1: 'A'}} is not {DICT}"),
    ("env", {"": "A"}, f"{{'': 'A'}} is not {DICT}"),
    ("env", {"A=B": "C"}, f"{{'A=B': 'C'}} is not {DICT}"),
    ("env", {"A": "\0"}, f"{{'A': '\\x00'}} is not {DICT}"),
    ("overrides", ["coverage"], "['coverage'] is not a dict such as"),
    ("overrides", [], "[] is not a dict such as"),
    ("overrides", False, "False is not a dict such as"),
    ("overrides", {"coverage": 30}, "30 is not a dict such as"),
    ("overrides", {"coverage": None}, "None is not a dict such as"),
    ("platforms", "x86_64", f"'x86_64' is not {STRINGS}"),
    ("platforms", [], "[] is not at least one platform"),
    ("platforms", [None], "None is not a non-empty string"),
    ("coverage_tolerance", "0.5", f"'0.5' is not {POINTS}"),
    ("coverage_tolerance", True, f"True is not {POINTS}"),
    ("coverage_tolerance", -0.1, f"-0.1 is not {POINTS}"),
    ("coverage_tolerance", 100.1, f"100.1 is not {POINTS}"),
    ("coverage_tolerance", float("nan"), f"nan is not {POINTS}"),
    ("coverage_tolerance", float("inf"), f"inf is not {POINTS}"),
    ("patch_coverage", "80", "'80' is not a percentage from 0 to 100"),
    ("patch_coverage", 101, "101 is not a percentage from 0 to 100"),
    ("coverage_reruns", -1, "-1 is not a whole number from 0 to 100"),
    ("coverage_reruns", True, "True is not a whole number from 0 to 100"),
    ("coverage_features", "xen", "'xen' is not a list of lists of features such as"),
    ("coverage_features", ["xen"], f"'xen' is not {STRINGS}"),
    ("coverage_features", [], "[] is not at least one list of features"),
    ("coverage_features", [["a,b"]], "'a,b' is not a feature"),
    ("coverage_features", [["--release"]], "'--release' is not a feature"),
]


@pytest.mark.parametrize(("option", "value", "what"), WRONG_TYPES)
def test_a_wrong_type_is_one_message_with_the_option(option: str, value: Any, what: str) -> None:
    said = message(lambda: given_settings(**{option: value}))
    assert said.startswith(what)
    assert f"\n --> register({option}" in said
    assert said.endswith("\nhelp: correct the noxfile")


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("timeout_minutes", "30", f"'30' is not {MINUTES}"),
        ("timeout_minutes", 0, f"0 is not {MINUTES}"),
        ("timeout_minutes", -1, f"-1 is not {MINUTES}"),
        ("timeout_minutes", True, f"True is not {MINUTES}"),
        ("timeout_minutes", float("nan"), f"nan is not {MINUTES}"),
        ("devices", "/dev/kvm", f"'/dev/kvm' is not {STRINGS}"),
        ("devices", False, f"False is not {STRINGS}"),
        ("devices", [Path("/dev/kvm")], "PosixPath('/dev/kvm') is not a non-empty string"),
        ("env", {"A": True}, f"{{'A': True}} is not {DICT}"),
        ("env", "", f"'' is not {DICT}"),
        ("platforms", "x86_64", f"'x86_64' is not {STRINGS}"),
        ("platforms", (), "() is not at least one platform"),
    ],
)
def test_a_wrong_type_in_an_override_is_one_message_with_the_key(key: str, value: Any, what: str) -> None:
    said = message(lambda: given_settings(overrides={"coverage": {key: value}}))
    assert said.startswith(what)
    assert said.endswith(f"\n --> register(overrides={{'coverage': ...}}), {key}\nhelp: correct the noxfile")


def test_a_score_has_the_tolerance_of_rust_vmm_ci() -> None:
    assert float(SCORE_TOLERANCE) == 0.5


# Platforms


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x86_64", ("x86_64",)),
        ("x86_64\r\n\n# arm64 later\n  aarch64  \nx86_64\n", ("x86_64", "aarch64")),
        ("riscv64\ns390x\n", ("riscv64", "s390x")),
    ],
)
def test_a_platform_file_names_one_a_line(text: str, names: tuple[str, ...]) -> None:
    assert config.parse_platforms(text, ".platform") == names


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("", "the file names no platform", ".platform"),
        ("# none\n\n", "the file names no platform", ".platform"),
        ("x86_64\narm64\n", "there is no platform 'arm64'", ".platform:2"),
        ("x86_64 aarch64\n", "there is no platform 'x86_64 aarch64'", ".platform:1"),
        ("\nmips\n", "there is no platform 'mips'", ".platform:2"),
    ],
)
def test_an_unknown_platform_is_an_error_even_where_it_resembles_none(
    text: str, what: str, where: str
) -> None:
    with pytest.raises(UserError) as error:
        config.parse_platforms(text, ".platform")

    assert (error.value.what, error.value.where) == (what, where)


def test_settings_name_the_platforms_that_a_platform_file_may() -> None:
    assert given_settings(platforms=["s390x"]).platforms == ("s390x",)


# Benchmarks


def test_what_is_asked_of_benchmarks_is_one_percent_unless_it_is_said() -> None:
    assert given_settings().bench == BenchRules(threshold=1.0, time_only=())
    said = given_settings(bench={"threshold": 2.5, "time_only": ["^vcpu/"]}).bench
    assert said == BenchRules(threshold=2.5, time_only=("^vcpu/",))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (2, "is not a dict"),
        ({"threshold": "2"}, "is not a number of points"),
        ({"threshold": -1}, "is not a number of points"),
        ({"threshold": float("nan")}, "is not a number of points"),
        ({"time_only": "vcpu"}, "is not a list of strings"),
        ({"time_only": ["("]}, "invalid regular expression '('"),
    ],
)
def test_what_cannot_be_asked_of_benchmarks_is_one_message(given: Any, said: str) -> None:
    text = message(lambda: given_settings(bench=given))
    assert said in text
    assert "register(bench=...)" in text
