"""The command line: ``twistd engineio``."""
