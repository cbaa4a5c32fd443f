"""The sessions that cargo does: formatting, lints, builds, documentation, tests."""
