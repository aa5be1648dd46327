"""Who may read what: all that producers sent, or each its own where they are isolated."""

from lambdas.api import Caller, Forbidden, caller
from workflows.messages import isolation


def reader_of_all() -> Caller:
    """Return who calls, of a route that shows messages of whichever producer.

    Raises:
        workflows.runtime.refusals.NotSignedIn: the token has expired.
        Forbidden: the caller lacks the role, or sees its own messages only.
    """
    found = caller("producer")
    if isolation.scope(found.email, found.roles):
        raise Forbidden("Producers see their own messages only; this needs the role operator.")
    return found
