"""The composition root: every part of user_api is made, started and stopped here."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import httpx
from aiohttp import web

import daemons.user_api.api_keys.routes as api_key_routes
import daemons.user_api.internal.routes as internal_routes
import daemons.user_api.mailed_links.routes as mailed_link_routes
import daemons.user_api.payment_confirmations.routes as payment_confirmation_routes
import daemons.user_api.personal_details.routes as personal_details_routes
import daemons.user_api.recovery.routes as recovery_routes
import daemons.user_api.registration.routes as registration_routes
import daemons.user_api.second_factor.routes as second_factor_routes
import daemons.user_api.sessions.routes as session_routes
import daemons.user_api.sign_in.routes as sign_in_routes
import daemons.user_api.users.routes as user_routes
from daemons.contracts.kafka_accounts import USER_TOPICS
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.routes import APPROVALS_KEY, approval_routes
from daemons.shared.approvals.store import MongoApprovals
from daemons.shared.audit.budget import RecordBudget
from daemons.shared.audit.reading_routes import reading_routes
from daemons.shared.audit.readings import READINGS_KEY, Readings
from daemons.shared.audit.refusals import RefusalRecorder
from daemons.shared.audit.routes import AUDIT_KEY, audit_routes
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.auth.keys import confirmation_signing_key, derive, session_signing_key
from daemons.shared.auth.payment_confirmations import ConfirmationSigner
from daemons.shared.auth.service_tokens import ServiceTokenVerifier
from daemons.shared.auth.session_tokens import SessionSigner, verifier_from_jwks
from daemons.shared.clock import Clock, utc_now
from daemons.shared.http.app import build_app
from daemons.shared.http.routes import AUTHENTICATOR_KEY, REFUSALS_KEY
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.topics import ensure_topics_if_reached
from daemons.shared.mongo import connect, ping
from daemons.shared.startup import wait_until_done
from daemons.user_api.api_keys.service import ApiKeys, GoodKeys
from daemons.user_api.api_keys.storage import MongoApiKeys
from daemons.user_api.attempts.service import AttemptCounter
from daemons.user_api.attempts.storage import MongoAttempts
from daemons.user_api.guarded import GUARDED
from daemons.user_api.internal.service import CallerVerification
from daemons.user_api.mail.codes import MailedCodes
from daemons.user_api.mail.sender import MessageSender
from daemons.user_api.mail.service import CodeCheck
from daemons.user_api.mail.storage import MongoMailRequests, MongoOwedMessages
from daemons.user_api.mailed_links.service import MailedLinks
from daemons.user_api.outbox.relay import OutboxRelay
from daemons.user_api.outbox.storage import MongoOwedEvents
from daemons.user_api.payment_confirmations.service import PaymentConfirmations
from daemons.user_api.personal_details.service import PersonalDetails
from daemons.user_api.recovery.lost_factor import LostFactor
from daemons.user_api.recovery.service import PasswordReset
from daemons.user_api.registration.service import AddressConfirmation, SignUp
from daemons.user_api.schema import ensure_schema
from daemons.user_api.second_factor.sealing import Sealer
from daemons.user_api.second_factor.service import FactorProof, SecondFactors, reseal_all
from daemons.user_api.second_factor.storage import MongoSecondFactors
from daemons.user_api.sessions.access import MongoAccessChanges
from daemons.user_api.sessions.refresh import SessionRefresh
from daemons.user_api.sessions.service import LivingSessions, SessionEnding, TokenIssuer
from daemons.user_api.sessions.storage import MongoRefreshTokens, MongoSessions
from daemons.user_api.settings import UserApiSettings
from daemons.user_api.sign_in.authenticator import OwnSessions
from daemons.user_api.sign_in.service import PasswordChange, SignIn
from daemons.user_api.sign_in.storage import MongoDevices
from daemons.user_api.unit_of_work import user_work
from daemons.user_api.users.administration import Administration
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.passwords import PasswordConfirmation
from daemons.user_api.users.personal_data import PersonalDataReader
from daemons.user_api.users.requesters import DECIDES, Requesters
from daemons.user_api.users.service import Users
from daemons.user_api.users.storage import MongoUsers

DAEMON = "user_api"
_NOTIFIER_TIMEOUT_SECONDS = 5


def build(settings: UserApiSettings, *, clock: Clock = utc_now) -> web.Application:
    """Wire the daemon; nothing is connected before the application starts.

    Args:
        settings: What the environment says.
        clock: The time by which sessions and tokens are judged.
    """
    bank = _Bank(settings, clock)
    app = build_app(
        DAEMON,
        settings,
        service_tokens=ServiceTokenVerifier(DAEMON, settings.calling_daemons),
        probes={"mongodb": lambda: ping(bank.database)},
        notices={"messages": bank.sender.probe, "events": bank.relay.probe},
        routes=[
            registration_routes.routes,
            mailed_link_routes.routes,
            user_routes.routes,
            sign_in_routes.routes,
            recovery_routes.routes,
            personal_details_routes.routes,
            session_routes.routes,
            second_factor_routes.routes,
            payment_confirmation_routes.routes,
            api_key_routes.routes,
            internal_routes.routes,
            audit_routes("users"),
            reading_routes("users"),
            approval_routes(user_routes.APPROVALS_AREA, decide=DECIDES),
        ],
    )
    app[AUDIT_KEY] = bank.audit
    app[REFUSALS_KEY] = RefusalRecorder(bank.audit, clock=clock)
    app[APPROVALS_KEY] = bank.approvals
    app[READINGS_KEY] = bank.readings
    bank.provide_users(app)
    bank.provide_access(app)
    app.cleanup_ctx.append(bank.running)
    return app


class _Bank:
    """The parts that are one for the process, and the order in which they start and stop."""

    def __init__(self, settings: UserApiSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.client = connect(settings.mongo_uri, daemon=DAEMON)
        self.database = self.client[settings.mongo_database]
        self.audit = MongoAuditTrail(self.database, chain=DAEMON, guarded=GUARDED)
        self.readings = Readings(
            self.database, self.audit, hours=settings.staff_policy.reading_hours, clock=clock
        )
        self.approval_store = MongoApprovals(self.database)
        requesters = Requesters(self.database, settings.staff_policy, clock=clock)
        self.approvals = Approvals(
            self.client,
            self.approval_store,
            self.audit,
            standings=requesters.standings,
            policy=settings.staff_policy,
            hold_people=requesters.hold,
            clock=clock,
        )
        self.work = user_work(self.client, self.database, self.audit)
        self.user_store = MongoUsers(self.database)
        self.factor_store = MongoSecondFactors(self.database)
        self.hasher = Argon2Hasher(workers=settings.hashing_workers, queue=settings.hashing_queue)
        self.sealer = Sealer([derive(one, "second-factors") for one in settings.secrets])
        kafka = settings.kafka
        self.relay = OutboxRelay(
            MongoOwedEvents(self.database),
            EventProducer(kafka, client_id=DAEMON),
            lambda: ensure_topics_if_reached(kafka, USER_TOPICS),
        )
        self.attempts = AttemptCounter(
            self.work,
            MongoAttempts(self.database),
            key=derive(settings.secrets[0], "sign-in-attempts"),
            limits=settings.sign_in_limits,
            budget=RecordBudget(per_minute=settings.refusals_recorded_per_minute, clock=clock),
            clock=clock,
        )
        self.users = Users(self.work, self.user_store, self.hasher, clock=clock)
        self.codes = MailedCodes([derive(one, "mailed-codes") for one in settings.secrets])
        self.notifier = (
            None
            if settings.notifier_url is None
            else httpx.AsyncClient(
                base_url=str(settings.notifier_url), timeout=_NOTIFIER_TIMEOUT_SECONDS, trust_env=False
            )
        )
        self.sender = MessageSender(
            MongoOwedMessages(self.database),
            self.codes,
            self.notifier,
            settings.service_tokens(DAEMON),
            clock=clock,
        )
        self.code_check = CodeCheck(MongoMailRequests(self.database), self.codes, clock=clock)
        self.confirmation = AddressConfirmation(
            self.work, self.user_store, self.code_check, self.attempts, self.hasher, clock=clock
        )
        self.passwords = PasswordConfirmation(self.hasher, self.attempts)
        self.proof = FactorProof(self.work, self.factor_store, self.sealer, self.attempts, clock=clock)

    def provide_users(self, app: web.Application) -> None:
        """Give the routes what they do with users and their second factors."""
        work, clock = self.work, self.clock
        app[user_routes.USERS_KEY] = self.users
        app[user_routes.PERSONAL_DATA_KEY] = PersonalDataReader(self.database, self.audit)
        app[registration_routes.SIGN_UP_KEY] = SignUp(
            work,
            self.users,
            self.user_store,
            self.attempts,
            confirmation_required=self.settings.confirmation_required,
            clock=clock,
        )
        app[registration_routes.CONFIRMATION_KEY] = self.confirmation
        app[recovery_routes.RESET_KEY] = reset = PasswordReset(
            work,
            self.user_store,
            self.code_check,
            hasher=self.hasher,
            attempts=self.attempts,
            proof=self.proof,
            clock=clock,
        )
        app[mailed_link_routes.LINKS_KEY] = MailedLinks(self.code_check, self.confirmation, reset)
        app[user_routes.ADMINISTRATION_KEY] = Administration(
            work, self.user_store, self.approvals, self.settings.staff_policy, clock=clock
        )
        app[sign_in_routes.PASSWORD_CHANGE_KEY] = PasswordChange(
            work, self.users, self.hasher, self.passwords, clock=clock
        )
        app[recovery_routes.LOST_FACTOR_KEY] = LostFactor(
            work,
            self.user_store,
            self.code_check,
            hasher=self.hasher,
            attempts=self.attempts,
            wait=timedelta(hours=self.settings.lost_factor_wait_hours),
            clock=clock,
        )
        app[personal_details_routes.DETAILS_KEY] = PersonalDetails(
            work,
            self.user_store,
            self.code_check,
            hasher=self.hasher,
            attempts=self.attempts,
            passwords=self.passwords,
            proof=self.proof,
            clock=clock,
        )
        app[second_factor_routes.SECOND_FACTORS_KEY] = SecondFactors(
            work,
            self.factor_store,
            self.sealer,
            users=self.users,
            passwords=self.passwords,
            proof=self.proof,
            attempts=self.attempts,
            code_roles=self.settings.second_factor_roles,
            clock=clock,
        )

    def provide_access(self, app: web.Application) -> None:
        """Give the routes what they do with sessions and API keys, and the daemon its authenticator."""
        settings, work, clock = self.settings, self.work, self.clock
        signing_key, *previous_keys = map(session_signing_key, settings.secrets)
        app[internal_routes.SIGNER_KEY] = signer = SessionSigner(signing_key, previous=previous_keys)
        issuer = TokenIssuer(signer, settings.session_limits, clock=clock)
        session_store, key_store = MongoSessions(self.database), MongoApiKeys(self.database)
        app[session_routes.LIVING_KEY] = living = LivingSessions(
            session_store,
            settings.session_limits,
            second_factor_roles=settings.second_factor_roles,
            clock=clock,
        )
        app[session_routes.ENDING_KEY] = SessionEnding(work, clock=clock)
        app[session_routes.REFRESH_KEY] = SessionRefresh(
            work,
            MongoRefreshTokens(self.database),
            living,
            issuer,
            keys=[derive(one, "refresh-tokens") for one in settings.secrets],
            clock=clock,
        )
        app[sign_in_routes.SIGN_IN_KEY] = SignIn(
            work,
            self.user_store,
            MongoDevices(self.database),
            hasher=self.hasher,
            attempts=self.attempts,
            proof=self.proof,
            issuer=issuer,
            limits=settings.session_limits,
            confirmation=self.confirmation,
            confirmation_required=settings.confirmation_required,
            clock=clock,
        )
        app[api_key_routes.API_KEYS_KEY] = ApiKeys(
            work, key_store, self.users, self.passwords, self.proof, approvals=self.approvals, clock=clock
        )
        signing_key, *previous_keys = map(confirmation_signing_key, settings.secrets)
        app[internal_routes.CONFIRMATION_SIGNER_KEY] = confirmations = ConfirmationSigner(
            signing_key, previous=previous_keys
        )
        app[payment_confirmation_routes.CONFIRMATIONS_KEY] = PaymentConfirmations(
            work, self.users, self.attempts, self.proof, confirmations, clock=clock
        )
        good_keys = GoodKeys(key_store, living, clock=clock)
        app[internal_routes.VERIFICATION_KEY] = CallerVerification(
            MongoAccessChanges(self.client, self.database), session_store, key_store, living, good_keys
        )
        verifier = verifier_from_jwks(DAEMON, signer.public_keys, clock=clock)
        app[AUTHENTICATOR_KEY] = OwnSessions(living, good_keys, verifier)

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """Run the daemon while the application serves."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.client.close)
            stack.callback(self.hasher.close)
            # A database that elects a primary just then, or comes up later, is waited for.
            await wait_until_done(lambda: ensure_schema(self.database))
            await wait_until_done(self.audit.prepare)
            await wait_until_done(self.approval_store.prepare)
            await wait_until_done(self.readings.prepare)
            await wait_until_done(
                lambda: reseal_all(self.work, self.factor_store, self.sealer, clock=self.clock)
            )
            if self.notifier is not None:
                await stack.enter_async_context(self.notifier)
            self.sender.start()
            stack.push_async_callback(self.sender.close)
            self.relay.start()
            stack.push_async_callback(self.relay.close)
            yield
