"""Codes that the table of metrics has from elsewhere than the standard."""

import pytest

from drivers.puritan_bennett.fields import LAYOUTS
from drivers.ventilation import codes
from gateway.domain import terms
from tests.unit.ventilation.shared import EVENTS, LABELS, needs_shared

POWER_LOST = 734
"""MDC_EVT_PWR_LOSS is the standard's, and not in the published list."""


@needs_shared
@pytest.mark.shared
def test_settings_have_the_published_labels():
    labels = set(LABELS.read_text().split("\n"))
    settings = [m for m in terms.METRICS.values() if m.code >> 16 == codes.PARTITION_SETTINGS]
    assert len(settings) > 30
    for row in settings:
        name = row.refid.removeprefix("PHILIPS_")
        assert f"NLS_NOM_{name} 0x{row.code:08X}" in labels, name


@needs_shared
@pytest.mark.shared
def test_events_are_the_nomenclatures():
    events = {int(line.split()[1]) for line in EVENTS.read_text().splitlines() if line.strip()}
    for layout in LAYOUTS.values():
        for row in layout.alarms:
            assert row.event >> 16 == codes.PARTITION_EVENTS
            assert row.event & 0xFFFF in events | {POWER_LOST}, row


def test_private_codes_meet_nobody_elses():
    private = [m for m in terms.METRICS.values() if m.code >> 16 == codes.PARTITION_PRIVATE]
    for row in private:
        vendors = row.code & 0xFFFF >= 0xF000
        assert vendors == row.refid.startswith("PHILIPS_"), row
