"""Ports that nobody else uses."""

import random
import socket

# Below the range from which the kernel takes ports for outgoing connections (32768 and up), so that none of the
# thousands of client sockets of a test can take the port of a server that is about to be started again.
RANGE = range(20000, 32000)


def free_port() -> int:
    """A port of the loopback address on which nothing listens."""
    for port in random.sample(RANGE, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port found in {RANGE}")
