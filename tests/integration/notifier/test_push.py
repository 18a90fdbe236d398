"""Alerts go out over the services that the operator names, here a real HTTP server, and hang nobody up."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import ValidationError

from daemons.notifier.alerts import OwedToOperators
from daemons.notifier.channels.port import Message, Refused, Unavailable
from daemons.notifier.channels.push import PushChannel, name_of
from daemons.notifier.event_log.decoding import decode
from daemons.notifier.settings import NotifierSettings
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from tests.support.daemon_keys import secret_settings
from tests.support.deliveries import all_settled, states_in
from tests.support.events import completed, consumed, failed, publishable
from tests.support.notifier import NO_BROKER, PlayedUserApi, recorder_on, running_here


class Service:
    """A service of push messages; a thread serves it, for Apprise sends from threads."""

    def __init__(self, status: int) -> None:
        self.bodies: list[bytes] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                service.may_answer.wait(30)
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_port}/alerts"


@contextmanager
def serving(status: int = 200) -> Iterator[Service]:
    service = Service(status)
    thread = threading.Thread(target=service.server.serve_forever)
    thread.start()
    try:
        yield service
    finally:
        service.may_answer.set()
        service.server.shutdown()
        thread.join()
        service.server.server_close()


def message_to(recipient: str) -> Message:
    return Message(new_id(), recipient, "The bank", "Something was refused")


async def test_an_alert_goes_to_every_url_and_news_to_none(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> None:
    with serving() as one, serving() as other:
        async with running_here(
            mongo_uri, notifier_database.name, users, broker=NO_BROKER, push_urls=f"{one.url} {other.url}"
        ):
            recorder = recorder_on(
                notifier_database, owing=[OwedToOperators([name_of(one.url), name_of(other.url)])]
            )
            ids = [new_id(), new_id()]
            await recorder.record_events(
                [
                    consumed(publishable(ids[0], completed(ids[0]))),
                    consumed(publishable(ids[1], failed(ids[1]))),
                ]
            )
            await all_settled(notifier_database)
            assert await states_in(notifier_database) == {str(ids[1]): "sent"}
    for service in (one, other):
        [body] = service.bodies
        assert b"was refused: No money." in body


async def test_what_the_service_refuses_is_tried_again_and_names_no_url() -> None:
    with serving(status=500) as service:
        channel = PushChannel([service.url], seconds=10)
        with pytest.raises(Unavailable, match=r"^the service did not take it$"):
            await channel.send(message_to(name_of(service.url)))
    assert len(service.bodies) == 1


async def test_a_service_that_does_not_answer_is_not_waited_for() -> None:
    with serving() as service:
        service.may_answer.clear()
        channel = PushChannel([service.url], seconds=0.2)
        with pytest.raises(Unavailable, match="did not answer within"):
            await asyncio.wait_for(channel.send(message_to(name_of(service.url))), 10)


async def test_a_url_that_is_no_longer_configured_is_given_up() -> None:
    with pytest.raises(Refused):
        await PushChannel([], seconds=1).send(message_to("push-0123456789ab"))


def test_an_event_is_an_alert_if_somebody_should_look() -> None:
    owing = OwedToOperators(["push-a"])
    refused, moved = (
        decode(consumed(publishable(id_, make(id_))))
        for id_, make in ((new_id(), failed), (new_id(), completed))
    )
    owed = asyncio.run(owing.owed([moved, refused], None))  # type: ignore[arg-type]  # it reads nothing
    assert [(one.cause.id, one.recipient) for one in owed] == [(str(refused.id), "push-a")]


def test_a_url_that_apprise_does_not_know_stops_the_start_and_is_not_shown() -> None:
    with pytest.raises(ValidationError, match="place 2") as refused:
        NotifierSettings(
            mongo_uri="mongodb://127.0.0.1/?replicaSet=rs0",
            kafka_broker="127.0.0.1:9",
            user_api_url="http://127.0.0.1:1",  # type: ignore[arg-type]  # pydantic makes the URL
            port=1,
            push_urls="json://127.0.0.1/x carrier://pigeon:secret@loft",  # type: ignore[arg-type]  # and the secret
            **secret_settings("notifier", "s" * 32),  # type: ignore[arg-type]
        )
    assert "pigeon" not in str(refused.value)


def test_who_needs_no_push_messages_does_not_load_apprise() -> None:
    code = "import sys, daemons.notifier.app; print('apprise' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
