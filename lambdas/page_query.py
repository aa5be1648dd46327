"""The query parameters of every list that comes in pages."""

import re
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import BeforeValidator


def _whole(value: object) -> object:
    # Python reads more as a number: 1_0, 5.0, the digits of other alphabets.
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,9}", value):
        raise ValueError("must be a whole number, written in digits")
    return value


Limit = Annotated[
    int, BeforeValidator(_whole), Query(ge=1, le=100, description="At most so many a page.")
]
Cursor = Annotated[str | None, Query(description="From the page before.")]
