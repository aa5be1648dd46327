"""`GET /openapi.json` and `GET /docs`: the API's own description, open to everyone."""

import base64
import hashlib
import json
import re
from typing import Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.models import HTTPBearer, Server
from aws_lambda_powertools.utilities.typing import LambdaContext

# Importing a module registers its route: the document is made from the code that answers.
from lambdas import (  # noqa: F401
    cancel_run,
    discard_messages,
    edit_messages,
    list_audit,
    list_dead_letters,
    list_groups,
    list_quarantine,
    list_runs,
    log_in,
    register_queues,
    register_types,
    reprocess_dead_letters,
    retry_messages,
    send_message,
    show_group,
    show_message,
    show_queues,
    show_run,
    show_status,
    show_types,
)
from lambdas.api import app, serve
from workflows import __version__

_ABOUT: dict[str, Any] = {
    "title": "Guarded redrive",
    "version": __version__,
    "summary": "Send to an SQS FIFO queue; bring dead letters back safely.",
    "description": "Sign in with `POST /users/login`, then send `Authorization: Bearer <token>`."
    " Every failure has one shape, with the `trace_id` under which the logs have it.",
    "security_schemes": {"bearer": HTTPBearer(bearerFormat="JWT")},
    "security": [{"bearer": []}],
}

app.enable_swagger(path="/docs", **_ABOUT)


@app.get("/openapi.json", include_in_schema=False)
def openapi() -> Response[str]:
    """Return the OpenAPI document; its server is the stage or domain that was asked."""
    base = str(app.current_event.request_context.path).removesuffix("/openapi.json")
    body = json.dumps(document(base))
    return Response(status_code=200, content_type="application/json", body=body)


def document(base: str) -> dict[str, Any]:
    """Return the OpenAPI document of the API at this path or URL, without a slash at the end."""
    schema = app.get_openapi_json_schema(servers=[Server(url=base or "/")], **_ABOUT)
    described: dict[str, Any] = json.loads(schema)
    # Powertools drops an empty `security`, so the one open route would look protected.
    described["paths"]["/users/login"]["post"]["security"] = []
    # Routes come in the order in which their modules were imported, whoever imported them first.
    described["paths"] = dict(sorted(described["paths"].items()))
    schemas = described["components"]["schemas"]
    described["components"]["schemas"] = dict(sorted(schemas.items()))
    return described


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer API Gateway."""
    answer = serve(event, context)
    (kind,) = answer["multiValueHeaders"]["Content-Type"]
    if kind.startswith("text/html"):
        answer["multiValueHeaders"]["Content-Security-Policy"] = [_policy(answer["body"])]
    return answer


def _policy(page: str) -> str:
    """Return what a page may do: run the scripts that it holds, and ask this API.

    Swagger UI sets styles of its elements, which no hash can name, and has pictures in its own.
    """
    scripts = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    )
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
