"""What a session does, without nox."""
