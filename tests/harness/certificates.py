"""An authority of the tests' own, and certificates from it."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in files."""

    cert: Path
    key: Path


class Authority:
    """Signs certificates for as long as a test runs, or for times gone by."""

    def __init__(self, directory: Path, name: str = "authority"):
        self.directory = directory
        self.name = name
        self.cert = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        _openssl("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.cert)

    def sign(self, name: str, names: str = "IP:127.0.0.1,DNS:localhost", days: int = 2) -> Certificate:
        """A certificate for `names`; it has expired where `days` is negative."""
        cert, key, request = (self.directory / f"{self.name}-{name}.{kind}" for kind in ("pem", "key", "csr"))
        extensions = self.directory / f"{self.name}-{name}.ext"
        extensions.write_text(f"subjectAltName={names}\n")
        _openssl("req", "-new", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        signed_by = ["-CA", self.cert, "-CAkey", self._key, "-CAcreateserial"]
        _openssl("x509", "-req", "-in", request, *signed_by, "-days", days, "-extfile", extensions, "-out", cert)
        return Certificate(cert, key)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(*arguments) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
