"""What is owed is decided with the event, and sent in order for each recipient, on a real MongoDB."""

from dataclasses import replace
from datetime import timedelta

from daemons.contracts.names import DeliveryState
from daemons.notifier.channels.port import Message, Refused, Unavailable
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.dead_letters.dead_letter import DeadLetterLimit
from daemons.notifier.deliveries.delivery import Patience
from daemons.notifier.deliveries.storage import MongoDeliveries
from daemons.notifier.event_log.service import EventLog
from daemons.notifier.event_log.storage import LogEnd
from daemons.shared.mongo import Database
from tests.support.deliveries import (
    OwesTo,
    ScriptedChannel,
    all_settled,
    messages_to,
    never,
    owe,
    states_in,
    work_on,
    worker_on,
)
from tests.support.events import incoming
from tests.support.waiting import eventually


def recorder_that_owes(database: Database, owing: OwesTo) -> EventRecorder:
    event_log = EventLog(LogEnd(), on_recorded=lambda: None, owing=[owing])
    return EventRecorder(work_on(database), event_log, limit=DeadLetterLimit(10, timedelta(hours=1)))


async def test_an_event_owes_its_deliveries_from_the_moment_it_is_recorded_and_once(
    notifier_database: Database,
) -> None:
    records = incoming(10)
    channel = ScriptedChannel()
    for _ in range(2):
        await recorder_that_owes(notifier_database, OwesTo(channel.name, "ann", "bo")).record_events(records)
    in_order = [record.headers["ce_id"].decode() for record in records]
    assert await notifier_database["deliveries"].count_documents({}) == 20
    async with worker_on(notifier_database, channel):
        await all_settled(notifier_database)
    assert channel.texts("ann") == channel.texts("bo") == in_order
    assert set((await states_in(notifier_database)).values()) == {"sent"}


async def test_each_recipients_deliveries_go_out_in_order_though_one_fails_at_first(
    notifier_database: Database,
) -> None:
    async def fails_twice(message: Message, before: int) -> None:
        if message.text == "b" and before < 2:
            raise Unavailable("not now")

    channel = ScriptedChannel(behaviour=fails_twice)
    async with worker_on(notifier_database, channel):
        [_, second, _] = await owe(notifier_database, messages_to(channel.name, "ann", "a", "b", "c"))
        await all_settled(notifier_database)
    assert channel.texts("ann") == ["a", "b", "c"]
    stored = await MongoDeliveries(notifier_database).find(second.id)
    assert stored is not None
    assert (stored.state, stored.attempts, stored.due_at) == (DeliveryState.SENT, 3, None)


async def test_one_slow_recipient_and_one_slow_channel_delay_no_other(notifier_database: Database) -> None:
    async def hangs_for_ann(message: Message, before: int) -> None:
        if message.recipient == "ann":
            await never(message, before)

    slow = ScriptedChannel("slow", never)
    quick = ScriptedChannel("quick", hangs_for_ann)
    many = [str(number) for number in range(20)]
    await owe(notifier_database, messages_to("slow", "zoe", *(f"slow {one}" for one in many)))
    await owe(notifier_database, messages_to("quick", "ann", *(f"ann {one}" for one in many)))
    await owe(notifier_database, messages_to("quick", "bo", *many))
    async with worker_on(notifier_database, slow, quick, send_seconds=3600):

        async def bo_has_all() -> bool:
            return quick.texts("bo") == many

        await eventually(bo_has_all)
        assert slow.accepted == []


async def test_what_is_refused_is_given_up_at_once_and_what_fails_too_long_later(
    notifier_database: Database,
) -> None:
    async def refuses(message: Message, before: int) -> None:
        if message.text == "refused":
            raise Refused("no such user")
        raise Unavailable("no connection")

    channel = ScriptedChannel(behaviour=refuses)
    await owe(notifier_database, messages_to(channel.name, "ann", "refused"))
    await owe(notifier_database, messages_to(channel.name, "bo", "old"))
    patience = Patience(timedelta(seconds=3), first_pause_seconds=0.01, longest_pause_seconds=0.05)
    async with worker_on(notifier_database, channel, patience=patience):
        await all_settled(notifier_database)
    assert await states_in(notifier_database) == {"refused": "given_up", "old": "given_up"}
    kept = await notifier_database["deliveries"].find({}).sort("turn").to_list()
    assert [one["fault"] for one in kept] == ["no such user", "no connection"]
    assert kept[0]["attempts"] == 1
    assert kept[1]["attempts"] > 1
    assert await MongoDeliveries(notifier_database).astray() == 0


async def test_the_next_try_of_what_failed_survives_a_restart(notifier_database: Database) -> None:
    async def fails(_message: Message, _before: int) -> None:
        raise Unavailable("greylisted")

    failing, later = ScriptedChannel(behaviour=fails), ScriptedChannel()
    [delivery] = await owe(notifier_database, messages_to(failing.name, "ann", "a"))
    store = MongoDeliveries(notifier_database)

    async def failed_once() -> bool:
        found = await store.find(delivery.id)
        return found is not None and found.state is DeliveryState.FAILED

    hour = Patience(first_pause_seconds=3600, longest_pause_seconds=3600)
    async with worker_on(notifier_database, failing, patience=hour):
        await eventually(failed_once)
    before = await store.find(delivery.id)
    assert before is not None
    assert before.due_at is not None
    [other] = await owe(notifier_database, messages_to(failing.name, "bo", "b"))
    async with worker_on(notifier_database, later):

        async def other_is_sent() -> bool:
            found = await store.find(other.id)
            return found is not None and found.state is DeliveryState.SENT

        await eventually(other_is_sent)
    assert later.texts("ann") == []
    assert await store.find(delivery.id) == before


async def test_of_two_notifiers_one_sends_and_the_other_takes_over(notifier_database: Database) -> None:
    first, second = ScriptedChannel(), ScriptedChannel()
    async with worker_on(notifier_database, first) as leading:
        await owe(notifier_database, messages_to(first.name, "ann", "1", "2"))
        await all_settled(notifier_database)
        async with worker_on(notifier_database, second):
            await owe(notifier_database, messages_to(first.name, "ann", "3"))
            await all_settled(notifier_database)
            assert (first.texts("ann"), second.texts("ann")) == (["1", "2", "3"], [])
            await leading.close()
            await owe(notifier_database, messages_to(first.name, "ann", "4"))
            await all_settled(notifier_database)
    assert second.texts("ann") == ["4"]


async def test_a_send_that_takes_too_long_is_tried_again(notifier_database: Database) -> None:
    async def hangs_at_first(message: Message, before: int) -> None:
        if before == 0:
            await never(message, before)

    channel = ScriptedChannel(behaviour=hangs_at_first)
    await owe(notifier_database, messages_to(channel.name, "ann", "a", "b"))
    async with worker_on(notifier_database, channel, send_seconds=0.1):
        await all_settled(notifier_database)
    assert channel.texts("ann") == ["a", "b"]


async def test_what_is_urgent_does_not_wait_behind_what_is_not(notifier_database: Database) -> None:
    async def holds_the_rest(message: Message, _before: int) -> None:
        if message.text != "code":
            raise Unavailable("later")

    channel = ScriptedChannel(behaviour=holds_the_rest)
    await owe(notifier_database, messages_to(channel.name, "ann", "news"))
    [code] = messages_to(channel.name, "ann", "code")
    await owe(notifier_database, [replace(code, is_urgent=True)])
    async with worker_on(notifier_database, channel):

        async def code_is_sent() -> bool:
            return channel.texts("ann") == ["code"]

        await eventually(code_is_sent)
