"""A release report for people: as a table in the terminal, and as a page to be printed.

The page needs nothing from elsewhere and runs no script. The report itself lies in it as JSON, so
that a page can be checked like the report: it must be, byte by byte, what :func:`html` makes of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from html import escape
from itertools import groupby

import msgspec

from gateway.domain.decoding import UNDECODABLE
from gateway.domain.labels import Treatment
from gateway.releasereport.report import Answer, Report, Row, answer, load, time
from security.audit import AuditBrokenError
from security.policy.words import LEAVES, LEVELS

_MARK = '<script type="application/json" id="report">'
_END = "</script>"
_STYLE = """
@page { size: A4 landscape; margin: 14mm }
body { font: 10pt/1.4 "DejaVu Sans", "Helvetica Neue", Arial, sans-serif; color: #111;
  max-width: 270mm; margin: 0 auto; padding: 6mm }
h1 { font-size: 17pt; margin: 0 0 1mm } h2 { font-size: 12pt; margin: 7mm 0 2mm }
p { margin: 1mm 0 } .facts { color: #444 }
.answer { border: 1.5pt solid #111; padding: 3mm 5mm; margin: 5mm 0; break-inside: avoid }
.answer strong { font-size: 12pt }
table { border-collapse: collapse; width: 100%; font-size: 8.5pt }
th, td { text-align: left; vertical-align: top; padding: 1.2mm 2mm; border-bottom: .4pt solid #bbb }
th { border-bottom: 1pt solid #111; background: #f2f2f2 } tr { break-inside: avoid }
thead { display: table-header-group }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
td.t { white-space: nowrap } .withhold td { color: #555 }
.mono { font-family: "DejaVu Sans Mono", monospace; font-size: 7.5pt; overflow-wrap: anywhere }
@media print { body { padding: 0; max-width: none } th { background: none } }
"""


def sentences(report: Report, found: Answer) -> list[str]:
    """The answer to the question whether identifiable data left the campus, in words."""
    if not found.outside:
        return ["No destination outside the campus received anything."]
    where = ", ".join(found.outside)
    said = [
        (
            f"Of level 4 or 5 (identifies a person), {_many(found.identifying)} left the campus"
            f" unchanged (destinations outside it: {where})."
        )
    ]
    said.append(
        f"Of these levels, {_treated(found.changed)} left in a treated shape;"
        f" {_many(found.withheld)} were withheld from destinations outside."
    )
    said.append(
        f"Of lower levels, {_many(found.unchanged)} left the campus unchanged, and"
        f" {_treated(found.lower)} in a treated shape."
    )
    if not report.complete:
        said.append(f"The last day is told until {time(report.until_us)} only.")
    return said


def _treated(found: dict[str, int]) -> str:
    return ", ".join(f"{n:,} ({name})" for name, n in sorted(found.items())) or "no records"


def _many(records: int) -> str:
    return f"{records:,} record{'' if records == 1 else 's'}" if records else "no records"


def table(report: Report) -> Iterator[str]:
    """Lines for a terminal."""
    yield _title(report)
    yield ""
    form = "{:<20} {:>2} {:<13} {:>12} {:>14}  {:<20} {:<20}  {}"
    for name, group in groupby(report.rows, lambda row: row.destination):
        yield f"{name} ({_recipient(report, name)})"
        yield form.format("class", "lv", "treatment", "records", "bytes", "first", "last", "rules")
        for row in group:
            yield form.format(
                row.data_class,
                row.level,
                row.treatment,
                f"{row.records:,}",
                f"{row.bytes:,}",
                time(row.first_us),
                time(row.last_us),
                f"{_rules(row)} [{row.policy[:8]}]",
            ).rstrip()
        yield ""
    yield from sentences(report, answer(report))


def html(report: Report) -> bytes:
    """The page."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(_title(report))}</title><style>{_STYLE}</style></head><body>",
        f"<h1>Release report</h1><p class=facts>{escape(_title(report))}<br>",
        (
            f"Days are of UTC. Made {time(report.made_us)}; releases are told until"
            f" {time(report.until_us)} (period {report.period}).</p>"
        ),
        "<div class=answer><p><strong>Did identifiable data leave the campus?</strong></p>",
        *(f"<p>{escape(said)}</p>" for said in sentences(report, answer(report))),
        "</div>",
    ]
    for name, group in groupby(report.rows, lambda row: row.destination):
        parts.append(f"<h2>{escape(name)} ({escape(_recipient(report, name))})</h2>")
        parts.append(
            "<table><thead><tr><th>class</th><th>level</th><th>treatment</th><th class=n>records"
            "</th><th class=n>bytes</th><th>first</th><th>last</th><th>by the rules</th>"
            "<th>policy</th></tr></thead><tbody>"
        )
        parts += [_row(row) for row in group]
        parts.append("</tbody></table>")
    parts.append("<h2>What the words mean</h2>")
    used = {row.treatment for row in report.rows}
    parts += [
        f"<p><b>{each.name.lower()}</b>: {escape(LEAVES[each])}.</p>"
        for each in Treatment
        if each.name.lower() in used
    ]
    levels = "; ".join(f"{level}: {words}" for level, words in LEVELS.items())
    parts.append(f"<p><b>level</b>: {escape(levels)}.</p>")
    parts.append(_proof(report))
    embedded = report.encoded().decode().replace("<", "\\u003c")
    parts.append(f"{_MARK}{embedded}{_END}</body></html>\n")
    return "\n".join(parts).encode()


def read(content: bytes, where: str) -> Report:
    """A report from its file: the JSON, or a page.

    Raises:
        AuditBrokenError: it is not, byte by byte, what was written.
    """
    if not content.startswith(b"<!DOCTYPE html>"):
        return load(content, where)
    _, _, rest = content.partition(_MARK.encode())
    embedded, _, _ = rest.partition(_END.encode())
    try:
        report = msgspec.json.decode(embedded, type=Report)
    except UNDECODABLE as error:
        raise AuditBrokenError(f"{where}: no page of a report") from error
    if html(report) != content:
        raise AuditBrokenError(f"{where}: the page does not say what its report says")
    return report


def _row(row: Row) -> str:
    cells = [
        f"<td>{escape(row.data_class.replace('_', ' '))}</td><td>{row.level}</td>",
        f"<td>{escape(row.treatment)}</td>",
        f"<td class=n>{row.records:,}</td><td class=n>{row.bytes:,}</td>",
        f"<td class=t>{time(row.first_us)}</td><td class=t>{time(row.last_us)}</td>",
        f"<td>{escape(_rules(row))}</td><td class=mono>{escape(row.policy[:16])}</td>",
    ]
    return f'<tr class="{escape(row.treatment)}">{"".join(cells)}</tr>'


def _rules(row: Row) -> str:
    if row.decided == "both":
        return "the stricter of the policies at collection and at release"
    words = ", ".join(row.rules) or ("no rule permits more" if row.treatment == "withhold" else "")
    return f"{words} (at collection)" if row.decided == "collection" else words


def _recipient(report: Report, name: str) -> str:
    who = report.recipients().get(name)
    if who is None:
        return "not known any more"
    return f"zone {who.zone}, purpose {who.purpose}, tenant {who.tenant}"


def _title(report: Report) -> str:
    whom = f", to {', '.join(report.destinations)}" if report.destinations else ""
    return f"{report.gateway}, {report.first_day} to {report.last_day}{whom}"


def _proof(report: Report) -> str:
    head = report.head
    digest = hashlib.sha256(report.encoded()).hexdigest()
    versions = ", ".join(policy.version[:16] for policy in report.policies)
    return (
        "<h2>How to check it</h2><p>This page is checked, byte by byte, against the gateway's audit"
        " log and its public key, without the gateway:</p>"
        "<p class=mono>wardgate audit verify LOG --key audit.pub --report THIS_PAGE.html</p>"
        f"<p>Policies: <span class=mono>{escape(versions)}</span>. State of the log: {head.size:,}"
        f" entries, root <span class=mono>{escape(head.root)}</span>, signed {time(head.us)}.</p>"
        f"<p>SHA-256 of the report: <span class=mono>{digest}</span>. Signature (Ed25519, key"
        f" <span class=mono>{escape(report.key)}</span>): <span class=mono>"
        f"{escape(report.signature)}</span></p>"
    )
