"""Checking that what is about to be published holds together."""
