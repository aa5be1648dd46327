"""Passwords that are guessed first: the common ones, what is hardly more, and the user's own name.

NIST SP 800-63B 5.1.1.2: what is commonly used, repetitive, sequential, or derived of the user's
name is refused. `common_passwords.txt` is of zxcvbn 4.5.0 (MIT): of its 30,000 commonest passwords
those of twelve characters or more, and of the first 10,000 those of six or more, which with a few
digits are twelve.
"""

import re
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path

# Of what is left beside the user's own address.
_OWN_CHARACTERS = 8
_DIFFERENT_CHARACTERS = 5
_REPEATED = re.compile(r"(.+?)\1+")
_PADDING = " 0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
# As they are typed for letters.
_LETTERS = str.maketrans("0134578@$!", "oleastbasi")


def weakness(password: str, email: str) -> str | None:
    """Return what is wrong with a password, in words that go on after "The password"; or None.

    Args:
        password: as it is hashed.
        email: whose it is to be, as the table has it.
    """
    folded = unicodedata.normalize("NFKC", password).casefold()  # full-width letters are letters
    if len(set(folded)) < _DIFFERENT_CHARACTERS:
        return f"has fewer than {_DIFFERENT_CHARACTERS} different characters"
    if _is_sequence(folded):
        return "is a sequence of characters"
    rest = folded
    for part in (email, *re.split(r"[@.]", email)):
        rest = rest.replace(part, "") if len(part) > 2 else rest
    if len(rest) < _OWN_CHARACTERS and rest != folded:
        return "is hardly more than the e-mail address"
    repeated = _REPEATED.fullmatch(folded)
    tried = {folded, folded.strip(_PADDING), repeated[1] if repeated else folded}
    if tried & _common() or {text.translate(_LETTERS) for text in tried} & _common():
        return "is one of those that are guessed first"
    return "is a repetition" if repeated else None


def _is_sequence(text: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    # 9 is followed by 0, and z by a.
    return steps <= {1, -9, -25} or steps <= {-1, 9, 25}


@cache
def _common() -> frozenset[str]:
    path = Path(__file__).with_name("common_passwords.txt")
    return frozenset(path.read_text(encoding="utf-8").split())
