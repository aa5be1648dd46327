"""The emulator's process: `python -m local.ministack_child DIRECTORY LISTENER`, of `Emulator` only.

It lives exactly as long as the process that started it: standard input is a pipe whose other end
that process holds, so its death, even by SIGKILL, reads as the end of the file. (A parent-death
signal would not do: it goes to one process, not to the Lambda workers, it fires when the starting
*thread* ends, and only Linux has it.)
"""

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import sys
import threading
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local import loopback, ministack_quirks, root_docs
from local.emulator import HOST


def _end_with_parent(directory: str, lifeline: int) -> None:
    """Wait for the end of the pipe, then remove the directory and kill the whole process group."""
    while os.read(lifeline, 1024):
        pass
    shutil.rmtree(directory, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def main(directory: str, listener: str) -> None:
    """Run MiniStack in the foreground until it is killed.

    Args:
        directory: the stack's temporary directory, removed if the parent dies.
        listener: file descriptor of the socket that listens already. MiniStack's own `main` opens
            one itself, and takes a port that listens for one in use.
    """
    # Not file descriptor 0: MiniStack's own children must not read from the pipe.
    lifeline = os.dup(0)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    threading.Thread(target=_end_with_parent, args=(directory, lifeline), daemon=True).start()

    ministack_quirks.patch()
    from ministack.app import app

    with contextlib.suppress(OSError, ValueError):  # as MiniStack's `main` does
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    config = Config()
    config.bind = [f"fd://{listener}"]
    config.keep_alive_timeout = 75  # seconds, as MiniStack's `main` has it
    served: Any = root_docs.with_docs_at_the_root(app, lambda: root_docs.deployed_base_path(HOST))
    if os.environ.get("COUNT_CALLS"):
        from local import ministack_counts  # by the whole application's prices

        counts = ministack_counts.Counts()
        ministack_counts.patch(counts)
        served = ministack_counts.answering(served, counts)
    served = loopback.for_this_computer(served)
    asyncio.run(serve(served, config))


if __name__ == "__main__":
    main(*sys.argv[1:])
