"""The demo as its users meet it: third-party clients, kill -9, the report."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import sys
from functools import partial

import hl7
import pytest
from hl7.mllp import open_hl7_connection

from tests.integration.ward import ROOT, running
from tests.unit.hl7.messages import MDS, obx
from tests.unit.hl7.messages import message as hl7_message

CLIENTS = ("mosquitto_pub", "coap-client-openssl", "coap-client-gnutls")
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not all(map(shutil.which, CLIENTS)), reason="needs Debian's mosquitto and libcoap clients"
    ),
]


def mqtt(endpoints, identity, topic, payload, *more):
    """mosquitto_pub at QoS 1; the completed process."""
    pair = ["--cert", identity["cert"], "--key", identity["key"]] if identity else []
    return subprocess.run(
        [
            *("mosquitto_pub", "-h", "localhost", "-p", str(endpoints["mqtt"]["port"])),
            *("--cafile", endpoints["ca"], *pair, "-q", "1", "-t", topic),
            *("-i", (identity or endpoints["spare"]).get("device_id", "x")),
            *("-m", json.dumps(payload), *more),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def coap(client, endpoints, identity, path, payload):
    """libcoap's client, POST; the completed process."""
    pair = ["-c", identity["cert"], "-j", identity["key"]] if identity else []
    return subprocess.run(
        [
            *(client, "-v", "6", "-m", "post", "-B", "6", *pair, "-C", endpoints["ca"]),
            *("-R", endpoints["ca"], "-t", "50", "-e", json.dumps(payload)),
            f"coaps://127.0.0.1:{endpoints['coaps']['port']}{path}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=90,
        check=False,
    )


def taken(client, endpoints, identity, payload):
    """Whether libcoap's client hears that it was; it gives up after six seconds."""
    return "c:2.04" in coap(client, endpoints, identity, identity["coap_path"], payload).stdout


async def hl7_exchange(endpoints, identity, device, control_id):
    """MSA-1 and MSA-2 of what the library's own client hears."""
    tls = ssl.create_default_context(cafile=endpoints["ca"])
    tls.load_cert_chain(identity["cert"], identity["key"])
    reader, writer = await open_hl7_connection(**endpoints["mllp"], ssl=tls)
    content = hl7_message(MDS.replace("mon-1", device), obx(), control_id=control_id)
    head = content.decode().replace("|mon-1|", f"|{device}|", 1)
    writer.writemessage(hl7.parse(head))
    await writer.drain()
    answer = await asyncio.wait_for(reader.readmessage(), 30)
    writer.close()
    return [str(answer["MSA"][0][n]) for n in (1, 2)]


def enrolled(endpoints, device_id, directory):
    """A device of its own: curl and openssl with a token; the leaf alone, as EST hands it out."""
    directory.mkdir()

    def run(*arguments):
        done = subprocess.run(arguments, cwd=directory, capture_output=True, check=True, timeout=90)
        return done.stdout

    added = json.loads(run(*endpoints["cli"], "device", "add", device_id, "--json"))
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run(
        *("openssl", "req", "-new", *ec, "-keyout", "key.pem", "-subj", f"/CN={device_id}"),
        *("-outform", "DER", "-out", "req.der"),
    )
    run("openssl", "base64", "-in", "req.der", "-out", "req.b64")
    run(
        *("curl", "-sSf", "--cacert", endpoints["ca"], "-u", f"{device_id}:{added['token']}"),
        *("-H", "Content-Type: application/pkcs10", "--data-binary", "@req.b64", "-o", "cert.b64"),
        f"{endpoints['est']['url']}/simpleenroll",
    )
    run("openssl", "base64", "-d", "-A", "-in", "cert.b64", "-out", "cert.p7")
    run("openssl", "pkcs7", "-inform", "DER", "-in", "cert.p7", "-print_certs", "-out", "cert.pem")
    pair = {"cert": str(directory / "cert.pem"), "key": str(directory / "key.pem")}
    return {"device_id": device_id, **pair}


def restarted(ward, name, gone):
    """Whether a killed process is back under another pid."""
    return ward.endpoints[f"{name}_pid"] != gone


def test_the_ward_with_third_parties_and_kills(tmp_path):
    with running(tmp_path) as ward:
        e = ward.endpoints
        spare, device = e["spare"], e["spare"]["device_id"]

        def message(n):
            return {**e["payload_example"][spare["topic"]], "boot": "third", "n": n}

        ward.wait_for(lambda: ward.rows("SELECT 1 FROM reports WHERE device_id LIKE 'pod%'"))

        newcomer = enrolled(e, "est-1", tmp_path / "est-1")
        mine = partial(mqtt, e, newcomer, "devices/est-1/vitals", message(1))
        ward.wait_for(lambda: mine().returncode == 0)  # as soon as the gateway has heard of it
        ward.wait_for(lambda: ward.rows("SELECT 1 FROM reports WHERE device_id = 'est-1'"))

        # Accepted, both protocol versions, and at the core once however often it is sent.
        assert mqtt(e, spare, spare["topic"], message(1)).returncode == 0
        assert mqtt(e, spare, spare["topic"], message(1), "-V", "mqttv5").returncode == 0
        for n, client in ((2, "coap-client-openssl"), (3, "coap-client-gnutls")):
            ward.wait_for(partial(taken, client, e, spare, message(n)))
        assert asyncio.run(hl7_exchange(e, spare, device, "third:4")) == ["CA", "third:4"]
        assert asyncio.run(hl7_exchange(e, spare, "hl7-monitor-01", "third:18")) == [
            "CR",
            "third:18",
        ]
        for n in (1, 2, 3, 4):
            ward.wait_for(partial(ward.at_core, device, f"third:{n}"))
        assert ward.at_core(device, "third:1") == 1

        # Another device's topic and path, and certificates that must not do.
        assert mqtt(e, spare, e["other_topic"], message(11)).returncode in {0, 1, 7}
        mqtt(e, spare, e["other_topic"], message(12), "-V", "mqttv5")
        coap("coap-client-openssl", e, spare, e["other_coap_path"], message(13))
        for n, who in ((14, "stranger"), (15, "revoked"), (16, "expired")):
            assert mqtt(e, e[who], f"devices/{e[who]['device_id']}/vitals", message(n)).returncode
            coap("coap-client-openssl", e, e[who], spare["coap_path"], message(n))
        assert mqtt(e, None, spare["topic"], message(17)).returncode

        # kill -9 of gateway and core: both come back on the same ports, nothing is lost.
        for name in ("gateway", "core"):
            gone = ward.kill(name)
            ward.wait_for(partial(restarted, ward, name, gone))
        assert ward.endpoints["mqtt"] == e["mqtt"]
        ward.wait_for(
            lambda: (
                mqtt(e, spare, spare["topic"], message(20)).returncode == 0
                and ward.at_core(device, "third:20")
            )
        )
        # Known before the kill, known after it.
        assert mqtt(e, spare, spare["topic"], message(1)).returncode == 0
        ward.wait_for(lambda: mqtt(e, spare, spare["topic"], message(21)).returncode == 0)
        ward.wait_for(lambda: ward.at_core(device, "third:21"))
        assert asyncio.run(hl7_exchange(e, spare, device, "third:4")) == ["CA", "third:4"]
        assert ward.at_core(device, "third:1") == ward.at_core(device, "third:4") == 1

        forbidden = ward.rows(
            "SELECT device_id, message_id FROM reports WHERE message_id GLOB 'third:1[1-8]'"
        )
        assert forbidden == []
        health = subprocess.run(
            [*e["cli"], "device", "list", "--json"], capture_output=True, text=True, check=True
        )
        assert device in health.stdout

        # Nobody is to wait for a device that was revoked, nor is any alarm of it left.
        shown = (
            "SELECT 1 FROM alarms WHERE device_id = ? AND condition = 'drip_stopped' AND phase = ?"
        )
        alarming = {"v": 1, "boot": "third", "n": 30, "alarms": ["stopped"]}
        assert mqtt(e, spare, f"devices/{device}/drip", alarming).returncode == 0
        ward.wait_for(lambda: ward.rows(shown, device, "start"))
        subprocess.run([*e["cli"], "device", "revoke", device], capture_output=True, check=True)
        ward.wait_for(lambda: ward.rows(shown, device, "end"))
        report = ward.finish()
    assert report["lost"] == 0
    assert report["stores_hold"]["core"]["duplicates"] == 0
    transports = {"mqtt", "coap", "mllp", "serial", "lan"}
    assert transports <= set(report["devices_saw"]["by_transport"])
    assert not (tmp_path / "state/endpoints.json").exists()


def test_a_foreign_state_directory_is_not_emptied(tmp_path):
    (tmp_path / "thesis.tex").write_text("three years")
    run = subprocess.run(
        [sys.executable, "-m", "demo", "--state", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "not a demo's" in run.stderr
    assert (tmp_path / "thesis.tex").read_text() == "three years"
