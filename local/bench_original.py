"""What `make bench` compares the start-up of a Lambda with: a service in one Lambda, as it was.

FastAPI behind Mangum, its models in pydantic, tokens by PyJWT, boto3's clients made as it is
loaded. It is only ever imported, in `.venv-bench`.
"""

from typing import Annotated, Any

import boto3
import jwt
from fastapi import Depends, FastAPI, Header
from mangum import Mangum
from pydantic import BaseModel, Field


class Login(BaseModel):
    """Who signs in."""

    email: str = Field(max_length=254)
    password: str = Field(min_length=12, max_length=1_024)


class Token(BaseModel):
    """An access token."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - a word of RFC 6750


class Message(BaseModel):
    """What is sent."""

    type: str
    message_id: str | None = None
    group_id: str | None = None
    payload: dict[str, Any]


class Sent(BaseModel):
    """What became of it."""

    message_id: str
    status: str


table = boto3.resource("dynamodb").Table("Messages")
sqs = boto3.client("sqs")
secrets = boto3.client("secretsmanager")
app = FastAPI()


def caller(authorization: Annotated[str, Header()]) -> dict[str, Any]:
    """Return who calls."""
    key = secrets.get_secret_value(SecretId="token-key")["SecretString"]
    return dict(jwt.decode(authorization.removeprefix("Bearer "), key, algorithms=["HS256"]))


Caller = Annotated[dict[str, Any], Depends(caller)]


@app.post("/users/login")
def log_in(login: Login) -> Token:
    """Sign in."""
    raise NotImplementedError


@app.post("/messages/send", status_code=202)
def send(message: Message, claims: Caller) -> Sent:
    """Send."""
    raise NotImplementedError


@app.get("/messages/status")
def show_status(claims: Caller) -> dict[str, int]:
    """Show the queues."""
    raise NotImplementedError


@app.post("/messages/dlq/reprocess")
def reprocess(claims: Caller) -> dict[str, int]:
    """Reprocess the dead letters."""
    raise NotImplementedError


handler = Mangum(app)
