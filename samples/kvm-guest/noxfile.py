# /// script
# dependencies = ["rustvmm-sessions[tools]", "nox"]
# ///
import nox
from rustvmm_sessions import register

KVM = {"devices": ["/dev/kvm"]}
TESTS = ("unit-tests", "unit-tests-release", "unit-tests-musl", "unit-tests-musl-release", "coverage")

register(platforms=["x86_64"], overrides=dict.fromkeys(TESTS, KVM))

if __name__ == "__main__":
    nox.main()
