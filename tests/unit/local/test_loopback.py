"""Whom the local stack answers."""

import asyncio

import pytest

from local.loopback import for_this_computer

HOST = "127.0.0.1:4566"


def ask(**headers):
    """Return the status of the answer, and the headers that the emulator was given, if any."""
    sent, given = [], []

    async def emulator(scope, receive, send):
        given.append(dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        sent.append(message)

    named = {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": raw}
    asyncio.run(for_this_computer(emulator)(scope, None, send))
    return sent[0]["status"], given


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:4566"},
        {"host": "bucket.localhost"},
        {"origin": f"http://{HOST}", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},  # typed into the address bar
    ],
)
def test_programs_and_pages_of_this_computer_are_answered(headers):
    assert ask(**headers)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"host": "evil.example:4566"},
        {"host": "127.0.0.1.evil.example"},
    ],
)
def test_page_of_another_origin_reaches_nothing(headers):
    assert ask(**headers) == (403, [])


def test_nobody_says_where_a_call_comes_from():
    _, (given,) = ask(x_forwarded_for="9.8.7.6")

    assert given == {b"host": HOST.encode()}
