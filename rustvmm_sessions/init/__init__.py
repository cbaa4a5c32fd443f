"""The files that a crate needs."""
