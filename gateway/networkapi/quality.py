"""One device's flow and its session: a table, without I/O and without a clock.

Rules:

* A session stands while it is needed and no longer: what ends the need ends it, and what can't be
  ended now is tried again until it has run out by itself.
* Sessions are bounded in length and, with every extension, in sum. What is spent or refused is not
  asked for again until the need has ended once.
* A session that the network takes back early is asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class State(Enum):
    """How far a device's session is."""

    NONE = "none"
    ASKING = "asking"
    """Nobody knows what became of the request."""
    ASKED = "asked"
    """The network has it, and has not decided."""
    GRANTED = "granted"
    SPENT = "spent"
    """Refused, or as long as it may be: what is left of it runs out."""
    ENDING = "ending"


class Input(Enum):
    """What happens: the need and the time at each look, the network's word after each call."""

    NEEDED = "needed"
    NOT_NEEDED = "not needed"
    LOOK_DUE = "look due"
    """Nobody has looked at it for a while."""
    END_NEAR = "end near"
    TOTAL_OVER = "total over"
    """It may not be longer in sum."""
    PENDING = "pending"
    AVAILABLE = "available"
    GONE = "gone"
    """The network has none, or none any more."""
    REFUSED = "refused"
    AWAY = "away"
    """The network can't be asked now."""


class Action(Enum):
    """What is to be done."""

    NOTHING = "nothing"
    ASK = "ask"
    LOOK = "look"
    EXTEND = "extend"
    END = "end"


_NONE, _ASKING, _ASKED, _GRANTED, _SPENT, _ENDING = State
_NOTHING, _ASK, _LOOK, _EXTEND, _END = Action

TABLE: Final[Mapping[tuple[State, Input], tuple[State, Action]]] = {
    **{(_NONE, each): (_NONE, _NOTHING) for each in Input},
    (_NONE, Input.NEEDED): (_ASKING, _ASK),
    (_NONE, Input.LOOK_DUE): (_ASKING, _ASK),
    (_NONE, Input.TOTAL_OVER): (_SPENT, _NOTHING),
    (_ASKING, Input.NEEDED): (_ASKING, _ASK),
    (_ASKING, Input.LOOK_DUE): (_ASKING, _ASK),
    (_ASKING, Input.END_NEAR): (_ASKING, _ASK),
    # One that was made all the same runs out by itself.
    (_ASKING, Input.NOT_NEEDED): (_NONE, _NOTHING),
    (_ASKING, Input.TOTAL_OVER): (_SPENT, _NOTHING),
    (_ASKING, Input.PENDING): (_ASKED, _NOTHING),
    (_ASKING, Input.AVAILABLE): (_GRANTED, _NOTHING),
    (_ASKING, Input.GONE): (_SPENT, _NOTHING),
    (_ASKING, Input.REFUSED): (_SPENT, _NOTHING),
    (_ASKING, Input.AWAY): (_ASKING, _NOTHING),
    (_ASKED, Input.NEEDED): (_ASKED, _NOTHING),
    (_ASKED, Input.NOT_NEEDED): (_ENDING, _END),
    (_ASKED, Input.LOOK_DUE): (_ASKED, _LOOK),
    (_ASKED, Input.END_NEAR): (_ASKED, _LOOK),
    (_ASKED, Input.TOTAL_OVER): (_SPENT, _NOTHING),
    (_ASKED, Input.PENDING): (_ASKED, _NOTHING),
    (_ASKED, Input.AVAILABLE): (_GRANTED, _NOTHING),
    (_ASKED, Input.GONE): (_SPENT, _NOTHING),
    (_ASKED, Input.REFUSED): (_SPENT, _NOTHING),
    (_ASKED, Input.AWAY): (_ASKED, _NOTHING),
    (_GRANTED, Input.NEEDED): (_GRANTED, _NOTHING),
    (_GRANTED, Input.NOT_NEEDED): (_ENDING, _END),
    (_GRANTED, Input.LOOK_DUE): (_GRANTED, _LOOK),
    (_GRANTED, Input.END_NEAR): (_GRANTED, _EXTEND),
    (_GRANTED, Input.TOTAL_OVER): (_SPENT, _NOTHING),
    (_GRANTED, Input.PENDING): (_ASKED, _NOTHING),
    (_GRANTED, Input.AVAILABLE): (_GRANTED, _NOTHING),
    (_GRANTED, Input.GONE): (_NONE, _NOTHING),
    (_GRANTED, Input.REFUSED): (_SPENT, _NOTHING),
    (_GRANTED, Input.AWAY): (_GRANTED, _NOTHING),
    **{(_SPENT, each): (_SPENT, _NOTHING) for each in Input},
    (_SPENT, Input.NOT_NEEDED): (_ENDING, _END),
    # What is needed again meanwhile is asked for when this has ended.
    **{(_ENDING, each): (_ENDING, _END) for each in Input},
    (_ENDING, Input.GONE): (_NONE, _NOTHING),
    (_ENDING, Input.REFUSED): (_NONE, _NOTHING),
    (_ENDING, Input.AWAY): (_ENDING, _NOTHING),
}
