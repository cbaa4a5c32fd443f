"""What holds for all tests."""

from __future__ import annotations

import os
import signal

from hypothesis.configuration import set_hypothesis_home_dir

from rustvmm_sessions.files import cache_directory

set_hypothesis_home_dir(cache_directory() / "hypothesis")  # its default is a folder of the work tree

# A shell starts background jobs with Ctrl-C ignored, and programs hand that down: a test that sends
# SIGINT would then wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where CI runs the tests, what they run is no job of it.
for name in ("CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "BUILDKITE"):
    os.environ.pop(name, None)
