"""A device in a namespace: connects by MQTT, and sends a report for each line that it is told.

Arguments: host, port, device id, certificate, key, CA. Says ``connected``, then ``acknowledged`` or
``refused`` and the message's id; before a session, ``refused`` and why.
"""

import secrets
import ssl
import sys
import threading
import time

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

WAIT_S = 90.0
host, port, name, cert, key, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.load_cert_chain(cert, key)
client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5)
client.tls_set_context(context)
connected = threading.Event()
gone = threading.Event()


def on_connect(
    _client: object, _data: object, _flags: object, reason: ReasonCode, _: object
) -> None:
    """Say it once: the library may come again by itself, while somebody waits for an answer."""
    if not reason.is_failure and not connected.is_set():
        connected.set()
        print("connected", flush=True)


client.on_connect = on_connect
answers: dict[int, bool] = {}


def on_publish(_client: object, _data: object, mid: int, reason: ReasonCode, *_: object) -> None:
    answers[mid] = not reason.is_failure


client.on_publish = on_publish
client.on_disconnect = lambda *_: gone.set()
try:
    client.connect(host, int(port))
    client.loop_start()
    while not connected.wait(0.05):
        if gone.is_set():
            raise ConnectionError("the session was ended before it began")
    boot = secrets.token_hex(4)
    for n, _ in enumerate(sys.stdin, 1):
        now = time.time_ns() // 1_000_000
        payload = f'{{"v":1,"boot":"{boot}","n":{n},"t":{now},"hr":72.0}}'
        sent = client.publish(f"devices/{name}/vitals", payload, qos=1)
        sent.wait_for_publish(WAIT_S)
        taken = sent.is_published() and answers.get(sent.mid, False)
        print(f"{'acknowledged' if taken else 'refused'} {boot}:{n}", flush=True)
except (OSError, ValueError, RuntimeError) as error:
    print(f"refused {type(error).__name__} {error}", flush=True)
