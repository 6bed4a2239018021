"""The parser of server-sent events gives the same events however the network cuts the bytes."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.sse import MAX_EVENT_BYTES, EventTooLargeError, SSEParser

END = st.sampled_from([b"\n", b"\r\n", b"\r"])
VALUE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12).map(str.encode)
NOISE = st.one_of(
    VALUE.map(lambda value: b":" + value),
    VALUE.map(lambda value: b"event: " + value),
    VALUE.map(lambda value: b"id:" + value),
    st.just(b"retry: 10"),
    st.just(b"database: 1"),
)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """The bytes of a stream, and the data of its events."""
    end = draw(END)
    raw, expected = draw(st.sampled_from([b"", b"\xef\xbb\xbf"])), []
    for lines in draw(st.lists(st.lists(st.one_of(VALUE, NOISE.map(lambda noise: (noise,))), max_size=4), max_size=6)):
        data = []
        for line in lines:
            if isinstance(line, tuple):
                raw += line[0] + end
            else:
                data.append(line)
                raw += b"data: " + line + end
        raw += end
        if data:
            expected.append(b"\n".join(data))
    return raw, expected


def parse(raw: bytes, cuts: list[int]) -> list[bytes]:
    parser = SSEParser()
    bounds = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    events = [event for a, b in pairwise(bounds) for event in parser.feed(raw[a:b])]
    return events + parser.close()


@given(streams(), st.lists(st.integers(min_value=0, max_value=10_000), max_size=20))
@example((b"\xef\xbb\xbfdata: a\r\ndata: b\r\n\r\n", [b"a\nb"]), [1, 2, 10, 11, 12, 20, 21])
@example((b"data: a\rdata: b\r\r", [b"a\nb"]), [8])
def test_events_do_not_depend_on_where_the_bytes_are_cut(stream: tuple[bytes, list[bytes]], cuts: list[int]) -> None:
    raw, expected = stream
    assert parse(raw, cuts) == expected
    assert parse(raw, list(range(len(raw)))) == expected


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0, max_value=200), max_size=10))
def test_any_bytes_are_read_alike_in_one_piece_and_in_many(raw: bytes, cuts: list[int]) -> None:
    assert parse(raw, cuts) == parse(raw, [])


def test_data_without_a_last_empty_line_is_kept() -> None:
    assert parse(b"data: a\n\ndata: b", []) == [b"a", b"b"]
    assert parse(b"data: a\n\ndata: b\r", []) == [b"a", b"b"]


def test_fields_without_a_value_follow_the_standard() -> None:
    assert parse(b"data\n\ndata:\n\ndata:  two\n\n", []) == [b"", b"", b" two"]


def test_an_event_that_never_ends_is_refused() -> None:
    parser = SSEParser()
    with pytest.raises(EventTooLargeError):
        for _ in range(MAX_EVENT_BYTES // 65_536 + 1):
            parser.feed(b"data: " + b"x" * 65_536 + b"\n")
