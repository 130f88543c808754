"""The boundary between a session and the reading of one message."""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from gateway.domain.errors import MalformedError, WardgateError

FAULT: Final = "fault"
"""The reason of a message that showed a fault of ours."""

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def one_message(read: Callable[P, T]) -> Callable[P, T]:
    """A fault of ours in reading a message costs that message, and no more.

    Its sender would repeat it for ever, and what it has to say besides would never come; behind a
    broker or an integration engine, nor would what others say. So it is as one that is malformed:
    set aside for the engineer, and answered with the protocol's own error. The log has the place in
    the code, and nothing of what was read.

    Raises:
        MalformedError: ``fault``; and whatever of our errors ``read`` raises.
    """

    @functools.wraps(read)
    def bounded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except WardgateError:
            raise
        except Exception as error:
            place = "".join(traceback.format_tb(error.__traceback__)).rstrip()
            log.error("a fault in reading a message, %s:\n%s", type(error).__name__, place)  # noqa: TRY400  # its text may quote the message
            raise MalformedError(FAULT) from error

    return bounded
