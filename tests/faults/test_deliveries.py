"""Mail and webhooks that are owed: kills of both notifiers, a broker's restart, targets that misbehave."""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest_asyncio
from aiohttp import web

from daemons.contracts.names import NoticeType
from daemons.notifier.preferences.preferences import DEFAULT_EVENTS, Preferences
from daemons.notifier.preferences.storage import MongoPreferences
from daemons.shared.mongo import connect
from tests.faults.bank_processes import FaultBank, Person, running_bank, running_servers
from tests.faults.invariants import drained
from tests.faults.kafka_server import KafkaServer
from tests.faults.mongo_server import MongoServer
from tests.faults.report import TallyRecorder, dice
from tests.faults.tally import Tally
from tests.support.receiver import receiving
from tests.support.smtp import SmtpOfTests, smtp_server
from tests.support.waiting import eventually

TRANSFERS = int(os.environ.get("DELIVERY_TRANSFERS", "2000"))
"""A whole campaign has 20,000, and a webhook that is away for 600 s."""
AWAY_SECONDS = float(os.environ.get("DELIVERY_AWAY_SECONDS", "0"))
"""How long the webhook's target refuses everything; it does so at least while people pay."""
ROWS = 100
KILLS_OF_EACH = 5
POISONED = 20
NOTIFIERS = ("notifier", "notifier2")
REFUSED_SHARE, SLOW_SHARE, CUT_SHARE = 0.05, 0.05, 0.05
SLOW_SECONDS = 1.0
"""Longer than a mail takes, shorter than the notifier waits."""


class BadMail:
    """An SMTP server that refuses for now, is slow, or takes a mail and cuts the line before it says so."""

    def __init__(self, server: SmtpOfTests, drawn: random.Random) -> None:
        self.server = server
        self._drawn = drawn
        self.refused = self.slow = self.cut = 0
        server.at_data = self._answer

    async def _answer(self, _recipient: str, _before: int) -> str | None:
        chance = self._drawn.random()
        if chance < REFUSED_SHARE:
            self.refused += 1
            return "451 try again"
        if chance < REFUSED_SHARE + SLOW_SHARE:
            self.slow += 1
            await asyncio.sleep(SLOW_SECONDS)
        elif chance < REFUSED_SHARE + SLOW_SHARE + CUT_SHARE:
            self.cut += 1
            return "cut"
        return None


@pytest_asyncio.fixture
async def mail() -> AsyncIterator[BadMail]:
    async with smtp_server() as server:
        yield BadMail(server, dice("mail"))


@asynccontextmanager
async def mailing_bank(
    folder: Path, mongo: MongoServer, kafka: KafkaServer, mail: BadMail
) -> AsyncIterator[FaultBank]:
    """A bank with two notifiers that send by that server."""
    by_mail = {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(mail.server.port),
        "SMTP_SECURITY": "none",
        "DELIVERY_LONGEST_PAUSE_SECONDS": "2",
        "WEBHOOK_ALLOW_LOOPBACK": "true",
    }
    async with running_bank(folder, mongo.uri, kafka.address, notifier=False) as bank:
        for name in NOTIFIERS:
            bank.add_daemon("notifier", name=name, environment=by_mail)
        await bank.until_ready()
        yield bank


async def ask_for_mail(mongo: MongoServer, bank: FaultBank, person: Person) -> None:
    """Let a person hear of all the money that comes in."""
    wanted = Preferences(events=DEFAULT_EVENTS | {NoticeType.MONEY_IN})
    async with connect(mongo.uri, daemon="tests") as client:
        await MongoPreferences(client[bank.database("notifier")]).save(person.user_id, wanted)


class AwayTarget:
    """A webhook's target that refuses everything until it is back."""

    def __init__(self) -> None:
        self._gone_since = time.monotonic()
        self.is_back = False
        self.refused = 0
        self.taken: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if not self.is_back:
            self.refused += 1
            raise web.HTTPServiceUnavailable
        self.taken.append(request.headers["webhook-id"])
        return web.Response(status=204)

    async def come_back(self) -> None:
        await asyncio.sleep(max(0.0, self._gone_since + AWAY_SECONDS - time.monotonic()))
        self.is_back = True


async def pay(payer: Person, account: str, receivers: list[str], count: int) -> None:
    """Pay so many times in turn, in batches; a batch is sent again until it is settled."""
    for first in range(0, count, ROWS):
        rows = [
            {
                "from_account": account,
                "to_account": receivers[number % len(receivers)],
                "amount": "0.01",
                "currency": "EUR",
                "idempotency_key": str(uuid4()),
            }
            for number in range(first, min(first + ROWS, count))
        ]
        answer = await payer.call("POST", "/transactions/batch", {"transfers": rows}, timeout_seconds=60)
        assert answer.status == 200, answer
        assert {row["outcome"] for row in answer.body["results"]} == {"completed"}, answer


async def trouble(bank: FaultBank, kafka: KafkaServer, paying: "asyncio.Task[None]") -> None:
    """Kill each notifier five times, poison the topic and restart the broker while people pay."""
    drawn = dice("deliveries")
    victims = [name for name in NOTIFIERS for _ in range(KILLS_OF_EACH)]
    drawn.shuffle(victims)
    for number, victim in enumerate(victims):
        await bank.poison(POISONED // len(victims))
        await asyncio.sleep(drawn.uniform(0.5, 2))
        bank.daemons[victim].kill()
        bank.daemons[victim].start()
        if number == len(victims) // 2:
            kafka.kill()
            kafka.start()
            await kafka.until_it_serves()
        await bank.until_ready(victim)
    await paying
    await bank.heal()


async def test_every_message_that_is_owed_goes_out_and_is_recorded_once(
    tmp_path: Path, mail: BadMail, tallies: TallyRecorder
) -> None:
    async with (
        # Topics and consumer groups are one bank's: this one's servers are its own.
        running_servers(tmp_path) as (mongo, kafka),
        mailing_bank(tmp_path, mongo, kafka, mail) as bank,
        receiving((target := AwayTarget()).answer) as receiver,
    ):
        hook = {"url": receiver.url, "types": ["TransactionCompleted"], "reason": "a test"}
        added = await bank.operator.call("POST", "/webhooks", hook, at=bank.urls["notifier"])
        assert added.status == 201, added
        payer = await bank.register("alice")
        account = await payer.open_account()
        await bank.fund(account, TRANSFERS)
        people = [await bank.register(name) for name in ("bob", "carol", "dave", "erin", "frank", "grace")]
        receivers = [await person.open_account() for person in people]
        for person in people:
            await ask_for_mail(mongo, bank, person)
        paying = asyncio.create_task(pay(payer, account, receivers, TRANSFERS))
        await trouble(bank, kafka, paying)
        await drained(bank)
        await target.come_back()
        async with connect(mongo.uri, daemon="tests") as client:
            deliveries = client[bank.database("notifier")]["deliveries"]

            async def all_are_settled() -> bool:
                return await deliveries.count_documents({"state": {"$ne": "sent"}}) == 0

            await eventually(all_are_settled)
            owed = [one async for one in deliveries.find()]
        posted = [str(one["_id"]) for one in owed if one["channel"] == "webhook"]
        owed = [one for one in owed if one["channel"] == "email"]
        assert set(target.taken) == set(posted)
        assert len(posted) == TRANSFERS
        of_money = Counter(one["recipient"] for one in owed)
        wanted = Counter(people[number % len(people)].user_id for number in range(TRANSFERS))
        # An account that was opened is a notice as well.
        assert of_money - wanted == Counter([payer.user_id, *(person.user_id for person in people)])
        accepted = Counter(text["Message-ID"] for text in mail.server.mails)
        ids = {str(one["_id"]) for one in owed}
        assert {name.strip("<>").partition("@")[0] for name in accepted} == ids
        repeats = sum(accepted.values()) - len(accepted)
        posted_again = len(target.taken) - len(posted)
        assert posted_again <= KILLS_OF_EACH * len(NOTIFIERS)
        # Beside the mails whose answer was cut off, a kill can repeat what was under way.
        assert repeats <= mail.cut + KILLS_OF_EACH * len(NOTIFIERS) * len(people)
        letters = await bank.dead_letters()
        assert sorted(letters) == sorted(bank.poisoned)
        assert len(letters) == POISONED
        assert min(mail.refused, mail.slow, mail.cut, target.refused) > 0
    tally = Tally(operations=TRANSFERS, completed=TRANSFERS)
    row = f"{len(owed)} mails, {repeats} repeated; {len(posted)} posts, {posted_again} repeated"
    tallies.add(f"{row}; notifiers killed, broker restarted", len(NOTIFIERS) * KILLS_OF_EACH + 1, tally)
