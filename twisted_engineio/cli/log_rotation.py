"""
Rotation of the process's log files.

Rules of this file:

1. A log file that was renamed or removed is reopened by its name: this supports
   logrotate, with ``create`` and without.
2. A log file that still has its name is rotated by Twisted, as twistd does on SIGUSR1.
3. If a file cannot be opened, logging continues in the old one.
"""

from __future__ import annotations

import os
from typing import Any, Final

from twisted.logger import Logger, globalLogPublisher
from twisted.python.logfile import LogFile

__all__ = ["TWISTED", "log_files", "renew"]

TWISTED: Final = ("_file", "path")
"""Private names of Twisted's ``LogFile`` that are used here."""

log = Logger()


def log_files() -> list[LogFile]:
    """Return the log files of the process; empty if it logs to standard output."""
    written: list[Any] = [
        getattr(each, "_outFile", None) for each in globalLogPublisher._observers
    ]
    return [each for each in written if isinstance(each, LogFile)]


def renew(file: LogFile) -> None:
    """
    Reopen a log file that was renamed; rotate one that was not.

    Args:
        file: The log file.

    """
    try:
        # Opened before reopen() closes the old file: after that it is too late to fail.
        with open(file.path, "ab") as named:
            same = os.path.samestat(
                os.fstat(named.fileno()), os.fstat(file._file.fileno())
            )
    except OSError as error:
        log.error(
            "cannot reopen the log file: {error}; logging to the old file", error=error
        )
        return
    if same:
        file.rotate()
    else:
        file.reopen()
