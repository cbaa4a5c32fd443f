"""Cargo, rustc and the tools around them."""
