"""A small client of this API, for the demo, the measurements and the tests."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

_SECONDS = 40.0  # API Gateway gives up after 29


class UnexpectedAnswer(Exception):
    """The API answered with another status than the caller can go on with."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer as it came."""

    status: int
    headers: HTTPMessage
    text: str

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.text)

    def expect(self, status: int) -> Any:
        """Return the parsed body of an answer that has this status.

        Raises:
            UnexpectedAnswer: it has another one.
        """
        if self.status != status:
            raise UnexpectedAnswer(f"{status} expected, but the API said {self.status} {self.text}")
        return self.json


Listener = Callable[[str, str, str | None, Answer], None]


class Client:
    """Calls one deployed API, signed in or not.

    Args:
        api_url: base URL with the stage, without a slash at the end.
        token: for the header `Authorization`, if there is one.
        listener: told of every call: method, path, body, answer.
    """

    def __init__(
        self, api_url: str, token: str | None = None, listener: Listener | None = None
    ) -> None:
        self.api_url = api_url
        self.token = token
        self.listener = listener

    def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request and return the answer, whatever its status.

        Args:
            method: of HTTP.
            path: after the stage, with its query string.
            body: text as it is, anything else as JSON; None for no body.
            headers: more of them, or other ones.

        Raises:
            OSError: nobody answers.
        """
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        sent = {"Content-Type": "application/json"} if text is not None else {}
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        base = urlsplit(self.api_url)
        connection = HTTPConnection(base.hostname or "", base.port, timeout=_SECONDS)
        try:
            connection.request(
                method,
                base.path + path,
                text.encode() if text is not None else None,
                sent | (headers or {}),
            )
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()
        if self.listener:
            self.listener(method, path, text, answer)
        return answer

    def signed_in(self, email: str, password: str) -> Self:
        """Return a client that is signed in as this user.

        Raises:
            UnexpectedAnswer: the API does not let the user in.
        """
        answer = self.call("POST", "/users/login", {"email": email, "password": password})
        return type(self)(self.api_url, answer.expect(200)["access_token"], self.listener)

    def send(
        self,
        payload: dict[str, Any],
        *,
        message_id: str | None = None,
        group_id: str | None = None,
        type_: str = "transaction",
    ) -> Answer:
        """`POST /messages/send`."""
        body: dict[str, Any] = {"type": type_, "payload": payload}
        if message_id is not None:
            body["message_id"] = message_id
        if group_id is not None:
            body["group_id"] = group_id
        return self.call("POST", "/messages/send", body)

    def message(self, message_id: str) -> Answer:
        """`GET /messages/{message_id}`."""
        return self.call("GET", f"/messages/{quote(message_id, safe='')}")

    def edit(self, message_id: str, payload: dict[str, Any]) -> Answer:
        """`PATCH /messages/{message_id}`, with the whole new payload."""
        return self.call("PATCH", f"/messages/{quote(message_id, safe='')}", {"payload": payload})

    def retry(self, message_id: str, *, reset_redrives: bool = False) -> Answer:
        """`POST /messages/{message_id}/retry`."""
        body = {"reset_redrives": True} if reset_redrives else {}
        return self.call("POST", f"/messages/{quote(message_id, safe='')}/retry", body)

    def status(self) -> Answer:
        """`GET /messages/status`."""
        return self.call("GET", "/messages/status")

    def dead_letters(self, **query: str | int) -> Answer:
        """`GET /messages/dlq`, with filters, `limit` and `cursor`."""
        return self.call("GET", "/messages/dlq" + (f"?{urlencode(query)}" if query else ""))

    def failure_groups(self) -> Answer:
        """`GET /messages/dlq/groups`."""
        return self.call("GET", "/messages/dlq/groups")

    def quarantine(self, **query: str | int) -> Answer:
        """`GET /messages/quarantine`, with filters, `limit` and `cursor`."""
        return self.call("GET", "/messages/quarantine" + (f"?{urlencode(query)}" if query else ""))

    def reprocess(self, max_messages: int | None = None, **options: Any) -> Answer:
        """`POST /messages/dlq/reprocess`, with a filter, say, or `dry_run`."""
        limit = {} if max_messages is None else {"max_messages": max_messages}
        return self.call("POST", "/messages/dlq/reprocess", limit | options)

    def run(self, run_id: str) -> Answer:
        """`GET /messages/dlq/reprocess/{run_id}`."""
        return self.call("GET", f"/messages/dlq/reprocess/{quote(run_id, safe='')}")

    def cancel(self, run_id: str) -> Answer:
        """`DELETE /messages/dlq/reprocess/{run_id}`."""
        return self.call("DELETE", f"/messages/dlq/reprocess/{quote(run_id, safe='')}")

    def runs(self, **query: str | int) -> Answer:
        """`GET /messages/dlq/reprocess`, with `limit` and `cursor`."""
        return self.call(
            "GET", "/messages/dlq/reprocess" + (f"?{urlencode(query)}" if query else "")
        )

    def audit(self, **query: str | int) -> Answer:
        """`GET /audit`, with `from`, `to`, `actor`, `message_id`, `limit` and `cursor`."""
        return self.call("GET", "/audit" + (f"?{urlencode(query)}" if query else ""))
