"""An authority of the tests' own, and certificates from it."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in files."""

    cert: Path
    key: Path


    def put_at(self, other: "Certificate") -> None:
        """Puts it where `other` is, each file in one step."""
        for ours, place in ((self.cert, other.cert), (self.key, other.key)):
            step = place.with_suffix(".step")
            step.write_bytes(ours.read_bytes())
            step.rename(place)


class Authority:
    """Signs certificates for as long as a test runs, or for times gone by."""

    def __init__(self, directory: Path, name: str = "authority"):
        self.directory = directory
        self.name = name
        self.cert = directory / f"{name}.pem"
        self._key = directory / f"{name}.key"
        new = _new_key("ecdsa")
        _openssl("req", "-x509", *new, "-days", "2", "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.cert)

    def sign(
        self,
        name: str,
        names: str = "IP:127.0.0.1,DNS:localhost",
        days: int = 2,
        kind: str = "ecdsa",
        extensions: str = "",
    ) -> Certificate:
        """A certificate for `names`, with a key of a `kind`; it has expired where `days` is negative."""
        cert, key, request = (self.directory / f"{self.name}-{name}.{end}" for end in ("pem", "key", "csr"))
        extra = self.directory / f"{self.name}-{name}.ext"
        extra.write_text(f"subjectAltName={names}\n{extensions}\n")
        _openssl("req", "-new", *_new_key(kind), "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        signed_by = ["-CA", self.cert, "-CAkey", self._key, "-CAcreateserial"]
        _openssl("x509", "-req", "-in", request, *signed_by, "-days", days, "-extfile", extra, "-out", cert)
        return Certificate(cert, key)

    def subordinate(self, name: str) -> "Authority":
        """An authority by the grace of this one."""
        signed = self.sign(name, "DNS:none.example", extensions="basicConstraints=critical,CA:TRUE")
        below = object.__new__(Authority)
        below.directory, below.name, below.cert, below._key = self.directory, name, signed.cert, signed.key
        return below

    def trust(self, client: Certificate | None = None) -> ssl.SSLContext:
        """What a client trusts, and the certificate that it shows."""
        context = ssl.create_default_context(cafile=self.cert)
        if client is not None:
            context.load_cert_chain(client.cert, client.key)
        return context


def settings(*certificates: Certificate, group: str = "tls", **more: object) -> dict[str, object]:
    """The configuration of a node with these certificates on a port."""
    certs, keys = (",".join(str(getattr(one, part)) for one in certificates) for part in ("cert", "key"))
    return {f"{group}__{key}": value for key, value in {"cert": certs, "key": keys, **more}.items()}


def _new_key(kind: str) -> tuple[str, ...]:
    ecdsa = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return ("-newkey", *{"ecdsa": ecdsa, "rsa": ("rsa:2048",), "ed25519": ("ed25519",)}[kind], "-nodes")


def _openssl(*arguments) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
