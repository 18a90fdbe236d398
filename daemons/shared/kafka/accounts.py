"""Makes the accounts of Kafka's clients, with the rights that they are granted and no others."""

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, if not by __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from daemons.contracts.kafka_accounts import KafkaGrant
from daemons.shared.kafka.connection import KafkaCluster

_ITERATIONS = 8192
_TIMEOUT_SECONDS = 30


def prepare_accounts(
    cluster: KafkaCluster, grants: Iterable[KafkaGrant], passwords: Mapping[str, str]
) -> None:
    """Bring accounts, passwords and rights up to date; may be run again at any time.

    Raises:
        KafkaException: the brokers refuse it, or do not answer.
    """
    admin = AdminClient({**cluster.client_settings(), "log_level": 0})
    for grant in grants:
        _set_password(admin, grant.account, passwords[grant.account])
        _set_rights(admin, grant)


def _set_password(admin: AdminClient, account: str, password: str) -> None:
    form = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
    change = UserScramCredentialUpsertion(account, form, password.encode())
    _await(admin.alter_user_scram_credentials([change], request_timeout=_TIMEOUT_SECONDS))


def _set_rights(admin: AdminClient, grant: KafkaGrant) -> None:
    wanted = set(_bindings(grant))
    held = set(admin.describe_acls(_all_of(grant.account), request_timeout=_TIMEOUT_SECONDS).result())
    if taken := [_exactly(binding) for binding in held - wanted]:
        _await(admin.delete_acls(taken, request_timeout=_TIMEOUT_SECONDS))
    if given := list(wanted - held):
        _await(admin.create_acls(given, request_timeout=_TIMEOUT_SECONDS))


def _await(done: Mapping[Any, Future[Any]]) -> None:
    for future in done.values():
        future.result()


def _bindings(grant: KafkaGrant) -> Iterable[AclBinding]:
    for topic in grant.creates:
        yield _allow(grant.account, ResourceType.TOPIC, topic, AclOperation.CREATE)
    for topic in grant.writes:
        yield _allow(grant.account, ResourceType.TOPIC, topic, AclOperation.WRITE)
    for topic in grant.reads:
        yield _allow(grant.account, ResourceType.TOPIC, topic, AclOperation.READ)
    if grant.group is not None:
        yield _allow(grant.account, ResourceType.GROUP, grant.group, AclOperation.READ)


def _allow(account: str, kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    # Who may read or write may also describe: Kafka grants that with either.
    return AclBinding(
        kind,
        name,
        ResourcePatternType.LITERAL,
        f"User:{account}",
        "*",
        operation,
        AclPermissionType.ALLOW,
    )


def _all_of(account: str) -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type]  # whatever its name
        ResourcePatternType.ANY,
        f"User:{account}",
        None,  # type: ignore[arg-type]  # whatever its host
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def _exactly(binding: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )
