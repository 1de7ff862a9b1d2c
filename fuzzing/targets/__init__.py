"""One file for each target; ``fuzzing/__init__.py`` says what a target is."""
