"""``ca init | officers | request | approve | sign | issuing | rotate | retire | status | …``.

The root's directory and the site's meet in files only: ``request`` and ``issuing`` run on the
fleet's host, ``approve`` at each officer's desk, ``sign`` where the root is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fleet.cli import issue as issue_any
from fleet.options import one_line_errors

if TYPE_CHECKING:
    from security.pki import Hierarchy
    from security.pki.approvals import Signed

app = typer.Typer(
    help="Authorities: the root, issuing CAs, and how one follows another.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
request_app = typer.Typer(
    help="Ask the root for a signature; officers approve the file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(request_app, name="request")
app.command("issue")(issue_any)

SECONDS_PER_DAY = 86_400

Root = Annotated[Path, typer.Option(help="The root's directory")]
RootCertificate = Annotated[Path, typer.Option(help="The root's certificate (its ca.pem)")]
Authority = Annotated[Path, typer.Option(help="The issuing CA's directory, on the fleet's host")]
Config = Annotated[Path, typer.Option(help="The fleet's configuration; run on its host")]
Out = Annotated[Path, typer.Option(help="Where it goes")]
Reason = Annotated[str, typer.Option(help="For the officers, and the audit log")]
Wait = Annotated[float, typer.Option(min=0.01, max=7, help="Days to be approved within")]
Key = Annotated[
    str, typer.Option(help="Make the key on a token: pkcs11:token=…;object=… (docs/pki.md)")
]


@app.callback()
def main() -> None:
    """Authorities: the root, issuing CAs, and how one follows another."""


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="The root's directory, off every host")],
    trust_domain: Annotated[str, typer.Option(help="Such as ward.hospital.example")],
    key: Key = "",
    days: Annotated[float, typer.Option(min=1, help="How long it is good")] = 20 * 365,
) -> None:
    """Make a root."""
    from fleet import ceremony  # noqa: PLC0415  # late, see fleet.cli
    from gateway.clock import SystemClock  # noqa: PLC0415

    with one_line_errors():
        mark = ceremony.create(directory, trust_domain, days, key, SystemClock())
    typer.echo(f"root            {directory / 'ca.pem'}")
    typer.echo(f"sha256          {mark}")
    typer.echo("next            wardgate ca request issuing, on the fleet's host")


@app.command()
def officers(
    certificates: Annotated[list[Path], typer.Argument(help="Operators' certificates (cert.pem)")],
    root: Root,
) -> None:
    """Name a root's first officers; later ones are requested and approved."""
    from fleet import ceremony  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from security import pki  # noqa: PLC0415

    with one_line_errors():
        found = [pki.load_certificates(path)[0] for path in certificates]
        names = ceremony.name_officers(root, found, SystemClock())
    typer.echo(f"officers: {names}")


@request_app.command("issuing")
def request_issuing(  # noqa: PLR0913, PLR0917  # the options of a command
    authority: Authority,
    root_certificate: RootCertificate,
    out: Out,
    trust_domain: Annotated[
        str, typer.Option(help="The site's, if not the root's own: one below it")
    ] = "",
    dns: Annotated[
        list[str] | None,
        typer.Option(help="Hosts that it may name, and those below; repeatable [default: all]"),
    ] = None,
    days: Annotated[float, typer.Option(min=1, help="How long it is good")] = 5 * 365,
    key: Key = "",
    reason: Reason = "",
    wait: Wait = 7,
) -> None:
    """An issuing CA: makes its key here, and asks for its certificate."""
    from fleet import succession  # noqa: PLC0415

    with one_line_errors():
        csr = succession.request_key(authority, key)
        _write_request(
            out,
            root_certificate,
            wait,
            kind="issuing",
            csr=csr.decode(),
            trust_domain=trust_domain,
            dns=list(dns or ()),
            days=days,
            reason=reason,
        )


@request_app.command("cross")
def request_cross(
    root_certificate: RootCertificate,
    other: Annotated[Path, typer.Option(help="The other root's certificate")],
    out: Out,
    reason: Reason = "",
    wait: Wait = 7,
) -> None:
    """A cross certificate about another root of the same name."""
    with one_line_errors():
        _write_request(
            out, root_certificate, wait, kind="cross", certificates=_pem(other), reason=reason
        )


@request_app.command("crl")
def request_crl(
    root_certificate: RootCertificate,
    out: Out,
    serial: Annotated[
        list[str] | None,
        typer.Option(help="An issuing CA to revoke, hexadecimal; repeatable [default: none more]"),
    ] = None,
    reason: Reason = "",
    wait: Wait = 7,
) -> None:
    """The root's revocation list, with further issuing CAs on it or anew."""
    with one_line_errors():
        _write_request(
            out, root_certificate, wait, kind="crl", serials=list(serial or ()), reason=reason
        )


@request_app.command("officers")
def request_officers(
    certificates: Annotated[
        list[Path], typer.Argument(help="Certificates of everybody who is an officer then")
    ],
    root_certificate: RootCertificate,
    out: Out,
    reason: Reason = "",
    wait: Wait = 7,
) -> None:
    """Other officers."""
    with one_line_errors():
        listed = "".join(_pem(path) for path in certificates)
        _write_request(
            out, root_certificate, wait, kind="officers", certificates=listed, reason=reason
        )


@app.command()
def approve(
    file: Annotated[Path, typer.Argument(help="The request")],
    identity: Annotated[Path, typer.Option(help="Directory of the officer's certificate")],
) -> None:
    """Approve a request; look at it first (`ca show`)."""
    from security import pki  # noqa: PLC0415
    from security.files import TlsFiles, write_atomic  # noqa: PLC0415
    from security.pki import approvals  # noqa: PLC0415

    with one_line_errors():
        files = TlsFiles.within(identity)
        certificate = pki.load_certificates(files.cert)[0]
        signed = approvals.approve(
            approvals.decode(file.read_bytes()), certificate, pki.load_key(files.key)
        )
        write_atomic(file, approvals.encode(signed))
    _show_request(signed)


@app.command()
def sign(
    file: Annotated[Path, typer.Argument(help="The approved request")], root: Root, out: Out
) -> None:
    """Sign what two officers have approved, with the root's key."""
    from fleet import ceremony  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from security.files import write_atomic  # noqa: PLC0415
    from security.pki import approvals  # noqa: PLC0415

    with one_line_errors():
        answer = ceremony.sign(root, approvals.decode(file.read_bytes()), SystemClock())
        write_atomic(out, answer.content)
    typer.echo(f"{answer.said}: {out}")


@app.command()
def issuing(
    answer: Annotated[Path, typer.Argument(help="What the root has signed")],
    authority: Authority,
    new_with_old: Annotated[
        Path | None, typer.Option(help="The old root's cross certificate, if the root changes")
    ] = None,
    old_with_new: Annotated[
        Path | None, typer.Option(help="The new root's cross certificate, if the root changes")
    ] = None,
) -> None:
    """Put an issuing CA in place: the first one, or the next one."""
    from fleet import succession  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from security import pki  # noqa: PLC0415
    from security.pki.hierarchy import Cross  # noqa: PLC0415

    with one_line_errors():
        cross = Cross(
            *(
                tuple(pki.load_certificates(path)) if path else ()
                for path in (new_with_old, old_with_new)
            )
        )
        certificates = pki.load_certificates(answer)
        site = succession.install(authority, certificates, cross, SystemClock())
    _show_site(site)


@app.command()
def rotate(
    config: Config,
    back: Annotated[bool, typer.Option("--back", help="One step back")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Forget the next one")] = False,
) -> None:
    """The next step: both are trusted, then the new one signs."""
    from fleet import config as fleet_config  # noqa: PLC0415
    from fleet import succession  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from security.pki.hierarchy import Step  # noqa: PLC0415

    step = Step.BACK if back else Step.DROP if drop else None
    with one_line_errors():
        site = succession.rotate(fleet_config.load(config), step, SystemClock())
    _show_site(site)


@app.command()
def retire(
    config: Config,
    force: Annotated[
        bool, typer.Option("--force", help="Cut off whoever has no new certificate")
    ] = False,
) -> None:
    """End the old issuing CA: all that it has issued is refused."""
    from fleet import config as fleet_config  # noqa: PLC0415
    from fleet import succession  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415

    with one_line_errors():
        site = succession.retire(fleet_config.load(config), SystemClock(), force=force)
    _show_site(site)


@app.command()
def status(config: Config) -> None:
    """Show the authorities, and who depends on which."""
    from fleet import config as fleet_config  # noqa: PLC0415
    from fleet import succession  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from security.pki import hierarchy  # noqa: PLC0415

    with one_line_errors():
        loaded = fleet_config.load(config)
        site = hierarchy.load(loaded.authority)
        _show_site(site)
        for authority in site.authorities:
            found = succession.holders(loaded, authority, SystemClock())
            typer.echo(
                f"{authority.id:16} {found.certificates} certificates are good;"
                f" {len(found.left_behind)} holders have no other"
            )
            for name in found.left_behind[: succession.NAMED_MAX]:
                typer.echo(f"                 {name}")


@app.command()
def crl(
    config: Config,
    out: Annotated[Path, typer.Option(help="Directory for one list per issuing CA")],
    hours: Annotated[float, typer.Option(min=0.1, max=24 * 30, help="When the next is due")] = 24,
) -> None:
    """Write the issuing CAs' revocation lists (DER), for whoever is not ours."""
    from fleet import config as fleet_config  # noqa: PLC0415
    from fleet import succession  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415

    with one_line_errors():
        out.mkdir(parents=True, exist_ok=True)
        for path, entries in succession.write_crls(
            fleet_config.load(config), out, hours, SystemClock()
        ):
            typer.echo(f"{path}: {entries} entries")


@app.command()
def show(
    file: Annotated[Path | None, typer.Argument(help="A request, or certificates (PEM)")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Instead: what everybody is to trust now, as PEM")
    ] = None,
) -> None:
    """Show a request, certificates, or what is to be trusted."""
    from fleet import config as fleet_config  # noqa: PLC0415
    from gateway.domain.errors import ConfigError, MalformedError  # noqa: PLC0415
    from security import pki  # noqa: PLC0415
    from security.pki import approvals, hierarchy  # noqa: PLC0415

    with one_line_errors():
        if config is not None:
            site = hierarchy.load(fleet_config.load(config).authority)
            typer.echo(pki.to_pem(*site.trust), nl=False)
            return
        if file is None:
            raise ConfigError("show what? A file, or --config for what is to be trusted")
        try:
            signed = approvals.decode(file.read_bytes())
        except MalformedError:
            for each in pki.load_certificates(file):
                typer.echo(f"{each.subject.rfc4514_string()}")
                typer.echo(f"  issuer  {each.issuer.rfc4514_string()}")
                typer.echo(f"  serial  {each.serial_number:X}")
                typer.echo(f"  ends    {each.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
                typer.echo(f"  sha256  {approvals.fingerprint(each)}")
            return
        _show_request(signed)


def _pem(path: Path) -> str:
    """The first certificate of a file alone."""
    from security import pki  # noqa: PLC0415

    return pki.to_pem(pki.load_certificates(path)[0]).decode()


def _write_request(out: Path, root_certificate: Path, wait: float, **what: object) -> None:
    from fleet import ceremony  # noqa: PLC0415
    from gateway.clock import SystemClock  # noqa: PLC0415
    from security import pki  # noqa: PLC0415
    from security.files import write_atomic  # noqa: PLC0415
    from security.pki import approvals  # noqa: PLC0415

    root = pki.load_certificates(root_certificate)[0]
    signed = ceremony.new_request(root, SystemClock(), wait, **what)
    write_atomic(out, approvals.encode(signed))
    _show_request(signed)
    typer.echo(f"next            wardgate ca approve {out} --identity …, by two officers")


def _show_request(signed: Signed) -> None:
    from security import pki  # noqa: PLC0415
    from security.pki import approvals  # noqa: PLC0415

    request = signed.request
    typer.echo(f"request         {request.id}")
    typer.echo(f"root            {request.root}")
    typer.echo(f"until           {pki.moment(request.expires_us):%Y-%m-%d %H:%M} UTC")
    typer.echo(f"reason          {request.reason or '-'}")
    match request.kind:
        case "issuing":
            mark = pki.key_id(pki.read_csr(request.csr.encode())).hex()
            typer.echo(f"asks for        an issuing CA, key {mark}")
            typer.echo(f"trust domain    {request.trust_domain or 'that of the root'}")
            typer.echo(f"hosts           {', '.join(request.dns) or 'all'}")
            typer.echo(f"days            {request.days:g}")
        case "cross" | "officers":
            what = "a cross certificate" if request.kind == "cross" else "other officers"
            typer.echo(f"asks for        {what}")
            for name, mark in _listed(request.certificates):
                typer.echo(f"                {name}  sha256 {mark}")
        case "crl":
            typer.echo(
                f"asks for        a revocation list; more: {', '.join(request.serials) or '-'}"
            )
    for each in signed.approvals:
        for name, _ in _listed(each.certificate):
            typer.echo(f"approved by     {name}")
    if len(signed.approvals) < approvals.OFFICERS_NEEDED:
        typer.echo(f"approvals       {len(signed.approvals)} of {approvals.OFFICERS_NEEDED}")


def _listed(pem: str) -> list[tuple[str, str]]:
    from cryptography import x509  # noqa: PLC0415

    from gateway.domain.errors import MalformedError  # noqa: PLC0415
    from security.pki import approvals  # noqa: PLC0415

    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise MalformedError("request", "it names no certificates") from error
    return [(each.subject.rfc4514_string(), approvals.fingerprint(each)) for each in found]


def _show_site(site: Hierarchy) -> None:
    typer.echo(f"phase           {site.phase}")
    for word, authority in (("present", site.present), ("next", site.coming)):
        if authority is None:
            continue
        scope = authority.scope
        typer.echo(
            f"{word:15} {authority.id}  root {authority.root.serial_number:X}"
            f"  ends {authority.certificate.not_valid_after_utc:%Y-%m-%d}"
            f"  names {scope.trust_domain}, hosts: {', '.join(scope.dns) or 'all'}"
        )
    typer.echo(f"signing         {site.signing.id}")
    for each in site.retired:
        typer.echo(
            f"retired         {each.subject.rfc4514_string()}  serial {each.serial_number:X}"
        )
