# /// script
# dependencies = ["rustvmm-sessions[tools]", "nox"]
# ///
import nox
from rustvmm_sessions import register

# Two of backend's features exclude each other: a build for each counts in one figure.
crate = register(coverage_features={"backend": [["tap", "stats"], ["vsock", "stats"]]})

if __name__ == "__main__":
    nox.main()
