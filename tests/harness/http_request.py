"""Ordinary HTTP requests to loopback."""

import http.client
import ssl


def get(port: int, path: str, within: float, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    """Status and body of the answer, each step of which comes `within` seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within)
    if tls is not None:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=within, context=tls)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
