"""What the local stack answers: this computer's own programs and pages, and no page of another's.

Any page that a browser has open may send requests to 127.0.0.1, and the emulator lets everybody
make functions, which run as whoever started it. Nor may a caller say where it calls from: on AWS
API Gateway knows, and no header can claim another address.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

App = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_OTHER_SITES = (b"cross-site", b"same-site")
_MESSAGE = "The local stack answers no page of another origin."
_REFUSED = json.dumps({"error": {"code": "forbidden", "message": _MESSAGE}}).encode()


def for_this_computer(app: App) -> App:
    """Return an ASGI application that refuses what a page of another origin asks for.

    Args:
        app: the emulator.
    """

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if not _is_ours(headers):
            start = {"type": "http.response.start", "status": 403}
            await send(start | {"headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": _REFUSED})
            return
        kept = [(name, value) for name, value in scope["headers"] if name != b"x-forwarded-for"]
        await app(scope | {"headers": kept}, receive, send)

    return answer


def _is_ours(headers: dict[bytes, bytes]) -> bool:
    """Tell whether a program of this computer asks, or a page of this very stack.

    A name of somebody else's can lead here, too (DNS rebinding): so the host is looked at as well.
    """
    host = headers.get(b"host", b"127.0.0.1").decode("latin-1")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if not name.endswith(_HOSTS):  # with buckets and APIs in front of it
        return False
    origin = headers.get(b"origin", b"").decode("latin-1")
    return origin in ("", f"http://{host}") and headers.get(b"sec-fetch-site") not in _OTHER_SITES
