"""Identity by mail, from the command to the notifier, a mail server and back: everything real."""

import re
from typing import Any
from urllib.parse import urlsplit

from tests.support.person import PASSWORD, Person, gateway_client
from tests.support.stack import LocalStack

NEW_PASSWORD = "eleven calm otters"
NEWER_PASSWORD = "twelve loud geese"
STRICT = "default-src 'none'; frame-ancestors 'none'"


def code_in(mail: dict[str, Any]) -> str:
    [code] = re.findall(r"\b(?:[A-Z2-7]{4}-){3}[A-Z2-7]{4}\b", mail["text"])
    return str(code)


async def visitor_who_registered(stack: LocalStack) -> Person:
    dora = await stack.visitor("Dora")
    given = ("--email", dora.email, "--name", "Dora", "--password-stdin")
    await dora.run("register", *given, stdin=f"{PASSWORD}\n")
    return dora


async def test_an_address_is_confirmed_and_a_password_reset_by_codes_from_the_mail(stack: LocalStack) -> None:
    dora = await visitor_who_registered(stack)
    mail = await stack.mail(dora.email, "Confirm your e-mail address")
    given = ("--email", dora.email, "--password-stdin")
    confirm = ("auth", "confirm-email", *given)
    typed = f"{code_in(mail)}\n{PASSWORD}\n"
    await dora.run(*confirm, stdin=typed)
    assert await dora.refusal(*confirm, status=4, stdin=typed) == "invalid_code"
    await dora.login()

    await dora.run("auth", "reset", "--email", dora.email, "--send")
    mail = await stack.mail(dora.email, "Reset your password")
    given = ("--email", dora.email, "--have-code", "--password-stdin")
    await dora.run("auth", "reset", *given, stdin=f"{code_in(mail)}\n{NEW_PASSWORD}\n")
    assert await dora.refusal("whoami", status=4) == "session_ended"
    login = ("login", "--email", dora.email, "--password-stdin")
    assert await dora.refusal(*login, status=4, stdin=f"{PASSWORD}\n") == "invalid_credentials"
    await dora.run(*login, stdin=f"{NEW_PASSWORD}\n")
    # Its owner is told.
    await stack.mail(dora.email, "Your password was changed")


async def test_links_in_the_mail_lead_to_pages_that_do_the_same(stack: LocalStack) -> None:
    dora = await visitor_who_registered(stack)
    async with gateway_client(stack.url, stack.ca_file) as browser:
        del browser.headers["X-Requested-With"]
        for subject, password in (
            ("Confirm your e-mail address", PASSWORD),
            ("Reset your password", NEWER_PASSWORD),
        ):
            if password != PASSWORD:
                await dora.run("auth", "reset", "--email", dora.email, "--send")
            mail = await stack.mail(dora.email, subject)
            [link] = re.findall(r"https://\S+/auth/mailed-link\?token=[\w-]+", mail["text"])
            assert link.startswith(stack.url)
            assert f'href="{link}"' in mail["html"]
            page = await browser.get(link)
            assert (page.status_code, page.headers["content-security-policy"]) == (200, STRICT)
            assert page.headers["cache-control"] == "no-store"
            done = await browser.post(link, data={"password": password})
            assert (done.status_code, "<form" in done.text) == (200, False), done.text
            assert (await browser.get(link)).status_code == 404
            # What stands for a code is in no log.
            for part in ("gateway", "user_api", "notifier"):
                log = (await stack.terminal.run("dev", "logs", part)).out
                assert log
                assert urlsplit(link).query not in log
    await dora.run("login", "--email", dora.email, "--password-stdin", stdin=f"{NEWER_PASSWORD}\n")
