"""The crate's repository."""
