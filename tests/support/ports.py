"""Ports of 127.0.0.1."""

import socket


def is_free(port):
    """Say whether nothing listens on a port (or on that of all interfaces)."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
