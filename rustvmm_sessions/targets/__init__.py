"""Checking the crate for targets on which its tests do not run."""
