"""A third party's driver: made by `driver new`, installed by itself, found by its entry point."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.domain.errors import ConfigError
from tests.integration.supervised import WAIT_S, Supervised, Ward
from wardgate import driver_new

EXAMPLE = Path(__file__).parents[2] / "examples" / "wardgate-pulse"
LINE = b"$PR,072*1B\r\n"
COMMAND_S_MAX = 300
"""pip and pytest are at work for a while on a machine that others keep busy."""
pytestmark = pytest.mark.timeout(600)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and "egg-info" not in str(path) and path.suffix != ".pyc"
    }


def test_the_example_is_what_the_command_writes(tmp_path):
    assert contents(driver_new.write("pulse", tmp_path)) == contents(EXAMPLE)


def test_another_name_is_used_throughout(tmp_path):
    home = driver_new.write("bed_scale", tmp_path)
    assert home.name == "wardgate-bed-scale"
    written = contents(home)
    assert "wardgate_bed_scale/driver.py" in written
    assert b"class BedScalePort" in written["wardgate_bed_scale/driver.py"]
    assert not any(b"@@" in text or b"pulse_" in name.encode() for name, text in written.items())


@pytest.mark.parametrize("name", ["", "Pulse", "1st", "a-b", "class", "a__b", "a" * 41, "../x"])
def test_a_name_that_can_not_be(name, tmp_path):
    with pytest.raises(ConfigError):
        driver_new.write(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays(tmp_path):
    driver_new.write("pulse", tmp_path)
    with pytest.raises(ConfigError, match="is there already"):
        driver_new.write("pulse", tmp_path)
    with pytest.raises(ConfigError, match="driver list"):
        driver_new.write("mqtt", tmp_path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    copy = tmp_path_factory.mktemp("source") / "wardgate-pulse"
    shutil.copytree(EXAMPLE, copy)
    return copy


@pytest.fixture(scope="module")
def environment(source, tmp_path_factory):
    """One in which the example is installed, and nothing else has changed."""
    target = tmp_path_factory.mktemp("installed")
    options = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *options, "--target", target, source],
        check=True,
        timeout=COMMAND_S_MAX,
    )
    return {**os.environ, "PYTHONPATH": str(target)}


def run(environment, *words, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", *words],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_S_MAX,
    )


def test_it_is_listed_with_its_distribution(environment):
    done = run(environment, "wardgate", "driver", "list", "--json")
    (found,) = [each for each in json.loads(done.stdout) if each["name"] == "pulse"]
    assert found == {
        "name": "pulse",
        "transport": "serial",
        "distribution": "wardgate-pulse",
        "version": "0.1.0",
        "fault": "",
    }
    without = run(os.environ, "wardgate", "driver", "list")
    assert "mqtt_broker" in without.stdout
    assert "pulse" not in without.stdout


def test_it_passes_its_own_tests_and_the_contract(environment, source):
    done = run(environment, "pytest", "-q", "-p", "no:cacheprovider", cwd=source)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "test_while_it_runs" in run(environment, "pytest", "--co", "-q", cwd=source).stdout


@contextlib.contextmanager
def device() -> Iterator[int]:
    """Behind a serial server: a line every now and then, to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        while True:
                            connection.sendall(LINE)
                            time.sleep(0.1)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_a_gateway_reads_its_device(environment, tmp_path, monkeypatch):
    ward = Ward(tmp_path / "ward")
    config = ward.plan.gateway_config
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    with device() as port:
        table = f'device_id = "pulse-1"\nport = "socket://127.0.0.1:{port}"'
        text = (
            f'{config.read_text()}\n[drivers.clip]\ndriver = "pulse"\n\n[[drivers.clip.devices]]\n'
        )
        config.write_text(text + table)
        done = run(environment, "wardgate", "gateway", "check", "--config", str(config))
        assert done.returncode == 0, done.stderr
        gateway = Supervised(config, tmp_path, ward.plan.ports.mqtt)
        try:
            gateway.wait_for("READY=1")
            metrics = f"http://127.0.0.1:{ward.plan.ports.gateway_metrics}/metrics"
            until = time.monotonic() + WAIT_S
            while True:
                with urllib.request.urlopen(metrics, timeout=WAIT_S) as answer:
                    said = answer.read().decode()
                if 'wardgate_sessions{transport="pulse"} 1.0' in said:
                    break
                assert time.monotonic() < until, gateway.words()
                time.sleep(0.1)
        finally:
            assert gateway.end() == 0
    assert "pulse-1 is online" in gateway.log()


def test_without_it_the_configuration_is_refused(tmp_path):
    ward = Ward(tmp_path / "ward")
    config = ward.plan.gateway_config
    config.write_text(f'{config.read_text()}\n[drivers.clip]\ndriver = "pulse"\ndevices = []\n')
    done = run(os.environ, "wardgate", "gateway", "check", "--config", str(config))
    assert done.returncode == 2
    assert "no driver 'pulse' is installed" in done.stderr
    assert "Traceback" not in done.stderr
