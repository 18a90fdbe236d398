"""What a transaction of user_api may write; one attempt at it."""

from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.audit.unit_of_work import AuditedTransaction, UnitOfWork
from daemons.shared.mongo import Client, Database, Session
from daemons.user_api.api_keys.storage import MongoApiKeys
from daemons.user_api.mail.storage import MongoMailRequests, MongoOwedMessages
from daemons.user_api.outbox.storage import MongoOutbox
from daemons.user_api.second_factor.storage import MongoSecondFactors
from daemons.user_api.sessions.access import MongoAccess
from daemons.user_api.sessions.storage import MongoSessions
from daemons.user_api.sign_in.storage import MongoDevices
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.told import told_of


class UserTransaction(AuditedTransaction):
    """One attempt: everything that user_api stores, within the attempt's session."""

    def __init__(self, database: Database, session: Session) -> None:
        super().__init__(session)
        self.users = MongoUsers(database, session)
        self.sessions = MongoSessions(database, session)
        self.devices = MongoDevices(database, session)
        self.second_factors = MongoSecondFactors(database, session)
        self.api_keys = MongoApiKeys(database, session)
        self.access = MongoAccess(database, session)
        self.requests = MongoMailRequests(database, session)
        self.messages = MongoOwedMessages(database, session)
        self.outbox = MongoOutbox(database, session)

    async def complete(self) -> None:
        """Owe the events of all that was written of users: by whom and when, the audit's entry says.

        Raises:
            RuntimeError: a user was changed, and nothing says by whom.
        """
        owed = told_of(self.users.written, self.entries)
        if owed:
            await self.outbox.add(owed)


UserWork = UnitOfWork[UserTransaction]


def user_work(client: Client, database: Database, audit: MongoAuditTrail) -> UserWork:
    """Return what makes attempts at user_api's transactions."""
    return UnitOfWork(client, audit, lambda session: UserTransaction(database, session))
