"""What libFuzzer prints, as data, and the test that repeats an input."""

from __future__ import annotations

import pytest

from rustvmm_sessions.fuzz.libfuzzer import Failure, Progress, failure_in, literal, progress_in, told
from rustvmm_sessions.fuzz.libfuzzer import test_of as made_test

PANIC = """\
INFO: Seed: 3245195834
#2\tINITED cov: 11 ft: 11 corp: 1/1b exec/s: 0 rss: 37Mb
thread '<unnamed>' (4101) panicked at /crate/src/lib.rs:6:16:
index out of bounds: the len is 8 but the index is 255
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
==4101== ERROR: libFuzzer: deadly signal
    #0 0x5653897d8021 in __sanitizer_print_stack_trace /rustc/llvm/asan_stack.cpp:87:3
    #17 0x5653897f7c4c in core::panicking::panic_fmt /rustc/e50aa6f/library/core/src/panicking.rs:80:14
    #18 0x5653896d1e71 in parse /crate/src/lib.rs:6:16
    #20 0x5653896d33d0 in rust_fuzzer_test_input /home/me/.cargo/registry/libfuzzer-sys/src/lib.rs:276:60

NOTE: libFuzzer has rudimentary signal handlers.
      Combine libFuzzer with AddressSanitizer or similar for better crash reports.
SUMMARY: libFuzzer: deadly signal
MS: 2 CMP-InsertByte-; base unit: adc83b19e793491b1c6ea0fd8b46cd9f32e592fc
artifact_prefix='a/'; Test unit written to /kept/parse/crash-9a156ba2
Base64: Vk1NTQ==
"""
OVERFLOW = """\
Running: /kept/parse/one
Executed /kept/parse/one in 0 ms
Running: /kept/parse/two
=================================================================
==7==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602000000011 at pc 0x55 bp 0x7f sp 0x7f
READ of size 1 at 0x602000000011 thread T0
    #0 0x55d5c1 in core::ptr::read /rustc/e50aa6f/library/core/src/ptr/mod.rs:1:2
    #1 0x55d5c1 in sample::peek /my crate/src/peek.rs:40:9
SUMMARY: AddressSanitizer: heap-buffer-overflow /my crate/src/peek.rs:40:9 in sample::peek
==7==ABORTING
"""
HANG = """\
Running: /kept/parse/slow
ALARM: working on the last Unit for 61 seconds
       and the timeout value is 60 (use -timeout=N to change)
==9== ERROR: libFuzzer: timeout after 61 seconds
    #4 0x55d5c1 in sample::wait /crate/src/wait.rs:9:5
SUMMARY: libFuzzer: timeout
"""
MEMORY = """\
==8== ERROR: libFuzzer: out-of-memory (used: 2093Mb; limit: 2048Mb)
   To change the out-of-memory limit use -rss_limit_mb=<N>

SUMMARY: libFuzzer: out-of-memory
artifact_prefix='a/'; Test unit written to /kept/parse/oom-77
"""
LEAK = """\
==5==ERROR: LeakSanitizer: detected memory leaks
SUMMARY: AddressSanitizer: 8 byte(s) leaked in 1 allocation(s).
Test unit written to /kept/parse/leak-1
"""


@pytest.mark.parametrize(
    ("output", "failure"),
    [
        (
            PANIC,
            Failure(
                kind="crash",
                input="/kept/parse/crash-9a156ba2",
                why="index out of bounds: the len is 8 but the index is 255",
                file="/crate/src/lib.rs",
                line=6,
            ),
        ),
        (
            OVERFLOW,
            Failure(
                kind="crash",
                input="/kept/parse/two",
                why="AddressSanitizer: heap-buffer-overflow",
                file="/my crate/src/peek.rs",
                line=40,
            ),
        ),
        (
            HANG,
            Failure(
                kind="hang",
                input="/kept/parse/slow",
                why="timeout after 61 seconds",
                file="/crate/src/wait.rs",
                line=9,
            ),
        ),
        (
            MEMORY,
            Failure(
                kind="out of memory",
                input="/kept/parse/oom-77",
                why="out-of-memory (used: 2093Mb; limit: 2048Mb)",
            ),
        ),
        (
            LEAK,
            Failure(
                kind="memory leak",
                input="/kept/parse/leak-1",
                why="LeakSanitizer: detected memory leaks",
            ),
        ),
    ],
    ids=["panic", "overflow", "hang", "memory", "leak"],
)
def test_why_it_stopped_is_read_with_the_input_and_the_place(output: str, failure: Failure) -> None:
    assert failure_in(output) == failure


@pytest.mark.parametrize(
    "output",
    [
        "",
        "Running: /kept/one\nExecuted /kept/one in 0 ms\n",
        "==1==ERROR: AddressSanitizer failed to start\n",
    ],
)
def test_without_an_error_or_an_input_nothing_is_said(output: str) -> None:
    assert failure_in(output) is None


def test_what_is_shown_is_the_reason_and_the_frames_of_the_workspace() -> None:
    assert told(PANIC) == (
        "thread '<unnamed>' (4101) panicked at /crate/src/lib.rs:6:16:\n"
        "index out of bounds: the len is 8 but the index is 255\n"
        "==4101== ERROR: libFuzzer: deadly signal\n"
        "    #18 0x5653896d1e71 in parse /crate/src/lib.rs:6:16\n"
    )
    assert told("") == ""


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        (
            "#8537\tREDUCE cov: 23 ft: 24 corp: 5/25b lim: 74 exec/s: 4268 rss: 39Mb L: 8/8 MS: 4 CMP-",
            Progress(executions=8537, coverage=23, kept=5, rate=4268),
        ),
        (
            "#699812: cov: 34 ft: 34 corp: 5 exec/s: 124917 oom/timeout/crash: 0/0/0 time: 3s job: 2",
            Progress(executions=699812, coverage=34, kept=5, rate=124917),
        ),
        ("    #18 0x5653896d1e71 in parse /crate/src/lib.rs:6:16", None),
        ("Done 12 runs in 5 second(s)", None),
    ],
)
def test_progress_is_read_from_the_lines_of_one_process_and_of_several(
    line: str, progress: Progress | None
) -> None:
    assert progress_in(line) == progress


def test_progress_is_told_in_words() -> None:
    progress = Progress(executions=1530104, coverage=24, kept=6, rate=170011)
    assert str(progress) == "1,530,104 executions, 170,011 per second, coverage 24, corpus 6"


def test_bytes_are_a_literal_of_rust() -> None:
    assert literal(b'a"\\\n\r\t\0\x7f\xff ') == 'b"a\\"\\\\\\n\\r\\t\\0\\x7f\\xff "'


TARGET = """\
#![no_main]
use libfuzzer_sys::fuzz_target;
use sample::{parse, Kind};

fuzz_target!(|data: &[u8]| {
    // a brace in a comment: }
    if let Some(kind) = parse(data, '}', "}") {
        assert!(kind < Kind::Last);
    }
});
"""


def test_the_test_does_what_the_fuzz_target_does() -> None:
    assert made_test("fuzz_parse_1", b"V\xff", TARGET, file="/kept/x") == (
        "#[test]\n"
        "fn fuzz_parse_1() {\n"
        "    use sample::{parse, Kind};\n"
        '    let data: &[u8] = b"V\\xff";\n'
        "    // a brace in a comment: }\n"
        "    if let Some(kind) = parse(data, '}', \"}\") {\n"
        "        assert!(kind < Kind::Last);\n"
        "    }\n"
        "}"
    )


def test_an_input_of_another_type_is_made_as_libfuzzer_sys_makes_it() -> None:
    made = made_test("f", b"1", "fuzz_target!(|input: Vec<Request>| { run(&input); });", file="")
    assert (
        "    let input: Vec<Request> = <Vec<Request> as arbitrary::Arbitrary>"
        '::arbitrary_take_rest(arbitrary::Unstructured::new(b"1")).unwrap();\n'
        "    run(&input);\n"
    ) in made


def test_a_long_input_stands_in_a_file_beside_the_test() -> None:
    made = made_test("f", bytes(257), TARGET, file="/kept/x")
    assert "    // f.bin is a copy of /kept/x\n" in made
    assert 'let data: &[u8] = include_bytes!("f.bin");' in made
    assert "include_bytes" not in made_test("f", bytes(256), TARGET, file="/kept/x")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "fuzz_target!(init: setup(), |data: &[u8]| { run(data); });",
        "fuzz_target!(|data: &[u8]| {",
        "run!()",
    ],
)
def test_of_a_target_of_another_form_the_body_is_left_to_write(source: str) -> None:
    assert made_test("f", b"1", source, file="") == (
        '#[test]\nfn f() {\n    let data: &[u8] = b"1";\n    // what the fuzz target does with data\n}'
    )
