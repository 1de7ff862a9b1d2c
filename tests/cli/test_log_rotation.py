"""Log files that are renamed under the process."""

from __future__ import annotations

from io import StringIO

import pytest
from twisted.logger import globalLogPublisher, textFileLogObserver
from twisted.python.logfile import LogFile

from twisted_engineio.cli.log_rotation import TWISTED, log_files, renew


@pytest.fixture
def log(tmp_path):
    """Give a log file that has a line already."""
    made = LogFile("log", str(tmp_path))
    made.write("before\n")
    yield made
    made.close()


@pytest.mark.parametrize("create", [True, False])
def test_a_file_that_was_renamed_is_opened_again_by_its_name(log, tmp_path, create):
    """As logrotate leaves it, with and without a new file in its place."""
    (tmp_path / "log").rename(tmp_path / "log.1")
    if create:
        (tmp_path / "log").write_text("new\n")
    renew(log)
    log.write("after\n")
    assert (tmp_path / "log.1").read_text() == "before\n"
    assert (tmp_path / "log").read_text() == ("new\n" if create else "") + "after\n"


def test_a_file_that_was_removed_is_made_again(log, tmp_path):
    """The disk was full, and somebody made room."""
    (tmp_path / "log").unlink()
    renew(log)
    log.write("after\n")
    assert (tmp_path / "log").read_text() == "after\n"


def test_a_file_that_has_its_name_is_rotated(log, tmp_path):
    """As twistd promises of SIGUSR1."""
    renew(log)
    log.write("after\n")
    assert (tmp_path / "log.1").read_text() == "before\n"
    assert (tmp_path / "log").read_text() == "after\n"


def test_a_directory_that_is_gone_leaves_the_log_as_it_is(log, tmp_path, logged):
    """A log that cannot be opened again must not be closed."""
    folder, moved = tmp_path / "in", tmp_path / "away"
    folder.mkdir()
    kept = LogFile("log", str(folder))
    folder.rename(moved)
    renew(kept)
    kept.write("still here\n")
    kept.close()
    assert (moved / "log").read_text() == "still here\n"
    assert (
        logged.take()["log_format"]
        == "cannot reopen the log file: {error}; logging to the old file"
    )


@pytest.mark.usefixtures("observers")
def test_the_files_that_are_logged_to(log):
    """Not what is written to a terminal, or handed to something else."""
    for each in (textFileLogObserver(log), textFileLogObserver(StringIO()), print):
        globalLogPublisher.addObserver(each)
    files = log_files()
    globalLogPublisher.removeObserver(print)
    assert files == [log]


@pytest.mark.parametrize("name", TWISTED)
def test_twisted_still_has_what_is_used(log, name):
    """A new Twisted shows here what it has renamed."""
    assert hasattr(log, name)
