"""ER7 encoding, held against the library's own parser; character sets; escapes; garbage."""

import hl7
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.hl7 import codec
from drivers.hl7.charsets import CODECS, codec_of
from drivers.hl7.codec import Segment, composite, read_header, segment, segments
from drivers.hl7.escapes import Encoding, unescape
from gateway.domain.errors import MalformedError
from tests.unit.hl7.messages import MDS, message, msh, obx

words = st.text(
    st.characters(codec="ascii", exclude_characters="|^~\\&\r\n", categories=["L", "N", "P"]),
    max_size=6,
)
composites = st.lists(
    st.lists(words, min_size=1, max_size=4).map("^".join), min_size=1, max_size=3
).map("~".join)
rows = st.lists(composites, min_size=1, max_size=20).map(lambda f: "|".join(("OBX", *f)))


@settings(max_examples=40)  # the library takes its time
@given(st.lists(rows, max_size=6))
def test_the_library_reads_the_same_fields(rows):
    content = "\r".join((msh(), *rows))
    theirs = hl7.parse(content)
    header, wrong = read_header(content.encode())
    assert not wrong
    ours = [segment(text, header) for text in segments(content.encode(), header)]
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.name == str(other[0])
        for number in range(1, len(other)):
            if mine.name == "MSH" and number <= 2:
                continue
            want = str(other[number])
            assert mine.raw(number) == ("" if want == '""' else want)
            if '""' not in want:
                got = "~".join("^".join(each) for each in mine.repetitions(number))
                assert got == want


def survives(data):
    """Read all that is there; the reason why not everything is, if it isn't."""
    header, reason = read_header(data)
    try:
        for text in segments(data, header):
            found = segment(text, header)
            for number in range(25):
                found.repetitions(number)
                found.text(number)
    except MalformedError as error:
        reason = error.reason
    assert reason in ("", *codec.REASONS)


@given(st.binary(max_size=600))
def test_garbage_raises_only_the_typed_error(data):
    survives(data)


@given(st.data())
def test_bit_flips_raise_only_the_typed_error(data):
    content = bytearray(message(MDS, obx()))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    survives(bytes(content))


def test_header():
    header, wrong = read_header(message(msh("abc")))
    assert (header.control_id, header.message_code, header.trigger) == ("m-1", "ORU", "R01")
    assert (header.accept, header.application_accept, header.version) == ("AL", "NE", "2.6")
    assert header.profiles == ("IHE_PCD_001",)
    assert wrong == ""


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", codec.EMPTY),
        (b"\r\n", codec.EMPTY),
        (b"PID|||x", codec.NO_HEADER),
        (b"MSH", codec.BAD_SEPARATORS),
        (b"MSH|^~\\", codec.BAD_SEPARATORS),
        (b"MSH|^^\\&|a", codec.BAD_SEPARATORS),
        (b"MSHxabcdx", codec.BAD_SEPARATORS),
        (msh(control_id="").encode(), codec.NO_CONTROL_ID),
        (msh(control_id="x" * 200).encode(), codec.BAD_CONTROL_ID),
        (msh(charset="ISO IR87").encode(), "unknown_charset"),
        (msh(charset="UNICODE UTF-16").encode(), "unknown_charset"),
        (msh(event="^" * 600).encode(), codec.COMPOSITE_TOO_LONG),
    ],
)
def test_a_header_that_can_not_be_used(content, reason):
    assert read_header(content)[1] == reason


def test_a_broken_header_still_says_whom_to_answer():
    header, _ = read_header(msh(charset="ISO IR87", control_id="77").encode())
    assert (header.control_id, header.application) == ("77", "mon-1")


def test_a_truncation_character_in_msh_2_is_passed_over():
    header, wrong = read_header(b"MSH|^~\\&#|app|fac|||2026||ORU^R40|1|P|2.7")
    assert (header.encoding, wrong) == (Encoding(), "")


def test_other_separators():
    content = b"MSH$*!?@$app*x$fac$$$2026$$ORU*R01$1$P$2.6\rOBX$1$NM$1*2!3*4"
    header, wrong = read_header(content)
    assert not wrong
    assert (header.message_code, header.trigger) == ("ORU", "R01")
    found = segment(segments(content, header)[1], header)
    assert found.repetitions(3) == (("1", "2"), ("3", "4"))


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_line_ends(end):
    content = end.join((msh(), "PID|||1", "OBX|1")).encode()
    header, _ = read_header(content)
    assert [text[:3] for text in segments(content, header)] == ["MSH", "PID", "OBX"]


def test_bounds():
    header, _ = read_header(msh().encode())
    with pytest.raises(MalformedError, match=codec.TOO_MANY_SEGMENTS):
        segments(b"\r".join([msh().encode()] + [b"NTE"] * codec.SEGMENTS_MAX), header)
    with pytest.raises(MalformedError, match=codec.COMPOSITE_TOO_LONG):
        composite("a^" * codec.COMPOSITE_CHARACTERS_MAX, Encoding())
    many = Segment("OBX" + "|x" * 10_000, Encoding(), "utf-8")
    assert len(many._fields) <= codec.FIELDS_MAX + 1


@pytest.mark.parametrize("name", [name for name in CODECS if name])
def test_each_character_set_reads_itself(name):
    text = {
        "gb18030": "\u91cd\u75c7\u76d1\u62a4",
        "big5hkscs": "\u8b77\u7406",
        "euc_kr": "\uc911\ud658",
        "utf-8": "\u75c5\u623f",
        "iso8859-1": "Zimmer f\u00fcnf",
    }.get(CODECS[name], "abc")
    content = (msh(charset=name) + f"\rOBX|1|ST|1^x^MDC|1.1|{text}").encode(CODECS[name])
    header, wrong = read_header(content)
    assert (header.codec, wrong) == (CODECS[name], "")
    assert segment(segments(content, header)[1], header).text(5) == text


def test_a_separator_within_a_character_separates_nothing():
    # GB 18030: the second byte of U+4E38 is 7C, "|"; as latin-1 it would move MSH-18 by one.
    name = next(c for c in map(chr, range(0x4E00, 0x9FFF)) if c.encode("gb18030")[1:] == b"|")
    content = msh(application=name, charset="GB 18030-2000").encode("gb18030")
    assert codec_of(content) == "gb18030"
    assert read_header(content)[0].application == name


def test_an_unnamed_set_is_ascii_or_utf_8_and_a_strange_byte_costs_itself_alone():
    content = msh(charset="").encode() + b"\rOBX|1|ST|1^x^MDC|1.1|f\xfcnf"
    header, wrong = read_header(content)
    assert not wrong
    assert segment(segments(content, header)[1], header).text(5) == "f\ufffdnf"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"5 \XC2B5\g", "5 \u00b5g"),
        (r"line\.br\two\.sp999999999\three", "line two three"),
        (r"\H\bold\N\ ", "bold "),
        (r"C:\temp\x", r"C:\temp\x"),
        (r"half\F", r"half\F"),
        (r"\C2842\ \M2442F2\ ", "\ufffd \ufffd "),
        (r"\X0\ ", r"\X0\ "),
        (r"\\", r"\\"),
    ],
)
def test_escape_sequences(text, meant):
    assert unescape(text, Encoding(), "utf-8") == meant


@given(st.text(alphabet="\\FSTREXCM.brsp0129ab ", max_size=80))
def test_unescaping_never_grows(text):
    assert len(unescape(text, Encoding(), "utf-8")) <= len(text)


@pytest.mark.parametrize("mark", ["\\", "\\T\\", "x"])
def test_of_a_text_without_end_the_beginning_is_read(mark):
    read = Segment(f"OBX|{mark * 100_000}", Encoding(), "utf-8").text(1)
    assert 0 < len(read) <= codec.TEXT_CHARACTERS_MAX
