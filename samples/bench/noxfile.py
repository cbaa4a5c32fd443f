# /// script
# dependencies = ["rustvmm-sessions[tools]", "nox"]
# ///
import nox
from rustvmm_sessions import register

register()

if __name__ == "__main__":
    nox.main()
