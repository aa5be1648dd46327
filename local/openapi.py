"""`make openapi`: the OpenAPI document as a file, for whoever has no running API to ask.

It is made from the code that answers. The client collection is made with it, of the same document,
so that neither is behind.
"""

import json
import sys
from pathlib import Path

from local import collection
from local.stack import ROOT

FILE = ROOT / "docs" / "openapi.json"


def text() -> str:
    """Return the file's content, of the document as it is now."""
    from lambdas import show_docs

    return json.dumps(show_docs.document(""), indent=2, ensure_ascii=False) + "\n"


def write() -> Path:
    """Write the file, and return where it is."""
    FILE.write_text(text(), encoding="utf-8")
    return FILE


def main() -> int:
    """Write both files; return the exit code."""
    for path in (write(), collection.write()):
        print(f"{path.relative_to(ROOT)} written.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
