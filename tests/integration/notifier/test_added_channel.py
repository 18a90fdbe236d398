"""A new channel is a class with a name and one method; everything else is there."""

from pathlib import Path

from daemons.notifier.deliveries.storage import MongoDeliveries
from daemons.notifier.deliveries.worker import LEASE_NAME, DeliveryWorker, Outlet
from daemons.shared.ids import new_id
from daemons.shared.lease import NamedLease
from daemons.shared.mongo import Database
from tests.support.deliveries import OwesTo, all_settled, compose, states_in
from tests.support.events import incoming
from tests.support.notifier import recorder_on
from tests.support.spool_channel import SpoolChannel


async def test_a_channel_of_its_own_gets_what_events_owe_to_it(
    notifier_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "ann").mkdir()
    channel = SpoolChannel(tmp_path)
    worker = DeliveryWorker(
        MongoDeliveries(notifier_database),
        NamedLease(notifier_database, LEASE_NAME, new_id()),
        {channel.name: Outlet(channel, compose)},
    )
    worker.start()
    records = incoming(3)
    recorder = recorder_on(notifier_database, owing=[OwesTo("spool", "ann", "bo")], on_recorded=worker.wake)
    await recorder.record_events(records)
    await all_settled(notifier_database)
    await worker.close()
    ids = {record.headers["ce_id"].decode() for record in records}
    assert {path.read_text() for path in (tmp_path / "ann").iterdir()} == ids
    found = await notifier_database["deliveries"].find().to_list()
    assert {(one["recipient"], one["state"]) for one in found} == {("ann", "sent"), ("bo", "given_up")}
    assert {one["fault"] for one in found} == {None, "there is no folder bo"}
    assert len(await states_in(notifier_database)) == len(records)
