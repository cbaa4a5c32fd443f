"""Sessions and steps in containers."""
