"""``python -m fleet --config FILE`` serves; ``python -m fleet COMMAND`` is ``wardgate fleet``."""

import sys

from fleet.cli import app
from fleet.device_cli import app as device_app

app.add_typer(device_app, name="device")

if sys.argv[1:2] == ["--config"]:
    sys.argv.insert(1, "run")
app(prog_name="fleet")
