"""The pages: plain HTML without a script, which the strictest policy admits."""

from html import escape

from daemons.user_api.mail.codes import Purpose

_TITLES = {
    Purpose.REGISTRATION: "Confirm your e-mail address",
    Purpose.PASSWORD_RESET: "Set a new password",
}
_FIELDS = {
    Purpose.REGISTRATION: (
        '<p><label>The password you registered with<br><input type="password" name="password" required '
        'autocomplete="current-password"></label></p>'
    ),
    Purpose.PASSWORD_RESET: (
        '<p><label>New password<br><input type="password" name="password" required '
        'autocomplete="new-password"></label></p>'
        '<p><label>Code of your second factor, if you have one<br><input name="totp" '
        'autocomplete="one-time-code"></label></p>'
    ),
}
_DONE = {
    Purpose.REGISTRATION: "Your address is confirmed. You can log in now.",
    Purpose.PASSWORD_RESET: "You have a new password. All sessions and API keys have ended; log in with it.",
}


def asking_page(purpose: Purpose, token: str, fault: str | None = None) -> str:
    """Ask for what the link alone does not prove; `fault` is what was wrong with the last answer."""
    told = "" if fault is None else f'<p role="alert">{escape(fault)}</p>'
    form = (
        f'<form method="post" action="?token={escape(token)}">{_FIELDS[purpose]}'
        f"<p><button>{escape(_TITLES[purpose])}</button></p></form>"
    )
    return _page(_TITLES[purpose], told + form)


def done_page(purpose: Purpose) -> str:
    """Say that it is done."""
    return _page(_TITLES[purpose], f"<p>{escape(_DONE[purpose])}</p>")


def unknown_page() -> str:
    """Say that the link leads nowhere."""
    return _page(
        "This link does not work",
        "<p>It is too old, was used already, or was cut off. Ask for another mail.</p>",
    )


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
