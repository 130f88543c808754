"""What runs beside the fleet's service."""

import asyncio

from fleet.daemon import _beside


async def test_work_that_ends_in_a_fault_is_told_and_ends_nothing_else(caplog):
    goes_on = asyncio.Event()
    ended = []

    async def fails():
        raise ZeroDivisionError

    async def works():
        try:
            await goes_on.wait()
        finally:
            ended.append(goes_on.is_set())

    async with _beside(fails(), works()):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not ended
    assert ended == [False]
    (told,) = [each for each in caplog.records if each.exc_info]
    assert told.exc_info[0] is ZeroDivisionError
    assert "fails" in told.getMessage()
