"""A small server that stands in for a part: serves, exits at once, or refuses to end, as told."""

import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with 200."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def main() -> int:
    """Behave as the arguments say: `serve PORT`, `exit STATUS`, `stay PORT` (SIGTERM is ignored)."""
    behaviour, number = sys.argv[1], int(sys.argv[2])
    if behaviour == "exit":
        print("no such setting: COLOUR", flush=True)  # noqa: T201 - what a log is expected to hold
        return number
    signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "stay" else lambda *_: sys.exit(0))
    HTTPServer(("127.0.0.1", number), Handler).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
