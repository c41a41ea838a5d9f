"""Ordinary HTTP requests to loopback."""

import http.client


def get(port: int, path: str, within: float) -> tuple[int, str]:
    """Status and body of the answer, each step of which comes `within` seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=within)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
