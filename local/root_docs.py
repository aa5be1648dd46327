"""`/docs` and `/openapi.json` of the local stack without its stage, where people look for them.

With a slash at the end as well: browsers and people add one.
"""

from collections.abc import Awaitable, Callable
from typing import Any

App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]
PATHS = ("/docs", "/openapi.json")


def with_docs_at_the_root(app: App, base_path: Callable[[], str | None]) -> App:
    """Return an ASGI application that answers these paths as it does those under the base path.

    Args:
        app: the emulator.
        base_path: gives where the deployed API is, without slashes; None while there is none.
    """

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        asked = scope["path"].removesuffix("/") if scope["type"] == "http" else ""
        if asked in PATHS and scope["method"] == "GET":
            base = base_path()
            if base:
                path = f"/{base}{asked}"
                scope = scope | {"path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    return answer


def deployed_base_path(host: str) -> str | None:
    """Return the base path that `ministack_quirks.serve_api` gave the API, inside the emulator."""
    from ministack.services import apigateway_v1

    found = apigateway_v1.find_domain_scope(host)
    if found is None:
        return None
    account, region, name = found
    mappings = apigateway_v1._base_path_mappings.get_scoped(account, region, name, {})
    return next(iter(mappings), None)
