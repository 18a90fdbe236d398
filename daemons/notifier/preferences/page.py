"""The page behind the link in a message: it asks first, for mail programs open links by themselves."""

from html import escape

from daemons.contracts.names import Language

_WORDS = {
    Language.ENGLISH: (
        "Stop these messages",
        "You will hear of the security of your accounts all the same.",
        "Stop",
        "You get no more of these messages. In your notification settings you can ask for them again.",
    ),
    Language.CZECH: (
        "Zrušit zasílání zpráv",
        "Zprávy o bezpečnosti vašich účtů budete dostávat dál.",
        "Zrušit",
        "Tyto zprávy už nebudete dostávat. V nastavení oznámení si je můžete znovu zapnout.",
    ),
}


def asking_page(language: Language, token: str) -> str:
    """Ask whether the messages shall stop."""
    title, note, stop, _ = _WORDS[language]
    form = (
        f'<form method="post" action="/notifications/unsubscribe?token={escape(token)}">'
        f"<button>{escape(stop)}</button></form>"
    )
    return _page(language, title, f"<p>{escape(note)}</p>{form}")


def done_page(language: Language) -> str:
    """Say that they have stopped."""
    title, note, _, done = _WORDS[language]
    return _page(language, title, f"<p>{escape(done)}</p><p>{escape(note)}</p>")


def _page(language: Language, title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="{language.value}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
