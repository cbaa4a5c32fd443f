# /// script
# dependencies = ["rustvmm-sessions[tools]", "nox"]
# ///
import nox
from rustvmm_sessions import register

# Coverage is each member's own: no set of features is right for both, and all of them at once
# do not build, as two of backend's exclude each other.
register(skip=["coverage"])

if __name__ == "__main__":
    nox.main()
