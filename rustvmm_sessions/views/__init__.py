"""Views of the results of sessions, each for those who look there: a terminal, CI's pages, JUnit."""
