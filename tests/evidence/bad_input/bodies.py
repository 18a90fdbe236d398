"""Bodies that are no JSON object, or claim to be something else."""

import random

from tests.evidence.bad_input.draft import Catalogue, Draft, json_of

CLASSES = Catalogue()
_BODY_LIMIT = 256 * 1024
CLASSES.bodies("empty body", b"")
CLASSES.bodies("not an object", b"[]", b"[{}]", b'"{}"', b"1", b"true", b"null", b"[null]")
CLASSES.bodies(
    "no JSON", b"{", b"}", b"{'a':1}", b"{a:1}", b'{"a":1,}', b"a=1&b=2", b"<a/>", b"---\na: 1", b"{}{}"
)
CLASSES.bodies("comments in JSON", b'{/**/"a":1}', b'{"a":1}//x', b"#\n{}")
CLASSES.bodies("byte order mark", b"\xef\xbb\xbf{}", b"\xfe\xff\x00{\x00}")
CLASSES.bodies(
    "UTF-16 and UTF-32", "{}".encode("utf-16"), "{}".encode("utf-32"), '{"a":1}'.encode("utf-16-be")
)
CLASSES.bodies("invalid UTF-8", b'{"a":"\xff"}', b'{"a":"\xc0\xaf"}', b'{"a":"\xed\xa0\x80"}', b"\x80{}")
CLASSES.bodies("NaN and Infinity", b'{"amount":NaN}', b'{"a":-Infinity}', b'{"a":[Infinity]}')
CLASSES.bodies("integers past 64 bits", b'{"a":9223372036854775808}', b'{"a":' + b"9" * 5000 + b"}")
CLASSES.bodies("huge exponents", b'{"a":1e999999}', b'{"a":-1E+400}', b'{"a":1e-99999}')
CLASSES.bodies("lone surrogates", b'{"a":"\\ud800"}', b'{"\\udfff":1}', b'{"a":"\\udc00\\ud800"}')
CLASSES.bodies("NUL", b'{"a":"\\u0000"}', b'{"\\u0000":1}', b"\x00", b'{"a":"\x00"}')
CLASSES.bodies(
    "deep arrays", b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}", b'{"a":' + b"[" * 17 + b"]" * 17 + b"}"
)
CLASSES.bodies("deep objects", b'{"a":' * 5000 + b"1" + b"}" * 5000, b'{"a":' * 17 + b"1" + b"}" * 17)
CLASSES.bodies("many keys", b"{" + b",".join(b'"k%d":0' % n for n in range(5000)) + b"}")


@CLASSES.spoiled("cut off", "fields")
def _cut(rng: random.Random, draft: Draft) -> None:
    text = json_of(draft)
    draft.body = text[: rng.randrange(len(text))]


@CLASSES.spoiled("one byte changed to a control", "fields")
def _flipped(rng: random.Random, draft: Draft) -> None:
    text = bytearray(json_of(draft))
    text[rng.randrange(len(text))] = rng.randrange(1, 9)
    draft.body = bytes(text)


@CLASSES.spoiled("something after the end", "fields")
def _trailing(rng: random.Random, draft: Draft) -> None:
    draft.body = json_of(draft) + rng.choice([b"}", b"{}", b"x", b"\x00", b",", b"]", b'"'])


@CLASSES.spoiled("random bytes", "body")
def _noise(rng: random.Random, draft: Draft) -> None:
    draft.body = rng.randbytes(rng.randrange(1, 2000))


@CLASSES.spoiled("body over the limit", "body")
def _large(rng: random.Random, draft: Draft) -> None:
    draft.body = b'{"a":"' + b"x" * (_BODY_LIMIT + rng.randrange(1, 4096)) + b'"}'


@CLASSES.spoiled("other content type", "body")
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


@CLASSES.spoiled("compressed or claimed to be", "body")
def _compressed(rng: random.Random, draft: Draft) -> None:
    draft.headers["Content-Encoding"] = rng.choice(
        [b"gzip", b"deflate", b"br", b"zstd", b"identity, gzip", b"x"]
    )
    draft.body = rng.randbytes(60)


@CLASSES.spoiled("charset that is none", "body")
def _charset(rng: random.Random, draft: Draft) -> None:
    draft.headers["Content-Type"] = b"application/json; charset=" + rng.choice(
        [b"utf-7", b"x", b"\xff", b'"']
    )
    draft.body = b"\xff\xfe{\x00}\x00"
