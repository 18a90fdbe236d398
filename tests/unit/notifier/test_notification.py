"""What people are told, word by word."""

import pytest

from daemons.contracts.names import EventType, Severity
from daemons.contracts.wire import WireModel
from daemons.notifier.event_log.decoding import decode
from daemons.notifier.notifications.notification import Notification, notification_of, severity_of, text_of
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from tests.support.events import (
    ANN,
    BO,
    adjusted,
    changed,
    completed,
    consumed,
    failed,
    funded,
    publishable,
    registered,
    user_changed,
)

_ID = new_id()


@pytest.mark.parametrize(
    ("data", "severity", "text"),
    [
        (
            completed(_ID),
            Severity.INFO,
            '12.34 EUR moved from Ann Berg (0000000017) to account 0000000024 ("rent")',
        ),
        (
            completed(_ID, reference=None),
            Severity.INFO,
            "12.34 EUR moved from Ann Berg (0000000017) to account 0000000024",
        ),
        (
            failed(_ID),
            Severity.WARNING,
            "Transfer of 12.34 EUR from Ann Berg (0000000017) to account 0000000024 was refused: No money.",
        ),
        (
            failed(_ID, kind="funding"),
            Severity.WARNING,
            "Funding of 12.34 EUR from Ann Berg (0000000017) to account 0000000024 was refused: No money.",
        ),
        (
            failed(_ID, kind="adjustment", receiver="adjustment:EUR"),
            Severity.WARNING,
            "Adjustment of 12.34 EUR from Ann Berg (0000000017) to the bank was refused: No money.",
        ),
        (
            completed(_ID, kind="reversal", description="Reversal of transaction X"),
            Severity.WARNING,
            (
                "Reversal of transaction X: 12.34 EUR moved from Ann Berg (0000000017) to account 0000000024 "
                '("rent")'
            ),
        ),
        # Kinds that the notifier knows nothing of.
        (
            completed(_ID, receiver="settlement:EUR", kind="cash_out", description="At the counter"),
            Severity.INFO,
            'At the counter: 12.34 EUR moved from Ann Berg (0000000017) to outside the bank ("rent")',
        ),
        (
            failed(_ID, kind="cash_out", receiver="settlement:EUR"),
            Severity.WARNING,
            "Cash out of 12.34 EUR from Ann Berg (0000000017) to outside the bank was refused: No money.",
        ),
        (
            failed(_ID, kind="cash_out", receiver="settlement:EUR", description="Cash at the counter"),
            Severity.WARNING,
            (
                "Cash at the counter of 12.34 EUR from Ann Berg (0000000017) to outside the bank "
                "was refused: No money."
            ),
        ),
        (
            adjusted(_ID),
            Severity.INFO,
            (
                "12.34 EUR was credited to Ann Berg (0000000017) as a correction, "
                "asked for by Olga Okoye: booked twice"
            ),
        ),
        (
            adjusted(_ID, direction="debit", corrects=str(_ID)),
            Severity.INFO,
            (
                f"12.34 EUR was debited from Ann Berg (0000000017) as a correction of transaction {_ID}, "
                "asked for by Olga Okoye: booked twice"
            ),
        ),
        (
            funded(_ID),
            Severity.INFO,
            "12.34 EUR came in to Ann Berg (0000000017), booked by Olga Okoye",
        ),
        (
            changed("frozen", reason="asked by the police"),
            Severity.WARNING,
            "Account 0000000017 of Ann Berg was frozen by Olga Okoye: asked by the police",
        ),
        (
            changed("unfrozen"),
            Severity.INFO,
            "Account 0000000017 of Ann Berg was unfrozen by Olga Okoye",
        ),
        (changed("closed"), Severity.INFO, "Account 0000000017 of Ann Berg was closed by Olga Okoye"),
        (changed("opened"), Severity.INFO, "Account 0000000017 of Ann Berg was opened by Olga Okoye"),
        (
            changed("type_changed"),
            Severity.INFO,
            "Account 0000000017 of Ann Berg was made a savings account by Olga Okoye",
        ),
        (registered(), Severity.INFO, "Ann Berg (ann@example.com) registered as user"),
        (
            user_changed("status", status="locked"),
            Severity.INFO,
            "Ann Berg (ann@example.com) was locked, by Olga Okoye",
        ),
        (
            user_changed("role", "second_factor", role="support", second_factor=True),
            Severity.INFO,
            "Ann Berg (ann@example.com) is support now, has a second factor, by Olga Okoye",
        ),
        (
            user_changed("display_name", "email", "password", by=ANN),
            Severity.INFO,
            "Ann Berg (ann@example.com) has a new name, has a new address, has a new password",
        ),
        (
            user_changed("status", "second_factor", by=None),
            Severity.INFO,
            "Ann Berg (ann@example.com) was unlocked, has no second factor any more",
        ),
    ],
)
def test_each_event_is_told_in_one_sentence(data: WireModel, severity: Severity, text: str) -> None:
    assert (severity_of(data), text_of(data)) == (severity, text)


def test_a_notification_names_each_account_once() -> None:
    event_id = new_id()
    to_itself = completed(event_id, sender="0000000024")
    event = decode(consumed(publishable(event_id, to_itself)))
    notification = notification_of(event, notification_id=new_id(), created_at=utc_now())
    assert notification.account_ids == ("0000000024",)


def test_a_notification_belongs_to_its_event() -> None:
    event_id, notification_id, now = new_id(), new_id(), utc_now()
    event = decode(consumed(publishable(event_id, failed(event_id))))
    assert notification_of(event, notification_id=notification_id, created_at=now) == Notification(
        id=notification_id,
        event_id=event_id,
        event_type=EventType.TRANSACTION_FAILED,
        channel="log",
        recipient="operations",
        severity=Severity.WARNING,
        text=text_of(event.data),
        account_ids=("0000000017", "0000000024"),
        created_at=now,
    )


def test_parties_and_users_without_a_name_are_told_by_their_number() -> None:
    funding = funded(_ID).model_copy(update={"initiated_by": BO, "reference": "gift"})
    assert text_of(funding) == (
        f'12.34 EUR came in to Ann Berg (0000000017), booked by user {BO.user_id} ("gift")'
    )
