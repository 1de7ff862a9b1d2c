"""What ``twistd engineio`` looks for."""

from .cli.options import Options, makeService

__all__ = ["Options", "makeService"]
