"""The emulator's process: `python -m local.ministack_child DIRECTORY`, started by `Emulator` only.

It lives exactly as long as the process that started it: standard input is a pipe whose other end
that process holds, so its death, even by SIGKILL, reads as the end of the file. (A parent-death
signal would not do: it goes to one process, not to the Lambda workers, it fires when the starting
*thread* ends, and only Linux has it.)
"""

import os
import shutil
import signal
import sys
import threading

from local import ministack_quirks


def _end_with_parent(directory: str, lifeline: int) -> None:
    """Wait for the end of the pipe, then remove the directory and kill the whole process group."""
    while os.read(lifeline, 1024):
        pass
    shutil.rmtree(directory, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def main(directory: str) -> None:
    """Run MiniStack in the foreground until it is killed.

    Args:
        directory: the stack's temporary directory, removed if the parent dies.
    """
    # Not file descriptor 0: MiniStack's own children must not read from the pipe.
    lifeline = os.dup(0)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    threading.Thread(target=_end_with_parent, args=(directory, lifeline), daemon=True).start()

    ministack_quirks.patch()
    from ministack.app import main as serve

    sys.argv[1:] = []  # MiniStack parses the command line
    serve()


if __name__ == "__main__":
    main(sys.argv[1])
