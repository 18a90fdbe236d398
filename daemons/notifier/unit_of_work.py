"""What a transaction of the notifier may write; one attempt at it."""

from daemons.notifier.dead_letters.storage import MongoDeadLetters
from daemons.notifier.deliveries.storage import MongoDeliveries
from daemons.notifier.event_log.erasure import MongoErasure
from daemons.notifier.event_log.storage import LogEnd, MongoEventLog
from daemons.notifier.notifications.storage import MongoNotifications
from daemons.notifier.webhooks.storage import MongoWebhooks
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.audit.unit_of_work import AuditedTransaction, UnitOfWork
from daemons.shared.mongo import Database, Session


class NotifierTransaction(AuditedTransaction):
    """One attempt: everything that the notifier stores, within the attempt's session."""

    def __init__(self, database: Database, session: Session, end: LogEnd) -> None:
        super().__init__(session)
        self.events = MongoEventLog(database, session, end)
        self.erasure = MongoErasure(database, session)
        self.notifications = MongoNotifications(database, session)
        self.deliveries = MongoDeliveries(database, session)
        self.webhooks = MongoWebhooks(database, session)
        self.dead_letters = MongoDeadLetters(database, session)


NotifierWork = UnitOfWork[NotifierTransaction]


def notifier_work(database: Database, audit: MongoAuditTrail, end: LogEnd) -> NotifierWork:
    """Return what makes attempts at the notifier's transactions."""
    return UnitOfWork(database.client, audit, lambda session: NotifierTransaction(database, session, end))
