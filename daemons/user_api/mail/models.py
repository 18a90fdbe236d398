"""What routes take of mailed codes."""

from typing import Annotated

from pydantic import Field

MailedCode = Annotated[str, Field(min_length=1, max_length=64, repr=False)]
