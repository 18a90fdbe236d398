"""Uses the page at `/docs` in a headless Chromium as a person would: signs in, opens an account, pays.

`python -m tests.evidence.api_page` starts a bank of its own, tells what held and takes the pictures in
docs/images; it exits 1 if anything did not hold. It needs Chromium, its driver and Selenium, which
`make setup` does not install (docs/api-page.md).
"""

import asyncio
import base64
import hashlib
import json
import shutil
import ssl
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.person import PASSWORD
from tests.support.stack import LocalStack

PICTURES = Path(__file__).parents[2] / "docs" / "images"
_PATIENCE_SECONDS = 60
_OWN_SCHEMES = ("chrome:", "data:")
"""What a browser asks itself for."""


@dataclass(frozen=True)
class Shown:
    """An answer as the page shows it."""

    status: int
    headers: str
    body: dict[str, Any]


class Page:
    """The page at `/docs` in a browser."""

    def __init__(self, browser: Chrome, url: str) -> None:
        self._browser = browser
        self._url = url

    def send(
        self, tag: str, operation: str, body: Mapping[str, object], *, key: str | None = None
    ) -> tuple[Shown, WebElement]:
        """Open an operation anew, fill it in, execute it and return what is shown, and where."""
        self._browser.get("about:blank")
        self._browser.get(f"{self._url}/docs#/{quote(tag)}/{operation}")
        block = self._wait_for(f"#operations-{tag}-{operation}")
        _fill(self._wait_for("textarea.body-param__text"), json.dumps(body, indent=2))
        if key is not None:
            _fill(self._wait_for('tr[data-param-name="Idempotency-Key"] input'), key)
        self._wait_for("button.execute").click()
        answer = "table.live-responses-table tr.response"
        body_shown, headers, *_ = self._wait_for_all(f"{answer} pre", 2)
        status = self._wait_for(f"{answer} .response-col_status").text
        return Shown(int(status.split()[0]), headers.text, json.loads(body_shown.text)), block

    def contents(self) -> WebElement:
        """Load the page, and return all that it shows at first."""
        self._browser.get(f"{self._url}/docs")
        self._wait_for(".opblock-tag")
        return self._wait_for("#swagger-ui")

    def hidden_from_scripts(self) -> set[str]:
        """Cookies of the session that the browser keeps from the page's scripts."""
        names = {cookie["name"] for cookie in self._browser.get_cookies() if cookie["httpOnly"]}
        seen: str = self._browser.execute_script("return document.cookie")
        return {name for name in names if name not in seen}

    def _wait_for(self, selector: str) -> WebElement:
        return self._wait_for_all(selector, 1)[0]

    def _wait_for_all(self, selector: str, count: int) -> list[WebElement]:
        def enough(browser: Chrome) -> list[WebElement] | None:
            found = browser.find_elements(By.CSS_SELECTOR, selector)
            return found if len(found) >= count else None

        return WebDriverWait(self._browser, _PATIENCE_SECONDS).until(enough)


def _fill(field: WebElement, text: str) -> None:
    field.clear()
    field.send_keys(text)


@contextmanager
def running_browser(url: str, ca_file: str) -> Iterator[Chrome]:
    """A headless Chromium that trusts the bank's certificate and finds no host but this machine."""
    address = urlsplit(url)
    presented = ssl.get_server_certificate((address.hostname or "", address.port or 443), ca_certs=ca_file)
    key = x509.load_pem_x509_certificate(presented.encode()).public_key()
    digest = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    driver = shutil.which("chromedriver")
    if driver is None:
        raise SystemExit("chromedriver is missing: apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory() as profile:
        options = ChromeOptions()
        options.add_argument("--headless=new")
        # Its own sandbox cannot be set up in many containers; the pages are ours.
        options.add_argument("--no-sandbox")
        options.add_argument("--window-size=1200,1950")
        options.add_argument(f"--user-data-dir={profile}")
        options.add_argument(f"--ignore-certificate-errors-spki-list={base64.b64encode(digest).decode()}")
        options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost")
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        browser = Chrome(options=options, service=Service(driver))
        try:
            yield browser
        finally:
            browser.quit()


def asked_for(browser: Chrome) -> set[str]:
    """Every address that the pages have asked for."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    addresses = {params["request"]["url"] for params in sent}
    return {address for address in addresses if not address.startswith(_OWN_SCHEMES)}


def use(page: Page, email: str, payer: str) -> dict[str, bool]:
    """Sign in, open an account and pay, all from the page; what held."""
    held: dict[str, bool] = {}
    _picture(page.contents(), "api-page")

    signed_in, block = page.send("sessions", "login", {"email": email, "password": PASSWORD})
    _picture(block, "sign-in")
    cookies = {"__Host-bankctl", "__Host-bankctl-refresh"}
    held["signs in"] = signed_in.status == 200 and signed_in.body["user"]["email"] == email
    held["no script can read the session's cookies"] = page.hidden_from_scripts() >= cookies

    account = {"type": "savings", "currency": "EUR", "name": "Holidays"}
    opened, block = page.send("accounts", "open_account", account)
    _picture(block, "open-account")
    held["opens an account"] = opened.status == 201 and opened.body["name"] == "Holidays"

    order = {"from_account": payer, "to_account": opened.body["id"], "amount": "12.50", "currency": "EUR"}
    paid, block = page.send("transactions", "transfer", order, key="holidays-1")
    _picture(block, "transfer")
    held["transfers"] = paid.status == 201 and paid.body["status"] == "completed"

    again, _ = page.send("transactions", "transfer", order, key="holidays-1")
    held["moves nothing when it is sent again"] = (
        again.body["id"] == paid.body["id"] and "idempotent-replayed: true" in again.headers
    )
    refused, _ = page.send("transactions", "transfer", {**order, "amount": "9000.00"}, key="holidays-2")
    held["shows a refusal"] = refused.status == 422 and refused.body["code"] == "insufficient_funds"
    return held


def _picture(shown: WebElement, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    shown.screenshot(str(PICTURES / f"{name}.png"))


async def run(folder: Path) -> dict[str, bool]:
    """Start a bank and somebody with money in it, and use the page as that person."""
    stack = LocalStack(folder)
    try:
        await stack.up()
        ann, operator = await stack.register("Ann"), await stack.appoint("Olga", "operator")
        payer = await ann.open_account()
        await operator.run("admin", "fund", payer, "500.00", "--reference", "opening deposit", "--yes")
        held = await asyncio.to_thread(_in_browser, stack.url, stack.ca_file, ann.email, payer)
        held["the money has moved once"] = await ann.balance(payer) == "487.50"
        await stack.down()
    finally:
        stack.end_what_is_left()
    return held


def _in_browser(url: str, ca_file: str, email: str, payer: str) -> dict[str, bool]:
    with running_browser(url, ca_file) as browser:
        held = use(Page(browser, url), email, payer)
        elsewhere = sorted(address for address in asked_for(browser) if not address.startswith(f"{url}/"))
        said = [entry["message"] for entry in browser.get_log("browser")]
        breaches = [message for message in said if "Content Security Policy" in message]
    sys.stdout.writelines(f"reported by the browser: {message}\n" for message in said)
    sys.stdout.writelines(f"asked for elsewhere: {address}\n" for address in elsewhere)
    return {
        **held,
        "nobody but the bank is asked": not elsewhere,
        "the policy is not broken": not breaches,
    }


def main() -> int:
    """Tell what held."""
    with tempfile.TemporaryDirectory() as folder:
        held = asyncio.run(run(Path(folder)))
    sys.stdout.writelines(f"{'holds' if ok else 'DOES NOT HOLD':14}{what}\n" for what, ok in held.items())
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
