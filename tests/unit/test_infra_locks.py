import subprocess
import sys
from pathlib import Path

import pytest

from milo_billing.infra.locks import FolderLock, FolderLocked

HOLD = """
import sys
from pathlib import Path
from milo_billing.infra.locks import FolderLock
FolderLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""

FORK = """
import os, sys
from pathlib import Path
from milo_billing.infra.locks import FolderLock
FolderLock(Path(sys.argv[1])).acquire()
if os.fork() == 0:
    held = FolderLock(Path(sys.argv[1])).holder() == os.getppid()
    print("the parent holds it" if held else "nobody holds it", flush=True)
    os._exit(0)
os.wait()
"""


def test_a_second_holder_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        lock = FolderLock(tmp_path)
        assert lock.holder() == other.pid
        with pytest.raises(FolderLocked, match=f"pid {other.pid}") as refused:
            lock.acquire()
        assert refused.value.pid == other.pid
        other.kill()
    lock.acquire()
    lock.release()


def test_a_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "the parent holds it\n"
    assert FolderLock(tmp_path).holder() is None
