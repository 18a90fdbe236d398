"""Identifiers on the wire."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from daemons.shared.ids import text_of


@given(st.uuids())
def test_the_text_of_an_id_is_what_python_writes(id_: UUID) -> None:
    assert text_of(id_) == str(id_)
