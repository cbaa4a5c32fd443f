"""What is made of the results of sessions: the end of a run in a terminal, JUnit."""
