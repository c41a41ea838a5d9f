"""A backend that makes tokens for a node, and serves the examples: `python3 token_service.py --key FILE`."""

import json
import time
from pathlib import Path

import jwt  # PyJWT

from serve import Files, arguments, serve

#: Seconds that a token lasts. Short ones are cheap, since clients renew them; whoever is locked out is out so soon.
LASTS = 30
LONGEST_BODY = 1024


class TokenService(Files):
    """POST /token with {"user": "zoe"} gives a token for that user."""

    key = ""

    def do_POST(self):
        if self.path != "/token":
            return self.send_error(404)
        # Here your backend would look who has logged in. This one believes whoever asks.
        user = self.user()
        if user is None:
            return self.send_error(400, 'expected {"user": NAME}, a name of 1 to 128 bytes')
        self.answer(jwt.encode(claims(user), self.key, "HS256", headers={"kid": "main"}))

    def user(self) -> str | None:
        try:
            length = min(int(self.headers["Content-Length"]), LONGEST_BODY)
            user = json.loads(self.rfile.read(length))["user"]
            return user if isinstance(user, str) and 0 < len(user.encode()) <= 128 and user.isprintable() else None
        except (KeyError, TypeError, ValueError):
            return None

    def answer(self, token: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(token.encode())


def claims(user: str) -> dict:
    """What a user of the chat may do, and for how long."""
    rights = {"subscribe": ["chat:*"], "publish": ["chat:*"], "history": ["chat:*"]}
    return {"sub": user, "exp": int(time.time()) + LASTS, "rights": rights}


if __name__ == "__main__":
    parser = arguments()
    parser.add_argument("--key", type=Path, required=True, help="the file that the node has in auth.keys as main:HS256:FILE")
    options = parser.parse_args()
    TokenService.key = options.key.read_text().strip()
    serve(TokenService, options)
