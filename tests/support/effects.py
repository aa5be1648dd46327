"""Effect functions in process: Lambda's answers, for the client that the code has."""

import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from botocore.awsrequest import AWSResponse

from workflows.runtime import aws


class EffectError(Exception):
    """What a function raises: `EffectError("InvalidMessage", "No such order.")`."""


class Functions:
    """What is invoked, in its order, and what each function then does.

    Each is called with its event; it returns, raises an `EffectError`, or raises what the client
    would. `refused` is the code with which Lambda refuses a call of a function, by its ARN.
    """

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.dry: list[str] = []
        self.do: Callable[[dict[str, Any]], Any] = lambda _event: None
        self.refused: dict[str, str] = {}
        # By its stubs no handler answers.
        first: Any = aws.functions().meta.events.register_first
        first("before-send.lambda.Invoke", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        function = unquote(request.url.split("/functions/")[1].split("/")[0])
        if code := self.refused.get(function):
            status = {"ResourceNotFoundException": 404, "TooManyRequestsException": 429}
            return _response(status.get(code, 403), {"x-amzn-ErrorType": code}, {"Message": "no"})
        kind = request.headers.get("X-Amz-Invocation-Type", b"")
        if (kind if isinstance(kind, str) else kind.decode()) == "DryRun":
            self.dry.append(function)
            return _response(204, {}, None)
        self.events.append(json.loads(request.body))
        try:
            return _response(200, {}, self.do(self.events[-1]))
        except EffectError as error:
            kind, text = error.args
            told = {"errorType": kind, "errorMessage": text, "stackTrace": []}
            return _response(200, {"X-Amz-Function-Error": "Unhandled"}, told)


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Any:
        yield self.read()


def _response(status: int, headers: Any, body: Any) -> AWSResponse:
    raw: Any = _Raw(b"" if body is None and status == 204 else json.dumps(body).encode())
    return AWSResponse("https://lambda", status, headers, raw)
