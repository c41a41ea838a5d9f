"""Tokens and the keys that they are signed with."""

import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SECRET = "a secret of the tests that is long enough for every hash there is, HS512 too"
EVERYTHING = {name: ["*"] for name in ("subscribe", "publish", "presence", "history")} | {"broadcast": True}


def _pair(algorithm: str):
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("ES"):
        return ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Key:
    """A key, and the file from which a node reads what verifies."""

    def __init__(self, directory: Path, kid: str = "main", algorithm: str = "HS256", secret: str = SECRET):
        self.kid, self.algorithm = kid, algorithm
        self.file = directory / f"{kid}.key"
        if algorithm.startswith("HS"):
            self.signing = self.public = secret
            self.file.write_text(secret + "\n")
        else:
            self.signing = _pair(algorithm)
            public = self.signing.public_key()
            self.public = public.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ).decode()
            self.file.write_text(self.public)

    @property
    def source(self) -> str:
        """The key as `auth.keys` names it."""
        return f"{self.kid}:{self.algorithm}:{self.file}"

    def private_pem(self) -> str:
        """The private half."""
        return self.signing.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def token(self, user: str | None = "42", lasts: float = 600, headers: dict | None = None, **claims) -> str:
        """A token for `user` that grants nothing; a claim that is `None` is left out."""
        claims = {"sub": user, "exp": int(time.time()) + lasts} | claims
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.signing, self.algorithm, headers={"kid": self.kid} | (headers or {}))
