"""Fuzzing the targets of fuzz/ with cargo-fuzz."""
