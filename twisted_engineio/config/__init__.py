"""The server's options: what each one is, its default, and the check of its value."""

from .checks import TRANSPORTS, check_interval
from .config import OPTIONS, Config
from .option import Option

__all__ = ["OPTIONS", "TRANSPORTS", "Config", "Option", "check_interval"]
