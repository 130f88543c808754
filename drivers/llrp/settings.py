"""What a reader is to do, as the configuration says it: antennas, power, how it looks for tags."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

ANTENNAS_MAX: Final = 64
INPUTS_MAX: Final = 32
POWER_DBM_MAX: Final = 36.0
"""What any region allows an antenna, its gain included; the reader's own table is lower."""
POPULATION_MAX: Final = 65_535
REPORT_MS_MIN, REPORT_MS_MAX = 100, 60_000
REPORT_TAGS_MAX: Final = 512
"""A report of so many takes 30 KiB, a quarter of what is read."""
KEEPALIVE_S_MIN, KEEPALIVE_S_MAX = 1.0, 60.0
ANSWER_S_MIN, ANSWER_S_MAX = 0.5, 60.0
READER_ID_HEX_MAX: Final = 128


class ReaderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One reader's; what is left out is the reader's own setting."""

    antennas: tuple[int, ...] = ()
    """AntennaIDs; none: all."""
    power_dbm: float | None = None
    """Transmit power; the reader's next lower step is taken."""
    power_dbm_of: dict[str, float] = {}
    """The same for single antennas: ``{ "3" = 18.0 }``."""
    rf_mode: int | None = None
    """ModeIndex of the reader's table of modes (UHFC1G2RFModeTable)."""
    session: Literal[0, 1, 2, 3] = 1
    """Gen2 session: how long a tag keeps quiet after it was read."""
    population: int = 64
    """About how many tags an antenna has before it."""
    search_mode: Literal[
        "", "reader_selected", "single_target", "dual_target", "single_target_with_suppression"
    ] = ""
    """Impinj readers alone. For a cabinet: ``dual_target``, which reads each tag again and again;
    ``single_target`` reads it once and then finds nothing."""
    report_tags: int = 64
    """A report is told at this many tags …"""
    report_ms: int = 1000
    """… or after this time, in which a tag that was read more often is one entry with a count. 0:
    each read by itself, and ``report_tags`` is 1."""
    inputs: tuple[int, ...] = ()
    """General-purpose inputs that are listened to; none: all."""
    keepalive_s: float = 5.0
    """How often the reader says that it is there; three times as long without a word is a loss."""
    answer_s: float = 10.0
    """For the answer to a question; readers take up to a second or two."""
    hold: bool = True
    """A reader without a connection goes on reading and keeps what it saw for later, if it can."""
    reader_id: str = ""
    """Hexadecimal, as the reader tells it (Identification): one that tells another is not read.
    Finds a wrong address or cable, and is no proof."""

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """What a configuration must keep to.

        Raises:
            ValueError: it doesn't.
        """
        _numbers("antennas", self.antennas, ANTENNAS_MAX)
        _numbers("inputs", self.inputs, INPUTS_MAX)
        if not self.report_ms and self.report_tags != 1:
            # Fewer tags than that would never be told.
            raise ValueError("with report_ms = 0, report_tags must be 1")
        for antenna in self.power_dbm_of:
            if not antenna.isdecimal() or not 1 <= int(antenna) <= ANTENNAS_MAX:
                raise ValueError(f"power_dbm_of: {antenna!r} is no antenna")
        for what, value, least, most in (
            ("power_dbm", self.power_dbm or 0.0, 0.0, POWER_DBM_MAX),
            *(("power_dbm_of", dbm, 0.0, POWER_DBM_MAX) for dbm in self.power_dbm_of.values()),
            ("population", self.population, 1, POPULATION_MAX),
            ("report_tags", self.report_tags, 1, REPORT_TAGS_MAX),
            ("report_ms", self.report_ms or REPORT_MS_MIN, REPORT_MS_MIN, REPORT_MS_MAX),
            ("keepalive_s", self.keepalive_s, KEEPALIVE_S_MIN, KEEPALIVE_S_MAX),
            ("answer_s", self.answer_s, ANSWER_S_MIN, ANSWER_S_MAX),
        ):
            if not least <= value <= most:
                raise ValueError(f"{what} must be {least} to {most}")
        try:
            bytes.fromhex(self.reader_id)
        except ValueError:
            raise ValueError("reader_id is not hexadecimal") from None
        if len(self.reader_id) > READER_ID_HEX_MAX:
            raise ValueError("reader_id is too long")


def _numbers(what: str, numbers: tuple[int, ...], most: int) -> None:
    if len(set(numbers)) != len(numbers) or any(not 1 <= each <= most for each in numbers):
        raise ValueError(f"{what} must be different numbers from 1 to {most}")
