"""An erased user leaves the notifier: preferences, names and addresses go, and the proof holds after it."""

from daemons.contracts.events.contract import UserReference
from daemons.contracts.names import ERASED_DOMAIN
from daemons.contracts.wire import WireModel
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.deliveries.delivery import Cause, Owed
from daemons.notifier.deliveries.storage import MongoDeliveries
from daemons.notifier.preferences.preferences import Preferences
from daemons.notifier.preferences.storage import MongoPreferences
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from tests.support.events import ANN, OLGA, completed, consumed, publishable, registered, user_changed
from tests.support.notifier import Notifier

BY_ANN = UserReference(user_id=ANN.user_id, display_name="Ann Berg")
ERASED = {
    "display_name": "Erased user",
    "email": f"{ANN.user_id}@{ERASED_DOMAIN}",
    "status": "erased",
}


async def record(recorder: EventRecorder, *told: WireModel) -> None:
    records = [
        consumed(publishable(new_id(), data), partition=0, offset=offset) for offset, data in enumerate(told)
    ]
    await recorder.record_events(records)


async def test_names_and_addresses_go_and_the_proof_holds(
    notifier: Notifier, recorder: EventRecorder, notifier_database: Database
) -> None:
    payment = new_id()
    await recorder.record_events([consumed(publishable(payment, completed(payment)), partition=7, offset=0)])
    await record(recorder, registered(), user_changed("email", by=BY_ANN, email="ann.lee@example.com"))
    assert "ann@example.com" in str(await notifier_database["events"].find().to_list())
    erased = user_changed("display_name", "email", "status", by=OLGA, **ERASED)
    await recorder.record_events([consumed(publishable(new_id(), erased), partition=0, offset=9)])

    of_users = {"type": {"$in": ["UserRegistered", "UserChanged"]}}
    events = await notifier_database["events"].find(of_users).to_list()
    texts = await notifier_database["notifications"].find({"event_id": {"$ne": payment}}).to_list()
    assert len(events) == len(texts) == 3
    for kept in (events, texts):
        assert "ann" not in str(kept).lower().replace("channel", "")
    assert "was erased, by Olga Okoye" in texts[-1]["text"]
    # What the books tell stands.
    of_books = await notifier_database["events"].find_one({"id": payment})
    assert of_books is not None
    assert of_books["data"]["sender"]["owner"]["display_name"] == "Ann Berg"
    proof = (await notifier.get("/events/proof")).json()
    assert (proof["holds"], proof["mismatches"]) == (True, [])


async def test_wishes_are_forgotten_and_nothing_is_owed_any_longer(
    recorder: EventRecorder, notifier_database: Database
) -> None:
    preferences = MongoPreferences(notifier_database)
    await preferences.save(ANN.user_id, Preferences())
    async with notifier_database.client.start_session() as session, await session.start_transaction():
        order = {"recipient": {"email": "ann@example.com"}}
        owed = [
            Owed(Cause.message(name), "email", recipient, order=order)
            for name, recipient in (("one", ANN.user_id), ("two", OLGA.user_id))
        ]
        await MongoDeliveries(notifier_database, session).insert(owed, at=utc_now())
    await record(recorder, user_changed("status", by=OLGA, **ERASED))

    assert await notifier_database["preferences"].count_documents({}) == 0
    [anns] = await MongoDeliveries(notifier_database).of_cause(Cause.message("one"))
    assert (anns.state, anns.due_at, anns.fault) == ("given_up", None, "the user was erased")
    assert anns.owed.order is None
    [olgas] = await MongoDeliveries(notifier_database).of_cause(Cause.message("two"))
    assert (olgas.state, olgas.owed.order) == ("owed", order)
