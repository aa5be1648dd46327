"""spin: translate the model, compile its verifier, search, and say what was found in words."""

import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

MODEL = Path(__file__).parent
# -DSAFETY: no cycles are looked for. -DHC4: a state is kept as a hash of 96 bits, so that many fit.
# -O1 compiles four times as fast as -O2, and searches as fast.
_COMPILE = ["gcc", "-O1", "-w", "-o", "pan", "pan.c"]
_COMPILE += ["-DNO_RESIZE", "-DSAFETY", "-DNOREDUCE", "-DHC4", "-DVECTORSZ=1024"]
# Since 6.2.0 spin's verifier hashes with 32 bits where its table has at most 2^32 places, and -DHC4
# then keeps no more than those: of 50,000 states it takes dozens for others and never goes on from
# them. Jenkins' hash is in the same file, and has all the bits.
_HASHES = ("hasher = d_sfh;", "hasher = d_hash;")
# -E: processes that wait for ever are how every story ends.
_SEARCH = ["./pan", "-E", "-m1000000"]
# Of more than 99,999,999 it prints eight digits, as 2.3026083e+08.
_STORED = re.compile(r"^\s*(\d+(?:\.\d+e\+\d+)?) states, stored", re.MULTILINE)
_STEP = re.compile(r"proc\s+\d+ \((\w+):\d+\) (\w+\.pml):(\d+)")
_FAILED = re.compile(r"(\w+\.pml):(\d+), Error: assertion violated")
_TAG = re.compile(r"/\* @([a-z_. ]+?) \*/")
_PROMISE = re.compile(r"/\* ([A-Z][A-Z ]+?)(?::.*)? \*/")


class NotSearched(Exception):
    """spin or gcc is missing, refused the model, or ran out of memory or time."""


@dataclass(frozen=True)
class Found:
    """What a search found: `broken` is the promise, or empty; `story` the calls that break it."""

    states: int
    seconds: float
    broken: str = ""
    story: list[str] = field(default_factory=list)


def missing() -> str | None:
    """Return what to install, in a sentence; None if nothing is missing."""
    if shutil.which("spin") and shutil.which("gcc"):
        return None
    return "The model needs spin and gcc: apt-get install spin gcc"


def search(defines: str, timeout: float, memory: int = 3000) -> Found:
    """Search the model with these defines, `N=2 CRASH=1`.

    Args:
        defines: for the model.
        timeout: seconds for each of spin, gcc and the search.
        memory: megabytes at most.

    Raises:
        NotSearched: the search did not end; `str()` says why.
    """
    given = [f"-D{define}" for define in defines.split()]
    begun = time.monotonic()
    with TemporaryDirectory() as folder:
        for source in MODEL.glob("*.pml"):
            shutil.copy(source, folder)
        _run(["spin", "-a", *given, "fence.pml"], folder, timeout)
        _hash_with_all_bits(Path(folder) / "pan.c")
        _run([*_COMPILE, f"-DMEMLIM={memory}"], folder, timeout)
        told = _run([*_SEARCH, f"-w{28 if memory > 6000 else 24}"], folder, timeout)
        stored = _STORED.search(told)
        if "errors: 0" in told and "Search not completed" not in told and stored:
            return Found(round(float(stored[1])), time.monotonic() - begun)
        if not stored or "assertion violated" not in told:
            raise NotSearched(told.strip()[-500:])
        replay = _run(["spin", "-t", "-p", *given, "fence.pml"], folder, timeout)
    broken, story = _told(replay)
    return Found(round(float(stored[1])), time.monotonic() - begun, broken, story)


def _hash_with_all_bits(verifier: Path) -> None:
    text = verifier.read_text(encoding="utf-8")
    if text.count(_HASHES[0]) != 1:
        raise NotSearched("This spin chooses its hash elsewhere: see _HASHES.")
    verifier.write_text(text.replace(*_HASHES), encoding="utf-8")


def _run(command: list[str], folder: str, timeout: float) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - no shell
            command, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise NotSearched(f"{command[0]} took longer than {timeout:.0f} s") from None
    if command[0] in ("spin", "gcc") and done.returncode and "-t" not in command:
        raise NotSearched(done.stdout + done.stderr)
    return done.stdout + done.stderr


def _told(replay: str) -> tuple[str, list[str]]:
    """Return the promise that a replayed story breaks, and its calls by process and @name."""
    failed = _FAILED.search(replay)
    promise = _PROMISE.search(_line(failed[1], int(failed[2]))) if failed else None
    story: list[str] = []
    last = None
    for process, source, number in _STEP.findall(replay):
        tag = _TAG.search(_line(source, int(number)))
        if tag and last != (process, source, number):
            story.append(f"{process}: {tag[1]}")
        if tag:
            last = (process, source, number)
    return promise[1] if promise else "an assertion", story


def _line(source: str, number: int) -> str:
    return (MODEL / source).read_text(encoding="utf-8").splitlines()[number - 1]
