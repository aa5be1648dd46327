"""What a message may not exceed: its size, and how often it is redriven."""

from workflows.runtime.refusals import Conflict, TooLarge

# SQS counts message attributes as size; the reasons that we add must fit beside any accepted body.
ATTRIBUTE_RESERVE_BYTES = 1_024


class RedriveLimitReached(Conflict):
    """The message was redriven as often as it may and failed each time."""

    code = "redrive_limit_reached"


class MessageTooLarge(TooLarge):
    """The message is larger than the queues take."""

    code = "message_too_large"

    def __init__(self, size: int, limit: int) -> None:
        """Take both in bytes of the encoded envelope."""
        super().__init__(f"The message is {size} bytes long; the limit is {limit} bytes.")
        self.size = size
        self.limit = limit


def check_size(body: str, limit: int) -> None:
    """Raise `MessageTooLarge` if the body and its future attributes exceed `limit` bytes."""
    if len(body.encode()) > limit - ATTRIBUTE_RESERVE_BYTES:
        raise MessageTooLarge(len(body.encode()), limit - ATTRIBUTE_RESERVE_BYTES)
