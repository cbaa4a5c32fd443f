"""The tools that sessions need."""
