"""The messages of commits."""
