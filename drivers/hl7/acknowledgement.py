"""ACK messages (HL7 v2.6, 2.9.2, 2.9.3 and 2.14.1; IHE PCD TF-2, appendix B.1).

- Enhanced mode, where MSH-15 or MSH-16 is valued: the accept acknowledgement CA, CE or CR as MSH-15
  asks (``AL`` always, ``NE`` never, ``ER`` on errors, ``SU`` on success; empty beside a valued
  MSH-16 means never), and an application acknowledgement AA, AE or AR as MSH-16 asks.
- Original mode, where both are empty: AA, AE or AR, always.
- C or A ``E`` says: not now, send it again. ``R`` says: not this message, ever.
- MSA-2 is MSH-10 of the message and of no other. Who sent it becomes who receives.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from drivers.hl7 import mllp
from drivers.hl7.codec import Header
from drivers.hl7.values import write_time

VERSION: Final = "2.6"
OURSELVES: Final = "WARDGATE"
NAME_CHARACTERS_MAX: Final = 256
"""Of a field that is given back."""


class Problem(NamedTuple):
    """Why a message is not taken over."""

    code: int
    """HL7 table 0357."""
    text: str
    retry: bool = False
    """Whether to send it again helps."""


SEQUENCE: Final = Problem(100, "Segment sequence error")
REQUIRED: Final = Problem(101, "Required field missing")
DATA_TYPE: Final = Problem(102, "Data type error")
TABLE_VALUE: Final = Problem(103, "Table value not found")
MESSAGE_TYPE: Final = Problem(200, "Unsupported message type")
EVENT: Final = Problem(201, "Unsupported event code")
PROCESSING_ID: Final = Problem(202, "Unsupported processing id")
VERSION_ID: Final = Problem(203, "Unsupported version id")
UNKNOWN_KEY: Final = Problem(204, "Unknown key identifier")
FAULTY: Final = Problem(207, "Application internal error")
NOT_STORED: Final = FAULTY._replace(retry=True)

_SUCCESS, _FAILURE = ("AL", "SU"), ("AL", "ER")
_TYPES = frozenset(("AL", "NE", "ER", "SU", ""))


def answers(header: Header, problem: Problem | None, now_us: int, control_id: str) -> bytes:
    """The frames that answer a message; empty where its sender wants none.

    Args:
        header: of the message, as far as it could be read.
        problem: None when it is durable.
        now_us: for MSH-7.
        control_id: of our answer; a second one gets an ``A`` behind it.
    """
    outcome = "A" if problem is None else "E" if problem.retry else "R"
    if not header.enhanced:
        return _frame(header, f"A{outcome}", problem, now_us, control_id)
    wanted = _SUCCESS if problem is None else _FAILURE
    frames = b""
    if _asked(header.accept) in wanted:
        frames += _frame(header, f"C{outcome}", problem, now_us, control_id)
    if _asked(header.application_accept) in wanted:
        frames += _frame(header, f"A{outcome}", problem, now_us, f"{control_id}A")
    return frames


def _asked(word: str) -> str:
    """A word that is in no table asks for an answer always: silence would be the worse guess."""
    return word if word in _TYPES else "AL"


def _frame(
    header: Header, code: str, problem: Problem | None, now_us: int, control_id: str
) -> bytes:
    encoding = header.encoding
    between, part = encoding.field, encoding.component
    marks = encoding.component + encoding.repetition + encoding.escape + encoding.subcomponent
    trigger = header.trigger if header.trigger.isalnum() and len(header.trigger) <= 3 else ""
    msh = (
        "MSH",
        marks,
        _given_back(header.receiving_application) or OURSELVES,
        _given_back(header.receiving_facility),
        _given_back(header.application),
        _given_back(header.facility),
        write_time(now_us),
        "",
        part.join(("ACK", trigger, "ACK")) if trigger else "ACK",
        control_id,
        _given_back(header.processing_id) or "P",
        _given_back(header.version) or VERSION,
        *[""] * 5,
        _given_back(header.charset),
    )
    segments = [between.join(msh), between.join(("MSA", code, header.control_id))]
    if problem is not None:
        error = part.join((str(problem.code), problem.text, "HL70357"))
        segments.append(between.join(("ERR", "", "", error, "E")))
    text = "".join(f"{segment.rstrip(between)}\r" for segment in segments)
    return mllp.frame(text.encode(header.codec, "replace"))


def _given_back(field: str) -> str:
    """A field of the sender's; nothing if it is longer or stranger than a name."""
    plain = len(field) <= NAME_CHARACTERS_MAX and all(c >= " " for c in field)
    return field if plain else ""
