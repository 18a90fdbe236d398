"""A request before it is sent, and the classes of what can be wrong with it."""

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote


@dataclass(slots=True)
class Draft:
    """A request before it is sent; `body` is what stands for `fields` once something is wrong with it.

    `template` is the route's own path, which tells the ids in `path` from the rest. `may_be_null` names the
    fields of which null is a sound value.
    """

    method: str
    path: str
    fields: dict[str, Any] | None
    cookie: bytes
    template: str = ""
    may_be_null: frozenset[str] = frozenset()
    query: str = ""
    headers: dict[str, bytes] = field(default_factory=dict)
    body: bytes | None = None
    raw: bytes | None = None
    then_hang_up: bool = False

    def encoded(self) -> bytes:
        """Return the bytes of the request."""
        if self.raw is not None:
            return self.raw
        body = self.body
        if body is None and self.fields is not None:
            body = json.dumps(self.fields).encode()
        headers = {"Host": b"127.0.0.1", "X-Requested-With": b"fuzz", "Cookie": self.cookie}
        if body is not None:
            headers |= {"Content-Type": b"application/json", "Content-Length": str(len(body)).encode()}
        headers |= self.headers
        target = quote(self.path, safe="/%:;?#[]@!$&'()*+,=~\\") + (f"?{self.query}" if self.query else "")
        lines = [f"{self.method} {target} HTTP/1.1".encode("utf-8", "surrogatepass")]
        lines += [name.encode() + b": " + value for name, value in headers.items()]
        return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


Spoil = Callable[[random.Random, Draft], None]


@dataclass(frozen=True, slots=True)
class BadInput:
    """A class: its name, what it needs of a request, and how it spoils it."""

    name: str
    needs: str
    spoil: Spoil


class Catalogue(list[BadInput]):
    """The classes that one module declares."""

    def spoiled(self, name: str, needs: str = "") -> Callable[[Spoil], Spoil]:
        """Declare the decorated function as a class."""

        def declare(spoil: Spoil) -> Spoil:
            self.append(BadInput(name, needs, spoil))
            return spoil

        return declare

    def bodies(self, name: str, *bodies: bytes) -> None:
        """Declare bodies, each to be sent in place of a well-formed one."""

        def spoil(rng: random.Random, draft: Draft) -> None:
            draft.body = rng.choice(bodies)

        self.append(BadInput(name, "body", spoil))

    def values(self, name: str, *values: Any, needs: str = "fields") -> None:
        """Declare values, each to be put in place of one that has another type or that no field takes."""

        def spoil(rng: random.Random, draft: Draft) -> None:
            value = rng.choice(values)
            # A boolean in place of a boolean is none of bad input.
            taken = [place for place in places(draft.fields or {}) if not _both_boolean(place, value)]
            if value is None:
                taken = [(holder, key) for holder, key in taken if key not in draft.may_be_null]
            holder, key = rng.choice(taken)
            holder[key] = deepcopy(value)

        self.append(BadInput(name, needs, spoil))


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) of a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from places(inner)


def json_of(draft: Draft) -> bytes:
    """Return the body as it would be, had nothing been spoiled."""
    return json.dumps(draft.fields).encode()


def _both_boolean(place: tuple[Any, Any], value: Any) -> bool:
    holder, key = place
    return isinstance(holder[key], bool) and isinstance(value, bool)
