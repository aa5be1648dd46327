"""An OpenID Connect issuer: its keys, its documents and its tokens, also served on loopback.

It signs with the package cryptography, which nothing of ours verifies with.
"""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "guarded-redrive-api"
DISCOVERY = "/.well-known/openid-configuration"


@cache
def private_key(name: str, bits: int = 2_048) -> rsa.RSAPrivateKey:
    """Return a key, the same for a name."""
    return rsa.generate_private_key(65_537, bits)


def jwk(name: str, bits: int = 2_048, **changes: Any) -> dict[str, Any]:
    """Return the public key of a name as an issuer tells it."""
    numbers = private_key(name, bits).public_key().public_numbers()
    usual = {"kid": name, "kty": "RSA", "use": "sig", "alg": "RS256",
             "n": number(numbers.n), "e": number(numbers.e)}  # fmt: skip
    return {key: value for key, value in (usual | changes).items() if value is not None}


def number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def encoded(part: Any) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signature(message: bytes, name: str = "first", bits: int = 2_048) -> bytes:
    return private_key(name, bits).sign(message, padding.PKCS1v15(), hashes.SHA256())


class Issuer:
    """An issuer at an address, with the keys that it tells at the moment."""

    def __init__(self, address: str = "https://login.example.com/tenant") -> None:
        self.address = address
        self.keys = [jwk("first")]
        self.discovery: dict[str, Any] = {}
        self.asked: list[str] = []
        self.is_down = False

    def answer(self, address: str) -> Any:
        """Return what is at an address, or None."""
        self.asked.append(address.removeprefix(self.address))
        if self.is_down:
            return None
        documents = {
            f"{self.address}{DISCOVERY}": {
                "issuer": self.address,
                "jwks_uri": f"{self.address}/keys",
            }
            | self.discovery,
            f"{self.address}/keys": {"keys": self.keys},
        }
        return documents.get(address)

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        usual = {
            "iss": self.address, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600,
            "roles": ["redrive"],
        }  # fmt: skip
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def token(
        self, key: str = "first", header: dict[str, Any] | None = None, **changes: Any
    ) -> str:
        """Return a token; `header` and claims are changed, or left out where they are None."""
        usual = {"alg": "RS256", "typ": "JWT", "kid": key} | (header or {})
        kept = {name: value for name, value in usual.items() if value is not None}
        text = f"{encoded(kept)}.{encoded(self.claims(**changes))}"
        return f"{text}.{encoded(signature(text.encode(), key))}"


@contextmanager
def served() -> Iterator[Issuer]:
    """Serve an issuer on loopback; `/elsewhere` redirects to its keys, `/large` is large."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/elsewhere":
                self.send_response(302)
                self.send_header("Location", f"{issuer.address}/keys")
                self.end_headers()
                return
            found = issuer.answer(f"{issuer.address}{self.path}")
            # What is large is a whole document all the same, however little of it is read.
            large = self.path == "/large"
            body = json.dumps({"keys": issuer.keys} if large else found).encode()
            body += b" " * (300_000 if large else 0)
            self.send_response(404 if found is None and not large else 200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield issuer
        finally:
            server.shutdown()
