"""user_api's audit trail, as it is stored and as it is proved."""

from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.user_api import PASSWORD, Person, UserApi

Record = dict[str, Any]


def trail(api: UserApi, *actions: str) -> list[Record]:
    """Return the records of these actions, oldest first; all of them if none is named."""
    return [record for record in api.stored("audit")["audit"] if not actions or record["action"] in actions]


async def login(api: UserApi, email: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    headers = {"X_Request_Id": "trace-1", "X_Forwarded_For": "192.0.2.1"}
    body = {"email": email, "password": password, **more}
    return await api.call("POST", "/auth/login", body, **headers)


async def proof(api: UserApi, reader: Person, anchor: Mapping[str, Any] | None = None) -> Record:
    query = f"?count={anchor['count']}&hash={anchor['hash']}" if anchor else ""
    answer = await api.call("GET", f"/audit/users/proof{query}", token=reader.token)
    assert answer.status_code == 200, answer.text
    document: Record = answer.json()
    return document
