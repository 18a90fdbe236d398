"""From what was asked for to the parts that run."""

from collections.abc import Mapping

from bankctl.local.cache import cache_environment, cache_part
from bankctl.local.daemons import DAEMONS, daemon_environment, daemon_part
from bankctl.local.gateway import gateway_part, gateway_url
from bankctl.local.kafka import ADMINISTRATOR, account_environment, kafka_part
from bankctl.local.layout import Layout
from bankctl.local.mail import mail_environment, mail_part
from bankctl.local.mongod import mongod_part, uri
from bankctl.local.part import Part
from bankctl.local.ports import LOOPBACK
from bankctl.local.service_keys import CALLERS, public_key_of
from bankctl.local.settings import Settings
from bankctl.local.state import Intent
from daemons.contracts.kafka_accounts import KAFKA_GRANTS

SERVERS = ("mongod", "kafka", "gateway", "mail", "cache")
ALL_PARTS = (*SERVERS, *DAEMONS)
# What the environment gives instead of a part of our own.
INSTEAD_OF: Mapping[str, str] = {
    "mongod": "MONGO_URI",
    "kafka": "KAFKA_BROKER",
    "mail": "SMTP_HOST",
    "cache": "CACHE_URI",
}
POLICY_VARIABLES = ("STAFF_POLICY",)
"""What waits for a second person; without them as the daemons have it by default."""
_ASK_THE_CACHE = ("banking_api", "notifier")
KAFKA_CLIENTS = tuple(grant.account for grant in KAFKA_GRANTS)
_WITHOUT_ACCOUNT: Mapping[str, str] = {
    "KAFKA_SECURITY": "plaintext",
    "KAFKA_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_USERNAME": "",
    "KAFKA_PASSWORD": "",
}
_OF_KAFKA = {"KAFKA_BROKER", *_WITHOUT_ACCOUNT}


def environment(settings: Settings, external: Mapping[str, str], daemon: str) -> dict[str, str]:
    """The environment variables of one daemon."""
    return daemon_environment(
        daemon,
        settings.ports,
        mongo_uri=external.get("MONGO_URI")
        or uri(settings.ports["mongod"], daemon, settings.password("mongod", daemon)),
        kafka=_kafka_environment(settings, external, daemon),
        secrets=_secrets(settings, external, daemon),
        mail=_mail_environment(settings, external) if daemon == "notifier" else {},
        cache=_cache_environment(settings, external) if daemon in _ASK_THE_CACHE else {},
        policy={name: external[name] for name in POLICY_VARIABLES if name in external},
    )


def _mail_environment(settings: Settings, external: Mapping[str, str]) -> dict[str, str]:
    """To whom mail is handed over, and where the links in it lead."""
    relay = {} if external.get("SMTP_HOST") else mail_environment(settings.ports["mail"], LOOPBACK)
    return {"PUBLIC_URL": gateway_url(settings.ports["gateway"]), **relay}


def _cache_environment(settings: Settings, external: Mapping[str, str]) -> dict[str, str]:
    if external.get("CACHE_URI"):
        return {}
    return cache_environment(settings.ports["cache"], settings.password("cache", "default"))


def _secrets(settings: Settings, external: Mapping[str, str], daemon: str) -> dict[str, str]:
    """What proves who a daemon is: none has what another one signs or seals with (docs/adr/0005)."""
    keys = settings.service_keys
    callers = CALLERS.get(daemon, ())
    given = {
        "SERVICE_KEY": keys[daemon],
        **{f"{name.upper()}_PUBLIC_KEYS": public_key_of(keys[name]) for name in callers},
    }
    if daemon == "user_api":
        given["JWT_SECRET"] = external.get("JWT_SECRET") or settings.jwt_secret
    if daemon == "banking_api":
        given["CHECKPOINT_KEY"] = settings.checkpoint_key
    return given


def _kafka_environment(settings: Settings, external: Mapping[str, str], daemon: str) -> dict[str, str]:
    if daemon not in KAFKA_CLIENTS:
        return {}
    # Said in any case: a daemon run by hand inherits an environment that may know another Kafka's account.
    if external.get("KAFKA_BROKER"):
        return {**_WITHOUT_ACCOUNT, **{name: text for name, text in external.items() if name in _OF_KAFKA}}
    return account_environment(settings.ports["kafka"], daemon, settings.password("kafka", daemon))


def plan(layout: Layout, settings: Settings, intent: Intent) -> list[Part]:
    """The parts to run, in the order they are shown; writes the configuration of those that read files."""
    own = [name for name in intent.parts if not intent.external.get(INSTEAD_OF.get(name, ""))]
    parts = []
    for name in own:
        port = settings.ports[name]
        if name == "mongod":
            parts.append(mongod_part(layout, settings, intent.tools["mongod"]))
        elif name == "kafka":
            controller = settings.ports["kafka_controller"]
            parts.append(
                kafka_part(
                    layout,
                    intent.tools["java"],
                    intent.tools["kafka"],
                    port=port,
                    controller_port=controller,
                    passwords={
                        name: settings.password("kafka", name) for name in (ADMINISTRATOR, *KAFKA_CLIENTS)
                    },
                )
            )
        elif name == "mail":
            parts.append(mail_part(layout, port))
        elif name == "cache":
            password = settings.password("cache", "default")
            parts.append(cache_part(layout, intent.tools["valkey"], port=port, password=password))
        elif name == "gateway":
            parts.append(gateway_part(layout, intent.tools, settings.ports))
        else:
            # The daemons wait for Kafka by themselves, so their own start need not.
            after = tuple(part for part in ("mongod",) if part in own)
            parts.append(daemon_part(name, port, environment(settings, intent.external, name), after=after))
    return parts
