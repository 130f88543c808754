"""The configuration of FreeRADIUS 3.2, as files: pure, the same facts give the same bytes.

Rules:

* It is whole: nothing of a distribution's own configuration is used, so nothing of it can let
  anybody in. EAP-TLS alone, TLS 1.2 and later, no session is resumed: each attachment is judged.
* Three things must agree before a device is let in: the chain and the list of revocations
  (OpenSSL); the name in the certificate, a SPIFFE ID that the fleet has noted for its serial
  number; and the facts of the request (both :mod:`fleet.radius.rules`).
* Nothing is started for an attachment: a process for each would cost more than the handshake.
* The table of devices is reloaded by a HUP, and so is who is revoked; the lists of revocations are
  read again by themselves. Everything else takes a restart (:data:`TABLES` says which is which).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from fleet.radius import dictionary, rules
from fleet.radius.config import Client, RadiusTable
from gateway.domain.network import Binding
from gateway.tomlfile import address
from security.names import Role, spiffe_uri

MAIN: Final = "radiusd.conf"
TABLES: Final = frozenset({"devices"})
"""What is reloaded by a HUP; and what lies below ``trust/`` is read again without one."""
LOGGED: Final = {
    "at_s": "%l",
    "client": "%{client:shortname}",
    "session_id": "%{escape:%{Acct-Session-Id}}",
    "user_name": "%{escape:%{User-Name}}",
    "framed_ip": "%{%{Framed-IP-Address}:-%{Framed-IPv6-Prefix}}",
    "device_id": "%{Wardgate-Device}",
    "serial": "%{Wardgate-Serial}",
    "supi": "%{Wardgate-Supi}",
    "reason": "%{Wardgate-Refusal}",
    "imei": "%{Wardgate-Equipment}",
    "dnn": "%{Wardgate-Dnn}",
    "snssai": "%{Wardgate-Slice}",
    "tac": "%{Wardgate-Area}",
}
"""The words of a line in the sessions' log, behind its kind; separated by tabs. What others choose
freely is escaped (``=0A``): else it could be another line."""
TRUST: Final = "trust"
IDENTITY_CERT: Final = "identity/cert.pem"
IDENTITY_KEY: Final = "identity/key.pem"
TRUST_AGAIN_S: Final = 300
"""FreeRADIUS 3.2 takes no less."""
NEWCOMER_WAIT_MS: Final = 1000
"""Whoever begins an attachment, and was not looked at for so long, is left unanswered; an SMF asks
again after some seconds. Behind who is taken in there is never more than so much work."""
HANDSHAKES_MAX: Final = 4096
"""Begun, and not ended: 165 KiB each, and FreeRADIUS keeps one for a minute that goes no further. A
newcomer finds no place beyond it; rarely one that goes on does not, and has to begin anew."""


class Entry(NamedTuple):
    """A certificate that may come, and what its device is bound to."""

    serial: int
    device_id: str
    binding: Binding


class Identity(NamedTuple):
    """The EAP server's, PEM."""

    certificate: bytes
    key: bytes


class Facts(NamedTuple):
    """What there is to know."""

    trust_domain: str
    entries: tuple[Entry, ...]
    trust: Mapping[str, bytes]
    """Authorities and their lists of revocations, by the name that OpenSSL looks for."""
    secrets: Mapping[str, str]
    """Of each client."""
    identity: Identity


def render(table: RadiusTable, facts: Facts) -> dict[str, bytes]:
    """Every file, by its path below the configuration's directory."""
    files = {
        MAIN: _main(table),
        "clients.conf": _clients(table, facts.secrets),
        "policy.conf": _policy(table),
        "dictionary": dictionary.own_dictionary(),
        "dictionary.3gpp": dictionary.vendor_dictionary(),
        "devices": _devices(facts.trust_domain, facts.entries),
    }
    return {
        **{name: text.encode() for name, text in files.items()},
        **{f"{TRUST}/{name}": content for name, content in facts.trust.items()},
        IDENTITY_CERT: facts.identity.certificate,
        IDENTITY_KEY: facts.identity.key,
    }


def serial_text(serial: int) -> str:
    """A serial number as FreeRADIUS tells it: whole octets, lower case."""
    return serial.to_bytes((serial.bit_length() + 7) // 8, "big").hex()


def _devices(trust_domain: str, entries: Iterable[Entry]) -> str:
    """The table: serial number -> its name, and what the device is bound to (users(5))."""
    lines = []
    for each in sorted(entries):
        bound = each.binding
        words = {
            "Device": each.device_id,
            "Name": f"URI:{spiffe_uri(trust_domain, Role.DEVICE, each.device_id)}",
            "Bound-Supi": bound.supi,
            "Bound-Gpsi": bound.gpsi,
            "Bound-Equipment": bound.equipment,
            "Bound-Dnn": bound.dnn,
            "Bound-Slice": bound.snssai,
            "Bound-Slice-Octets": _octets(bound.snssai),
            "Bound-Areas": bound.tacs and f" {' '.join(bound.tacs)} ",
        }
        said = ", ".join(f'Wardgate-{name} := "{word}"' for name, word in words.items() if word)
        lines.append(f"{serial_text(each.serial)} {said}\n")
    return "".join(lines)


def _octets(snssai: str) -> str:
    sst, _, differentiator = snssai.partition("-")
    return f"{rules.OCTETS}{int(sst):02x}{differentiator}" if sst else ""


def _clients(table: RadiusTable, secrets: Mapping[str, str]) -> str:
    return "\n".join(_client(name, each, secrets[name]) for name, each in table.clients.items())


def _client(name: str, client: Client, secret: str) -> str:
    return f"""\
client {name} {{
    ipaddr = {client.address}
    secret = "{secret}"
    require_message_authenticator = yes
    shortname = {name}
    wardgate_map = {client.map}
}}
"""


def _policy(table: RadiusTable) -> str:
    maps = table.all_maps
    parts = [rules.mapping(name, each) for name, each in maps.items()]
    return "\n".join((*parts, rules.chosen(maps), rules.judged()))


def _listen(kind: str, place: str) -> str:
    host, port = address(place, "listen")
    family = "ipv6addr" if ":" in host else "ipaddr"
    return f"""\
    listen {{
        type = {kind}
        {family} = {host}
        port = {port}
    }}
"""


def _main(table: RadiusTable) -> str:
    here = table.in_force / "current"
    return _MAIN.format(
        here=here,
        libraries=table.libraries,
        run=table.run_dir,
        log=table.log,
        sessions=table.sessions,
        certificate=IDENTITY_CERT,
        key=IDENTITY_KEY,
        again=TRUST_AGAIN_S,
        newcomer_wait=NEWCOMER_WAIT_MS,
        handshakes=HANDSHAKES_MAX,
        auth=_listen("auth", table.listen),
        acct=_listen("acct", table.accounting),
        words="".join(f"\t{each}" for each in LOGGED.values()),
    )


_MAIN: Final = """\
# Generated by the fleet service; changes are lost.
prefix = /usr
confdir = {here}
logdir = {run}
raddbdir = {here}
libdir = {libraries}
run_dir = {run}
pidfile = {run}/wardgate.pid
name = wardgate
correct_escapes = true
max_request_time = 30
cleanup_delay = 5
max_requests = 65536
hostname_lookups = no
proxy_requests = no

log {{
    destination = files
    file = {log}
    auth = no
}}
security {{
    allow_core_dumps = no
    max_attributes = 200
    reject_delay = 0
    status_server = no
}}
thread pool {{
    start_servers = 4
    max_servers = 16
    min_spare_servers = 2
    max_spare_servers = 8
    max_requests_per_server = 0
    auto_limit_acct = no
}}

$INCLUDE clients.conf

modules {{
    always reject {{
        rcode = reject
    }}
    always handled {{
        rcode = handled
    }}
    always ok {{
        rcode = ok
    }}
    expr {{
    }}
    eap {{
        default_eap_type = tls
        timer_expire = 60
        ignore_unknown_eap_types = no
        max_sessions = {handshakes}
        tls-config wardgate {{
            private_key_file = {here}/{key}
            certificate_file = {here}/{certificate}
            auto_chain = no
            ca_path = {here}/trust
            ca_path_reload_interval = {again}
            check_crl = yes
            cipher_list = "ECDHE+AESGCM:ECDHE+CHACHA20"
            cipher_server_preference = yes
            tls_min_version = "1.2"
            tls_max_version = "1.3"
            # X25519 first: a device that offers it alone would be asked again, a round more.
            ecdh_curve = "X25519:prime256v1"
            cache {{
                enable = no
            }}
        }}
        tls {{
            tls = wardgate
            virtual_server = wardgate-device
        }}
    }}
    files wardgate_devices {{
        key = "%{{TLS-Client-Cert-Serial}}"
        filename = {here}/devices
    }}
    linelog wardgate_sessions {{
        filename = {sessions}
        permissions = 0640
        reference = "messages.%{{%{{Acct-Status-Type}}:-%{{Wardgate-Outcome}}}}"
        messages {{
            refused = "refused{words}"
            accepted = "accepted{words}"
            Start = "start{words}"
            Interim-Update = "interim{words}"
            Stop = "stop{words}"
            Accounting-On = "restart{words}"
            Accounting-Off = "restart{words}"
        }}
    }}
}}

policy {{
    $INCLUDE policy.conf
    wardgate_leave {{
        update control {{
            &Response-Packet-Type := Do-Not-Respond
        }}
        handled
    }}
}}

server wardgate {{
{auth}{acct}
    authorize {{
        eap {{
            updated = return
            ok = 1
        }}
        if (!ok) {{
            reject
        }}
        # It tells who it is, and so begins. One that has waited already stands behind all those
        # who are being let in: it is left, and asks again. Who has begun is answered.
        # (Divided, so that it is the same for numbers and for text.)
        if ("%{{expr:((%c - %l) * 1000 + (%C - %M) / 1000) / {newcomer_wait}}}" > 0) {{
            wardgate_leave
        }}
        ok
    }}
    authenticate {{
        Auth-Type EAP {{
            eap {{
                fail = 1
                invalid = 1
            }}
            # There is no place for another, or it is no EAP (RFC 3579, 2.2).
            if (fail) {{
                wardgate_leave
            }}
            # It goes on with what is not known here: FreeRADIUS began anew meanwhile, or it waited
            # for too long. To be refused is an answer; to be left is to begin anew. (eaplist_find)
            if (invalid && (&Module-Failure-Message[*] =~ /No EAP session matching state/)) {{
                wardgate_leave
            }}
        }}
    }}
    preacct {{
        wardgate_facts
    }}
    accounting {{
        wardgate_sessions
    }}
    post-auth {{
        # Who was left unanswered comes by here, too.
        if (&Wardgate-Device) {{
            wardgate_facts
            update request {{
                &Wardgate-Outcome := "accepted"
            }}
            wardgate_sessions
        }}
        Post-Auth-Type Challenge {{
            # Words about the handshake, which nobody reads: each request would walk through
            # everybody's (FreeRADIUS 3.2, fr_state_cleanup_find), and be the slower the more wait.
            update {{
                &session-state: !* ANY
            }}
        }}
        Post-Auth-Type REJECT {{
            eap
        }}
    }}
}}

server wardgate-device {{
    authorize {{
        wardgate_facts
        wardgate_devices
        update request {{
            &Wardgate-Device := &control:Wardgate-Device
            &Wardgate-Serial := &TLS-Client-Cert-Serial
        }}
        wardgate_judge
        update outer.request {{
            &Wardgate-Device := &request:Wardgate-Device
            &Wardgate-Serial := &request:Wardgate-Serial
        }}
        update control {{
            &Auth-Type := Accept
        }}
    }}
}}
"""
