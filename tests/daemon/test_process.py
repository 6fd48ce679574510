from __future__ import annotations

import os
import subprocess
from typing import Any

from teleporter_lab.daemon.process import reap, running


def test_this_one_runs() -> None:
    assert running(os.getpid())
    assert running(1)


def test_numbers_that_are_no_process() -> None:
    assert not running(0)
    assert not running(-1)
    assert not running(2**22 + 1)
    assert not running(2**70)
    assert [reap(pid) for pid in (-1, 0, 2**70)] == [None] * 3


def test_one_that_ended_does_not_run_before_it_was_waited_for(python: Any) -> None:
    child = subprocess.Popen(python("import sys; sys.exit(7)"), stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.read() == b""  # the pipe closes with the process
    child.stdout.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not running(child.pid)
    assert reap(child.pid) == 7
    assert reap(child.pid) is None
    assert not running(child.pid)
    child.returncode = 7


def test_who_is_not_our_child_has_no_exit_code() -> None:
    assert reap(os.getppid()) is None


def test_a_child_that_runs_has_none_yet(python: Any) -> None:
    child = subprocess.Popen(python("input()"), stdin=subprocess.PIPE)
    assert running(child.pid)
    assert reap(child.pid) is None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert reap(child.pid) == -9
    assert child.stdin is not None
    child.stdin.close()
    child.returncode = -9
