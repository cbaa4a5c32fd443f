"""The checks as pytest tests, for those who type `pytest --profile=devel`; run in a crate's directory."""
