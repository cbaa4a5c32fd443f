"""Line coverage, and its record in ``tests/coverage``."""
