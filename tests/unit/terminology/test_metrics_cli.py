"""``wardgate metrics``, as people and as machines read it."""

import json
import re
import sys

import pytest

from gateway import plugins
from gateway.domain import terms
from wardgate.main import run


@pytest.fixture
def said(monkeypatch, capsys):
    """Run it; the exit code, and what it printed."""

    def runs(*arguments):
        monkeypatch.setattr(sys, "argv", ["wardgate", "metrics", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return runs


def test_the_table(said):
    code, out, _ = said("list", "abp", "mean")
    head, row, _, count = out.splitlines()
    assert code == 0
    assert re.split(r"\s+", head)[::7] == ["CODE", "CHINESE"]
    assert row.split()[:6] == ["150039", "MDC_PRESS_BLD_ART_ABP_MEAN", "mm[Hg]", "1", "to", "400"]
    assert row.endswith("ABP mean  有创动脉平均压")
    assert count == "1 metrics"


def test_everything_for_machines(said):
    _, out, _ = said("list", "--json")
    rows = json.loads(out)
    assert {row["code"] for row in rows} == set(terms.METRICS)
    spo2 = next(row for row in rows if row["code"] == terms.SPO2)
    assert spo2 == {
        "code": 150456,
        "refid": "MDC_PULS_OXIM_SAT_O2",
        "unit": "%",
        "low": 1.0,
        "high": 100.0,
        "class": "health_status",
        "level": 3,
        "english": "SpO2",
        "chinese": "血氧饱和度",
    }
    drug = next(row for row in rows if row["code"] == terms.DRUG_NAME)
    assert (drug["unit"], drug["low"], drug["high"]) == ("", None, None)


@pytest.mark.parametrize(
    ("filters", "metric", "missing"),
    [
        (["心率"], "MDC_ECG_HEART_RATE", "MDC_TEMP"),
        (["--level", "2"], "MDC_ATTR_VAL_BATT_CHARGE", "MDC_TEMP"),
        (["--class", "medical_application"], "MDC_FLOW_FLUID_PUMP", "MDC_TEMP"),
        (["--unit", "Cel"], "MDC_TEMP", "MDC_ECG_HEART_RATE"),
        (["--in", "[degF]"], "MDC_TEMP", "MDC_ECG_HEART_RATE"),
        (["--in", "Hz"], "MDC_ECG_HEART_RATE", "MDC_TEMP"),
    ],
)
def test_filters(said, filters, metric, missing):
    _, out, _ = said("list", "--json", *filters)
    found = {row["refid"] for row in json.loads(out)}
    assert metric in found
    assert missing not in found


def test_ranges_in_another_unit(said):
    _, out, _ = said("list", "--json", "MDC_TEMP", "--in", "[degF]")
    row = next(row for row in json.loads(out) if row["refid"] == "MDC_TEMP")
    assert (row["unit"], row["low"], row["high"]) == ("[degF]", 50.0, 122.0)


def test_nothing_found(said):
    assert said("list", "nosuchmetric") == (0, "no metric is like this\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["98.6", "[degF]", "Cel"], "98.6 [degF] = 37 Cel"),
        (["-40", "Cel", "[degF]"], "-40 Cel = -40 [degF]"),
        (["16", "kPa", "mm[Hg]"], "16 kPa = 120.01 mm[Hg]"),
        (["1", "m[Hg]", "mm[Hg]"], "1 m[Hg] = 1000 mm[Hg]"),
    ],
)
def test_conversion(said, arguments, words):
    assert said("convert", *arguments) == (0, f"{words}\n", "")


def test_conversion_for_machines(said):
    _, out, _ = said("convert", "--json", "1", "min", "s")
    assert json.loads(out) == {"value": 60.0, "unit": "s"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convert", "1", "furlong", "m"], "'furlong' is no UCUM unit"),
        (["convert", "1", "kg", "m"], "'kg' does not convert to 'm'"),
        (["list", "--in", "nix"], "'nix' is no UCUM unit"),
        (["list", "--class", "health"], "no class 'health'; there are: personal_attributes, "),
        (["list", "--level", "9"], "Invalid value for '--level'"),
    ],
)
def test_misuse_is_told_in_one_line(said, arguments, words):
    code, out, err = said(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_units(said):
    _, out, _ = said("units")
    assert any(
        line.split()[:3] == ["266016", "MDC_DIM_MMHG", "mm[Hg]"] for line in out.splitlines()
    )
    _, out, _ = said("units", "--json")
    fahrenheit = next(row for row in json.loads(out) if row["unit"] == "[degF]")
    assert fahrenheit["base"] == "Cel"
    assert fahrenheit["factor"] == pytest.approx(5 / 9)


def test_a_third_partys_metrics_are_listed(said, monkeypatch):
    """Its driver declares them when it is loaded."""
    monkeypatch.setattr(terms, "METRICS", dict(terms.METRICS))
    own = terms.METRICS[terms.SPO2]._replace(code=424242, refid="ACME_GLOW")

    class Installed:
        name, dist = "acme", None

    def load(name):
        assert name == "acme"
        terms.METRICS[own.code] = own

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Installed])
    monkeypatch.setattr(plugins, "factory", load)
    _, out, _ = said("list", "acme_glow")
    assert "424242" in out
