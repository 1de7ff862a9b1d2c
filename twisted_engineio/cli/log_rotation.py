"""
The log files of the process, and what a request to rotate them does.

Rules of this file:

1. A log file that was renamed or removed is opened again by its name: that is how
   logrotate works, with ``create`` and without.
2. One that still has its name is rotated by Twisted, as twistd does on SIGUSR1.
3. A file that cannot be opened is left as it is: the process goes on in the old one.
"""

from __future__ import annotations

import os
from typing import Any, Final

from twisted.logger import Logger, globalLogPublisher
from twisted.python.logfile import LogFile

__all__ = ["TWISTED", "log_files", "renew"]

TWISTED: Final = ("_file", "path")
"""What is used here of Twisted's ``LogFile`` besides its documented methods."""

log = Logger()


def log_files() -> list[LogFile]:
    """Return the files that the process logs to, if any."""
    written: list[Any] = [
        getattr(each, "_outFile", None) for each in globalLogPublisher._observers
    ]
    return [each for each in written if isinstance(each, LogFile)]


def renew(file: LogFile) -> None:
    """
    Open a file again that has lost its name; rotate one that has it still.

    Args:
        file: The log file.

    """
    try:
        # Made if it is missing: after reopen has closed it, it is too late to fail.
        with open(file.path, "ab") as named:
            same = os.path.samestat(
                os.fstat(named.fileno()), os.fstat(file._file.fileno())
            )
    except OSError as error:
        log.error("cannot reopen the log: {error}", error=error)
        return
    if same:
        file.rotate()
    else:
        file.reopen()
