"""Classes of bad input: each spoils a request that would otherwise be well-formed.

Whatever a class makes of a request that moves money or changes an account, it must not be carried out.
"""

# ruff: noqa: RUF001, Q003, E501 - the tables below are lists of characters that confuse, one list to a line
import base64
import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

_BODY_LIMIT = 256 * 1024
OPERATORS: list[Any] = [
    {"$ne": None}, {"$gt": ""}, {"$where": "sleep(9)"}, {"$regex": ".*"}, {"$in": []}, {"$expr": {}},
]  # fmt: skip
HOSTILE_TEXTS = [
    "' OR 1=1 --", "\"; DROP TABLE accounts; --", "{{7*7}}", "${jndi:ldap://x}", "$(id)", "`id`", "%s%s%n",
    "../../etc/passwd", "<script>alert(1)</script>", "*)(uid=*))(|(uid=*", "\\x00", "%00", "\u202egnp.exe",
    "\ufeff", "\U0001f4a9" * 50, "a\u0301" * 80, "\u0130", "\uffff", "-0", "1e9999", "0x10", "NaN", "null",
]  # fmt: skip
BAD_AMOUNTS = [
    "0", "0.00", "-1", "-0.01", "+1", "1e2", "0x1F", "1.001", "1,00", "1 000", "", " ", ".5", "5.", "00.1",
    "9" * 19, "9" * 400, "１２", "١٢", "1_000", "∞", "1\n", "NaN", "Infinity", "1.00 EUR",
]  # fmt: skip
BAD_ACCOUNTS = [
    "1234567890", "settlement:EUR", "0", "12345", "9" * 11, "４００００００００６", "4000000006 ", "-400000000",
    "' OR 1=1", "../4000000006", "4000000006\x00", "", "null", "system", "4000000006\n",
]  # fmt: skip
CONTROLS = ["\x00", "\x01", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\u2066", "\r\nSet-Cookie: a=b"]


@dataclass(slots=True)
class Draft:
    """A request before it is sent; `body` is what stands for `fields` once something is wrong with it."""

    method: str
    path: str
    fields: dict[str, Any] | None
    cookie: bytes
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


CLASSES: list[BadInput] = []


def _class(name: str, needs: str = "") -> Callable[[Spoil], Spoil]:
    def declare(spoil: Spoil) -> Spoil:
        CLASSES.append(BadInput(name, needs, spoil))
        return spoil

    return declare


def _bytes_class(name: str, *bodies: bytes) -> None:
    def spoil(rng: random.Random, draft: Draft) -> None:
        draft.body = rng.choice(bodies)

    CLASSES.append(BadInput(name, "body", spoil))


def _field_class(name: str, *values: Any) -> None:
    """Put a value in place of one that has another type or that no field takes."""

    def spoil(rng: random.Random, draft: Draft) -> None:
        holder, key = rng.choice(list(_places(draft.fields or {})))
        holder[key] = deepcopy(rng.choice(values))

    CLASSES.append(BadInput(name, "fields", spoil))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (container, key) of a document."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from _places(inner)


def _json(draft: Draft) -> bytes:
    return json.dumps(draft.fields).encode()


_bytes_class("empty body", b"")
_bytes_class("not an object", b"[]", b"[{}]", b'"{}"', b"1", b"true", b"null", b"[null]")
_bytes_class(
    "no JSON", b"{", b"}", b"{'a':1}", b"{a:1}", b'{"a":1,}', b"a=1&b=2", b"<a/>", b"---\na: 1", b"{}{}"
)
_bytes_class("comments in JSON", b'{/**/"a":1}', b'{"a":1}//x', b"#\n{}")
_bytes_class("byte order mark", b"\xef\xbb\xbf{}", b"\xfe\xff\x00{\x00}")
_bytes_class("UTF-16 and UTF-32", "{}".encode("utf-16"), "{}".encode("utf-32"), '{"a":1}'.encode("utf-16-be"))
_bytes_class("invalid UTF-8", b'{"a":"\xff"}', b'{"a":"\xc0\xaf"}', b'{"a":"\xed\xa0\x80"}', b"\x80{}")
_bytes_class("NaN and Infinity", b'{"amount":NaN}', b'{"a":-Infinity}', b'{"a":[Infinity]}')
_bytes_class("integers past 64 bits", b'{"a":9223372036854775808}', b'{"a":' + b"9" * 5000 + b"}")
_bytes_class("huge exponents", b'{"a":1e999999}', b'{"a":-1E+400}', b'{"a":1e-99999}')
_bytes_class("lone surrogates", b'{"a":"\\ud800"}', b'{"\\udfff":1}', b'{"a":"\\udc00\\ud800"}')
_bytes_class("NUL", b'{"a":"\\u0000"}', b'{"\\u0000":1}', b"\x00", b'{"a":"\x00"}')
_bytes_class(
    "deep arrays", b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}", b'{"a":' + b"[" * 17 + b"]" * 17 + b"}"
)
_bytes_class("deep objects", b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"a":' * 17 + b"1" + b"}" * 17)
_bytes_class("many keys", b"{" + b",".join(b'"k%d":0' % n for n in range(5000)) + b"}")
_field_class("null for a value", None)
_field_class("boolean for a value", True, False)
_field_class("integer for a value", 0, 1, -1, 1 << 62, -(1 << 63))
_field_class("fraction for a value", 0.1, 1.5, -2.5, 1e300)
_field_class("array for a value", [], ["x"], [[]], [None] * 100)
_field_class("object for a value", {}, {"a": 1}, {"amount": "1.00"}, {"__proto__": {}})
_field_class("Mongo operator for a value", *OPERATORS)
_field_class("very long text", "x" * 100_000, "\U0001f4a9" * 20_000)
_field_class("empty text", "", " ", "\t", "\u00a0", "\u3000")
_field_class("control characters", *(f"a{control}b" for control in CONTROLS))


@_class("key twice", "fields")
def _twice(rng: random.Random, draft: Draft) -> None:
    text = _json(draft)
    key = rng.choice(list(draft.fields or {"a": 1}))
    draft.body = b"{" + json.dumps(key).encode() + b":1," + text[1:]


@_class("cut off", "fields")
def _cut(rng: random.Random, draft: Draft) -> None:
    text = _json(draft)
    draft.body = text[: rng.randrange(len(text))]


@_class("one byte changed to a control", "fields")
def _flipped(rng: random.Random, draft: Draft) -> None:
    text = bytearray(_json(draft))
    text[rng.randrange(len(text))] = rng.randrange(1, 9)
    draft.body = bytes(text)


@_class("something after the end", "fields")
def _trailing(rng: random.Random, draft: Draft) -> None:
    draft.body = _json(draft) + rng.choice([b"}", b"{}", b"x", b"\x00", b",", b"]", b'"'])


@_class("random bytes", "body")
def _noise(rng: random.Random, draft: Draft) -> None:
    draft.body = rng.randbytes(rng.randrange(1, 2000))


@_class("unknown field", "fields")
def _unknown(rng: random.Random, draft: Draft) -> None:
    names = [
        "role",
        "owner_id",
        "balance",
        "initiator",
        "is_admin",
        "user_id",
        "id",
        "status",
        "Amount",
        "reason ",
    ]
    assert draft.fields is not None
    unknown = [name for name in names if name not in draft.fields]
    draft.fields[rng.choice(unknown)] = rng.choice(["admin", 1, True, None, {}])


@_class("names with a meaning elsewhere", "fields")
def _magic(rng: random.Random, draft: Draft) -> None:
    assert draft.fields is not None
    draft.fields[
        rng.choice(["__proto__", "constructor", "__class__", "$where", "$set", "a.b", "_id", "", "\u202e"])
    ] = {}


@_class("field missing", "required")
def _missing(rng: random.Random, draft: Draft) -> None:
    assert draft.fields is not None
    del draft.fields[rng.choice([name for name in draft.fields if name != "end_other_sessions"])]


@_class("hostile text in every place", "money")
def _hostile(rng: random.Random, draft: Draft) -> None:
    for holder, key in list(_places(draft.fields or {})):
        if isinstance(holder[key], str):
            holder[key] = rng.choice(HOSTILE_TEXTS)


@_class("impossible amount", "money")
def _amount(rng: random.Random, draft: Draft) -> None:
    _replace(draft, "amount", rng.choice(BAD_AMOUNTS))


@_class("impossible currency", "money")
def _currency(rng: random.Random, draft: Draft) -> None:
    _replace(
        draft, "currency", rng.choice(["", "eur", "EURO", "XXX", "XAU", "QQQ", "€", "E R", "EUR\n", "ＥＵＲ"])
    )


@_class("impossible account", "transfer")
def _account(rng: random.Random, draft: Draft) -> None:
    _replace(draft, rng.choice(["from_account", "to_account"]), rng.choice(BAD_ACCOUNTS))


@_class("both accounts the same", "transfer")
def _same(_rng: random.Random, draft: Draft) -> None:
    source = draft.fields or {}
    row = source["transfers"][0] if "transfers" in source else source
    row["to_account"] = row["from_account"]


@_class("body over the limit", "body")
def _large(rng: random.Random, draft: Draft) -> None:
    draft.body = b'{"a":"' + b"x" * (_BODY_LIMIT + rng.randrange(1, 4096)) + b'"}'


@_class("other content type", "body")
def _typed(rng: random.Random, draft: Draft) -> None:
    kinds = [
        b"text/plain",
        b"application/xml",
        b"multipart/form-data; boundary=x",
        b"application/jsonp",
        b"",
        b"*/*",
    ]
    draft.headers["Content-Type"] = rng.choice(
        [*kinds, b"application/x-www-form-urlencoded", b"json", b"a/b/c;;="]
    )


@_class("compressed or claimed to be", "body")
def _compressed(rng: random.Random, draft: Draft) -> None:
    draft.headers["Content-Encoding"] = rng.choice(
        [b"gzip", b"deflate", b"br", b"zstd", b"identity, gzip", b"x"]
    )
    draft.body = rng.randbytes(60)


@_class("charset that is none", "body")
def _charset(rng: random.Random, draft: Draft) -> None:
    draft.headers["Content-Type"] = b"application/json; charset=" + rng.choice(
        [b"utf-7", b"x", b"\xff", b'"']
    )
    draft.body = b"\xff\xfe{\x00}\x00"


@_class("no header against forgery", "change")
def _forged(_rng: random.Random, draft: Draft) -> None:
    draft.headers["X-Requested-With"] = b""


@_class("another site's origin", "change")
def _origin(rng: random.Random, draft: Draft) -> None:
    draft.headers["Origin"] = rng.choice(
        [b"https://evil.example", b"null", b"", b"http://127.0.0.1.evil", b"\xff"]
    )


@_class("cross-site fetch", "change")
def _fetched(rng: random.Random, draft: Draft) -> None:
    draft.headers["Sec-Fetch-Site"] = rng.choice([b"cross-site", b"same-site", b"", b"x"])


@_class("impossible idempotency key", "key")
def _key(rng: random.Random, draft: Draft) -> None:
    draft.headers["Idempotency-Key"] = rng.choice(
        [b"", b"a b", b"\xff", b"x" * 129, b"\xc3\xa9", b"\t", b"x" * 7000]
    )


@_class("request id of any form")
def _request_id(rng: random.Random, draft: Draft) -> None:
    draft.headers["X-Request-Id"] = rng.choice(
        [b"\x1b[2J", b"a" * 7000, b"\xff\xfe", b"../..", b'"}', b"%0d%0a"]
    )
    draft.cookie = b""


@_class("made-up cookie")
def _cookie(rng: random.Random, draft: Draft) -> None:
    junk = base64.urlsafe_b64encode(rng.randbytes(rng.randrange(0, 60)))
    forms = [
        junk,
        junk + b"." + junk + b"." + junk,
        b"..",
        b"a.b.c.d.e",
        b"\xff",
        b"%00",
        b'"',
        b"e30.e30.",
        b";",
    ]
    draft.cookie = b"__Host-bankctl=" + rng.choice(forms)


@_class("token with a changed character")
def _spoiled_token(rng: random.Random, draft: Draft) -> None:
    token = bytearray(draft.cookie)
    # The last character carries bits that decoders ignore, so another one is taken.
    place = rng.randrange(len(b"__Host-bankctl="), max(len(token) - 2, len(b"__Host-bankctl=") + 1))
    if place < len(token):
        token[place] = ord("A") if token[place] != ord("A") else ord("B")
    draft.cookie = bytes(token)


@_class("header of a token that lies")
def _lying_token(rng: random.Random, draft: Draft) -> None:
    liars: list[dict[str, Any]] = [
        {"alg": "none"}, {"alg": "HS256", "kid": "../../dev/null"}, {"alg": "EdDSA", "jku": "http://127.0.0.1:1/"},
        {"alg": "EdDSA", "typ": "session+jwt", "kid": {"$ne": None}}, {"alg": ["EdDSA"], "kid": 1}, {"alg": None},
        {"alg": "EdDSA", "typ": "session+jwt", "crit": ["x"]}, {"alg": "RS256", "x5u": "file:///etc/passwd"},
    ]  # fmt: skip
    head = base64.urlsafe_b64encode(json.dumps(rng.choice(liars)).encode()).rstrip(b"=")
    body = base64.urlsafe_b64encode(rng.choice([b"{}", b"[]", b"null", b"1", b'{"sub":{}}', b"\xff"])).rstrip(
        b"="
    )
    draft.cookie = b"__Host-bankctl=" + head + b"." + body + b"." + rng.choice([b"", b"AAAA", b"*"])


@_class("made-up authorization")
def _authorization(rng: random.Random, draft: Draft) -> None:
    draft.cookie = b""
    junk = base64.urlsafe_b64encode(rng.randbytes(32)).rstrip(b"=")
    forms = [
        b"Bearer " + junk,
        b"Bearer bk_" + junk,
        b"Bearer",
        b"Basic YTpi",
        b"bearer  x",
        b"\xff",
        b"Bearer a.b.c",
    ]
    draft.headers["Authorization"] = rng.choice(forms)


@_class("headers that claim to be somebody")
def _claimed(rng: random.Random, draft: Draft) -> None:
    draft.cookie = b""
    names = [
        "X-User-Id",
        "X-Auth-User",
        "X-Service-Token",
        "X-Forwarded-User",
        "X-Bankctl-Role",
        "X-Original-URL",
    ]
    draft.headers[rng.choice(names)] = rng.choice([b"admin", b"/internal/keys", b"{}", b"\xff" * 20])


@_class("method in a header", "change")
def _override(rng: random.Random, draft: Draft) -> None:
    draft.cookie = b""
    draft.headers["X-HTTP-Method-Override"] = rng.choice([b"DELETE", b"GET", b"CONNECT"])


@_class("long or many headers")
def _headers(rng: random.Random, draft: Draft) -> None:
    if rng.random() < 0.5:
        draft.headers["X-Long"] = b"x" * rng.randrange(8000, 20_000)
    else:
        draft.headers |= {f"X-{number}": b"x" for number in range(rng.randrange(100, 300))}
    draft.cookie = b""


@_class("id in the path of any form", "id")
def _path_id(rng: random.Random, draft: Draft) -> None:
    ids = [
        *BAD_ACCOUNTS,
        "..%2f..%2f",
        "%00",
        "%ff",
        "%252e",
        "a" * 5000,
        "$ne",
        "[$ne]",
        "{id}",
        "\u202e",
        "0" * 36,
    ]
    parts = draft.path.split("/")
    draft.path = "/".join([*parts[:2], rng.choice([one for one in ids if one]), *parts[3:]])


@_class("path that is none")
def _unknown_path(rng: random.Random, draft: Draft) -> None:
    tails = [
        "/x",
        "/..",
        "/%2e%2e/internal/keys",
        "//",
        "/;a=b",
        "/%",
        "/%zz",
        "/\\",
        "/.git/config",
        "/*",
        "/%0d%0a",
    ]
    draft.path = draft.path + rng.choice(tails)


@_class("method that is none")
def _method(rng: random.Random, draft: Draft) -> None:
    draft.method = rng.choice(["PUT", "TRACE", "OPTIONS", "PROPFIND", "LOCK", "get", "BREW", "X" * 50])


@_class("parameter unknown or twice", "query")
def _parameter(rng: random.Random, draft: Draft) -> None:
    draft.query = rng.choice(
        ["colour=blue", "limit=1&limit=2", "sort=-1", "debug=1", "fields=password_hash", "limit"]
    )


@_class("limit that is none", "query")
def _limit(rng: random.Random, draft: Draft) -> None:
    bad = [
        "0",
        "-1",
        "201",
        "1.5",
        "1e2",
        "",
        "many",
        "9" * 400,
        "%EF%BC%91",
        "0x5",
        "+5",
        "5%00",
        "true",
        "null",
    ]
    draft.query = f"limit={rng.choice(bad)}"


@_class("operator in the query", "query")
def _operator(rng: random.Random, draft: Draft) -> None:
    draft.query = rng.choice(
        ["limit[$gt]=0", "email[$ne]=x", "cursor[$regex]=.*", "$where=1", "status[]=active"]
    )


@_class("cursor of any form", "query")
def _cursor(rng: random.Random, draft: Draft) -> None:
    forms = [
        base64.urlsafe_b64encode(rng.randbytes(rng.randrange(0, 40))).decode(),
        "x" * 9000,
        "%00",
        "%FF",
        "====",
        "é",
    ]
    draft.query = f"cursor={quote(rng.choice(forms), safe='%')}"


@_class("query that is none", "query")
def _query(rng: random.Random, draft: Draft) -> None:
    draft.query = rng.choice(
        ["%", "%zz=%", "&&&&", "=", "a=%ff%fe", "?" * 500, "a=b;c=d", "x" * 7000, "%00=%00", "[]=1"]
    )


@_class("two lengths, or a length that is none", "raw")
def _lengths(rng: random.Random, draft: Draft) -> None:
    tails = [
        b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: +5",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: xchunked", b"Content-Length: " + b"9" * 30,
    ]  # fmt: skip
    _raw(draft, rng.choice(tails), b"0\r\n\r\nGET /internal/keys HTTP/1.1\r\nHost: x\r\n\r\n")


@_class("chunks that are none", "raw")
def _chunks(rng: random.Random, draft: Draft) -> None:
    bodies = [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n",
        b"2;a=b\r\n{}\r\n0\r\n",
        b"ffffffffffffffffff\r\n",
        b"2\r\n{}X0\r\n\r\n",
    ]
    _raw(draft, b"Content-Type: application/json\r\nTransfer-Encoding: chunked", rng.choice(bodies))


@_class("header lines that are none", "raw")
def _lines(rng: random.Random, draft: Draft) -> None:
    tails = [
        b"no colon",
        b": no name",
        b"A b: c",
        b"X: a\nSet-Cookie: b",
        b"X: \x00",
        b" folded",
        b"X\t: y",
        b"\xff: \xff",
    ]
    _raw(draft, rng.choice(tails), b"")


@_class("request line that is none", "raw")
def _request_line(rng: random.Random, draft: Draft) -> None:
    lines = [
        b"GET", b"GET /", b"GET / HTTP/9.9", b"GET  / HTTP/1.1", b"GET /\x00 HTTP/1.1", b"PRI * HTTP/2.0", b"\x16\x03\x01\x00",
        b"GET http://evil.example/ HTTP/1.1", b"CONNECT x:1 HTTP/1.1", b"GET /" + b"a" * 9000 + b" HTTP/1.1", b"*",
    ]  # fmt: skip
    draft.raw = rng.choice(lines) + b"\r\nHost: x\r\n\r\n"


@_class("hung up in the middle", "raw")
def _hung_up(rng: random.Random, draft: Draft) -> None:
    whole = draft.encoded()
    draft.raw = whole[: rng.randrange(1, len(whole))]
    draft.then_hang_up = True


def _raw(draft: Draft, tail: bytes, body: bytes) -> None:
    line = f"{draft.method} {draft.path} HTTP/1.1".encode()
    draft.raw = line + b"\r\nHost: 127.0.0.1\r\nX-Requested-With: fuzz\r\n" + tail + b"\r\n\r\n" + body


def _replace(draft: Draft, name: str, value: Any) -> None:
    for holder, key in list(_places(draft.fields or {})):
        if key == name:
            holder[key] = value
