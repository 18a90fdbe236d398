"""The walk of one transfer in docs/architecture.md: short, of files that exist, and the one that is taken."""

import asyncio
import re
import sys
from pathlib import Path
from types import FrameType

from tests.support.bank import CLOSED_PORT, people, running_bank

ROOT = Path(__file__).parents[2]
BANKING_API = ROOT / "daemons" / "banking_api"
WALK = {
    int(number): path
    for number, path in re.findall(
        r"^\| (\d+) \| `([^`]+)` \|", (ROOT / "docs" / "architecture.md").read_text("utf-8"), re.MULTILINE
    )
}
TO_DATABASE = {path for number, path in WALK.items() if 9 <= number <= 20}
# What the page names beside the walk: values, and how they are written.
BESIDE = {
    "transactions/batch.py",
    "money.py",
    "kinds/money.py",
    "ledger/record.py",
    "ledger/account.py",
    "ledger/seal.py",
    "ledger/documents.py",
    "ledger/recent_keys.py",
}
BACKGROUND = ("ledger-", "relay-", "checkpoints")
"""Tasks of a daemon that run beside any request."""


class Followed:
    """The files of banking_api in which something was called from the handler until the group is stored."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._is_in_handler = False
        self._is_stored = False

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        path = Path(code.co_filename)
        if self._is_stored or event != "call" or not path.is_relative_to(ROOT / "daemons"):
            return
        name = path.relative_to(ROOT).as_posix()
        if (name, code.co_name) == ("daemons/banking_api/transactions/routes.py", "transfer"):
            self._is_in_handler = True
        if not self._is_in_handler or _in_background():
            return
        if path.is_relative_to(BANKING_API) or name == "daemons/shared/mongo.py":
            self.files.add(name)
        self._is_stored = (name, code.co_name) == ("daemons/shared/mongo.py", "insert_all")


def _in_background() -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.get_name().startswith(BACKGROUND)


def test_the_walk_is_short_and_of_files_that_exist() -> None:
    assert sorted(WALK) == list(range(1, len(WALK) + 1))
    assert len(set(WALK.values())) == len(WALK) <= 35
    assert len(TO_DATABASE) == 12
    assert [path for path in WALK.values() if not (ROOT / path).is_file()] == []


async def test_a_transfer_takes_that_walk_to_the_database(mongo_uri: str) -> None:
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as bank:
        alice, _, _, sender, receiver = await people(bank)
        followed = Followed()
        before = sys.getprofile()
        sys.setprofile(followed)
        try:
            answer = await alice.transfer(sender, receiver, "1.00")
        finally:
            sys.setprofile(before)
    assert answer.status_code == 201, answer.text
    assert followed.files == TO_DATABASE | {f"daemons/banking_api/{path}" for path in BESIDE}
