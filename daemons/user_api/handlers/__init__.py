"""The HTTP routes: each reads a request, calls one service, writes the answer."""
