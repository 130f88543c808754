"""Setting up: what lies where, with which modes, and that nothing is overwritten."""

import stat

import pytest
from typer.testing import CliRunner

from fleet import cli, config, device_cli, setup, tables
from gateway.clock import SystemClock
from gateway.domain.errors import ConfigError
from gateway.tomlfile import address
from protos.wardgate.v1 import fleet_pb2 as pb
from security import pki, tls
from security.names import Role

CLOCK = SystemClock()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("setup")
    options = setup.InitOptions(
        directory / "fleet",
        directory / "root",
        "ward.example",
        "127.0.0.1:0",
        ("localhost",),
        "admin",
    )
    return setup.init(options, CLOCK), options


def test_the_fleets_host_has_the_issuing_key_and_no_root_key(made):
    done, options = made
    loaded = config.load(done.config)
    issuing = pki.load_authority(loaded.authority)
    assert issuing.trust_domain == "ward.example"
    root_key = pki.load_key(done.root / "ca.key")
    keys = [
        path
        for path in options.directory.rglob("*")
        if path.name.endswith((".key", "key.pem")) and not path.is_symlink()
    ]
    audit_key = loaded.authority / "audit.key"
    assert stat.S_IMODE(audit_key.stat().st_mode) == 0o600
    keys.remove(audit_key)
    assert len(keys) == 3
    for path in keys:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert pki.load_key(path).private_numbers() != root_key.private_numbers()
    tls.check_files(loaded.tls.files)


def test_nothing_is_overwritten(made):
    done, options = made
    with pytest.raises(ConfigError, match="never overwritten"):
        setup.init(options, CLOCK)
    issuing = pki.load_authority(config.load(done.config).authority)
    with pytest.raises(ConfigError, match="holds an identity"):
        setup.issue(
            issuing,
            options.directory / "state" / "fleet.db",
            pki.Subject(Role.OPERATOR, "x"),
            done.operator,
            1,
            CLOCK,
        )


@pytest.mark.parametrize("domain", ["", "Ward.Example", "ward example", "-ward"])
def test_what_is_no_trust_domain_is_refused(tmp_path, domain):
    options = setup.InitOptions(
        tmp_path / "fleet", tmp_path / "root", domain, "127.0.0.1:0", (), "admin"
    )
    with pytest.raises(ConfigError, match="trust domain"):
        setup.init(options, CLOCK)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing required field"),
        ("listen = 1", "listen"),
        ("nonsense = 1", "nonsense"),
        ("[health]\nsilent_after = 1", "silent_after"),
    ],
)
def test_a_wrong_configuration_names_the_key(tmp_path, made, text, message):
    good = made[0].config.read_text()
    path = tmp_path / "fleet.toml"
    path.write_text(f"{text}\n" if not text or "listen" in text else f"{good}\n{text}\n")
    if text == "nonsense = 1":
        path.write_text(f"{text}\n{good}")
    with pytest.raises(ConfigError, match=message):
        config.load(path)


@pytest.mark.parametrize("text", ["", "host", "host:", ":1", "host:x", "host:70000"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError, match="listen"):
        address(text, "listen")
    assert address("[::1]:5", "listen") == ("::1", 5)


def test_the_command_line_asks_who_and_where(tmp_path):
    environment = {
        "WARDGATE_FLEET": "",
        "WARDGATE_IDENTITY": "",
        "WARDGATE_OPERATOR_CONFIG": str(tmp_path / "operator.toml"),
    }
    runner = CliRunner()

    def stderr():
        done = runner.invoke(device_cli.app, ["list"], env=environment)
        assert done.exit_code == 2
        return done.stderr

    assert stderr().startswith("wardgate: where is the fleet service?")
    (tmp_path / "operator.toml").write_text('fleet = "localhost:1"\nidentity = "me"\n')
    assert str(tmp_path / "me" / "key.pem") in stderr()  # relative to the file
    (tmp_path / "operator.toml").write_text('fleet = "localhost:1"\n')
    assert stderr().startswith("wardgate: who is asking?")
    (tmp_path / "operator.toml").write_text("fleet = 1\n")
    assert "operator.toml" in stderr()


def test_every_command_explains_itself():
    for app, names in (
        (cli.app, ("init", "run", "status", "revoke", "configure")),
        (device_cli.app, ("add", "list", "show", "update", "revoke", "command")),
    ):
        told = CliRunner().invoke(app, ["--help"]).stdout
        assert all(name in told for name in names)
        for name in names:
            assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


def test_tables_for_people():
    now = 1_790_000_000_000_000
    device = pb.Device(
        device_id="mon-1",
        ward="icu",
        health=pb.HEALTH_DEGRADED,
        faults=["battery", "clock"],
        standing=pb.STANDING_ACTIVE,
        facts=pb.DeviceFacts(last_seen_us=now - 90_000_000, battery_percent=9),
    )
    shown = tables.devices([device], now).splitlines()
    assert shown[1].split()[:3] == ["mon-1", "icu", "active"]
    assert "degraded (battery, clock)" in shown[1]
    assert "90 s ago" in shown[1]
    assert "battery     9 %" in tables.device(device, now)
    assert tables.ago(0, now) == "never"
    assert tables.ago(now - 3 * 3_600_000_000, now) == "3 h ago"
    assert tables.ago(now + 5, now) == "0 s ago"


@pytest.mark.parametrize(
    ("listen", "port", "listener"),
    [
        ("0.0.0.0:7443", 7444, ("0.0.0.0:7444", "https://fleet.ward.example:7444")),
        ("[::1]:7443", 7444, ("[::1]:7444", "https://fleet.ward.example:7444")),
        ("0.0.0.0:7443", 0, None),
        ("fleet.ward.example:7443", 7444, None),  # that listener takes literal addresses only
    ],
)
def test_a_new_fleet_has_its_enrolment_listener(tmp_path, listen, port, listener):
    hosts = ("fleet.ward.example", "127.0.0.1")
    options = setup.InitOptions(
        tmp_path / "fleet", tmp_path / "root", "ward.example", listen, hosts, "ada", web_port=port
    )
    web = config.load(setup.init(options, CLOCK).config).web
    assert (web and (web.listen, web.url)) == listener


def test_a_configuration_is_checked_before_it_is_used(made, tmp_path):
    done, _ = made
    run = CliRunner().invoke
    path = done.config.with_name("next.toml")
    checked = run(cli.app, ["check", "--config", str(done.config)])
    assert (checked.exit_code, checked.output) == (0, f"{done.config}: ok\n")
    missing = run(cli.app, ["radius", "check", "--config", str(done.config)])
    assert missing.exit_code == 2
    assert "no table [radius]" in missing.output
    secret = tmp_path / "smf"
    table = f"""
[radius]
directory = "radius"
certificate = "cert.pem"
key = "key.pem"
[radius.clients.smf]
address = "10.3.0.4"
secret = "{secret}"
"""
    path.write_text(done.config.read_text() + table)
    assert run(cli.app, ["check", "--config", str(path)]).exit_code == 0
    missing = run(cli.app, ["radius", "check", "--config", str(path)])
    assert (missing.exit_code, "can't read the secret" in missing.output) == (2, True)
    secret.write_text("some secret\n")
    secret.chmod(0o600)
    wrong = run(cli.app, ["radius", "check", "--config", str(path)])
    assert "radius.clients.smf: the secret is empty, or has blanks" in wrong.output
    secret.write_text("a-secret\n")
    assert run(cli.app, ["radius", "check", "--config", str(path)]).output == f"{path}: for smf\n"
    path.write_text(done.config.read_text() + table.replace("address", "adress"))
    wrong = run(cli.app, ["check", "--config", str(path)])
    assert (wrong.exit_code, "radius" in wrong.output) == (2, True)
