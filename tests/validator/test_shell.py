"""Shell text: commands and words as a shell would have them, and what only a running shell knows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from validator.curl import curl_requests
from validator.shell import Command, commands


def words(text: str) -> list[list[str]]:
    return [[word.text for word in one.words] for one in commands(text)]


def only(text: str) -> Command:
    (command,) = commands(text)
    return command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b  c\td", [["a", "b", "c", "d"]]),
        ("a \\\n  b", [["a", "b"]]),
        ("a \\\r\n  b", [["a", "b"]]),
        ("a `\n  b", [["a", "b"]]),
        ("a # b\nc#d", [["a"], ["c#d"]]),
        ("a 'b c' \"d e\"", [["a", "b c", "d e"]]),
        ("a 'it'\\''s'", [["a", "it's"]]),
        ('a "b \\" \\\\ \\$ \\n"', [["a", 'b " \\ $ \\n']]),
        ("a 'b\nc'", [["a", "b\nc"]]),
        ('a "b\\\nc"', [["a", "bc"]]),
        ("a $'it\\'s \\x41\\u00e9\\101\\t\\ud83d\\ude00\\q'", [["a", "it's A\u00e9A\t\U0001f600\\q"]]),
        ('a $"b"', [["a", "b"]]),
        ("a '' \"\"", [["a", "", ""]]),
        ("a; b | c && d || e & f", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        ("(a; b) | c", [["a"], ["b"], ["c"]]),
        ("a > out 2>&1 < in >> more", [["a"]]),
        ("a 2>/dev/null b", [["a", "b"]]),
        ("a x=1 b", [["a", "x=1", "b"]]),
        ("", []),
        ("\n\n# nothing\n", []),
    ],
)
def test_words_are_split_and_unquoted_as_a_shell_does(text: str, expected: list[list[str]]) -> None:
    assert expected == words(text)


def test_commands_know_their_lines() -> None:
    text = "# one\na \\\n b\n\nc 'd\ne'; f\ng <<EOF\nx\nEOF\nh\n"

    assert [("a", 2), ("c", 5), ("f", 6), ("g", 7), ("h", 10)] == [
        (one.words[0].text, one.line) for one in commands(text)
    ]


@pytest.mark.parametrize(
    ("text", "word", "left_open"),
    [
        ("a $B", "$B", ("$B",)),
        ('a "x $B y"', "x $B y", ("$B",)),
        ("a '$B'", "$B", ()),
        ("a \\$B", "$B", ()),
        ("a ${B}c", "${B}c", ("${B}",)),
        ("a ${B:-zz}", "zz", ()),
        ("a $(date +%s)", "$(date +%s)", ("$(date +%s)",)),
        ("a `date`", "`date`", ("`date`",)),
        ("a $((1 + 2))", "$((1 + 2))", ("$((1 + 2))",)),
        ("a $1$@", "$1$@", ("$1", "$@")),
        ("a $ 5$", "$", ()),
        ("a <(b)", "<(b)", ("<(b)",)),
    ],
)
def test_what_a_running_shell_fills_in_stays_open(text: str, word: str, left_open: tuple[str, ...]) -> None:
    found = next(one for one in commands(text) if one.words[0].text == "a").words[1]

    assert (word, left_open) == (found.text, found.open)


def test_variables_of_the_same_text_are_filled_in() -> None:
    text = "export B='x y'; local C=$B-$1\na $B \"${C}\" $D"

    assert ["a", "x y", "x y-$1", "$D"] == [word.text for word in only(text).words]
    assert [(), (), ("$1",), ("$D",)] == [word.open for word in only(text).words]


def test_variables_before_a_command_are_not_remembered() -> None:
    assert [["B=1", "a"], ["a", "$B"]] == words("B=1 a\na $B")


@pytest.mark.parametrize(
    ("text", "stdin"),
    [
        ('a <<EOF\nx $B \\$ "q"\nEOF\n', 'x $B $ "q"\n'),
        ("a <<'EOF'\nx $B\nEOF\n", "x $B\n"),
        ("a <<-EOF\n\tx\n\tEOF\n", "x\n"),
        ("a <<EOF b\nx\nEOF\n", "x\n"),
        ("a <<< 'x y'", "x y\n"),
        ("echo 'x' | a", "x\n"),
        ("printf '%s' 'x' | a", "x\n"),
        ("cat <<EOF | a\nx\nEOF\n", "x\n"),
        ("a <<EOF\nx", "x\n"),
        ("b | a", None),
        ("a", None),
    ],
)
def test_what_a_command_is_given_to_read(text: str, stdin: str | None) -> None:
    command = next(one for one in commands(text) if one.words[0].text == "a")

    assert stdin == (command.stdin.text if command.stdin else None)


def test_two_here_documents_and_the_rest_of_the_line() -> None:
    text = "a <<A; b <<B\nx\nA\ny\nB\nc"

    assert [("a", "x\n"), ("b", "y\n"), ("c", None)] == [
        (one.words[0].text, one.stdin.text if one.stdin else None) for one in commands(text)
    ]


def test_a_here_document_inside_a_substitution_is_its_value() -> None:
    command = only('a "$(cat <<\'EOF\'\n{"it\'s": "(x"}\nEOF\n)" b')

    assert ["a", '{"it\'s": "(x"}', "b"] == [word.text for word in command.words]


def test_commands_inside_substitutions_come_first() -> None:
    assert [["b", "c"], ["d"], ["a", "$(b c | d)"]] == words("a $(b c | d)")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a 'b", "the quote ' of line 1 is not closed"),
        ('\na "b', 'the quote " of line 2 is not closed'),
        ("a $'b", "the quote $' of line 1 is not closed"),
        ("a $(b", "the $( of line 1 is not closed"),
        ("a ${b", "the ${ of line 1 is not closed"),
        ("a $((b", "the $(( of line 1 is not closed"),
        ("a `b", "the backtick ` of line 1 is not closed"),
        ("a " + "$(" * 60, "the $( nested too deep of line 1 is not closed"),
    ],
)
def test_what_is_not_closed_is_told_with_its_line(text: str, fault: str) -> None:
    assert [fault] == [one.fault for one in commands(text) if one.fault]


def test_after_an_open_quote_the_next_curl_is_read() -> None:
    found = list(commands("curl 'a\ncurl b\n"))

    assert (1, "the quote ' of line 1 is not closed") == (found[0].line, found[0].fault)
    assert (2, ["curl", "b"]) == (found[1].line, [word.text for word in found[1].words])


@pytest.mark.parametrize(
    "prose",
    [
        "You don't have to sign in.\nSend this:\n",
        "It's the task's id, isn't it\n",
        'as described in "Tasks.\n',
    ],
)
def test_an_apostrophe_of_prose_swallows_no_command(prose: str) -> None:
    found = [one for one in commands(prose + "curl 'b'\nthat's it\n") if one.words]

    assert ["curl", "b"] in [[word.text for word in one.words] for one in found]


def test_a_quote_inside_a_word_stays_one_where_no_command_is_in_it() -> None:
    assert [["a", "x=b c"], ["curl", "d"]] == words("a x='b c'\ncurl d")
    assert [["a", "it\nx"], ["curl", "d"]] == words("a i't\nx'\ncurl d")


def test_a_stand_in_of_a_page_is_no_redirection() -> None:
    (command,) = commands("curl https://x/y/<task-id> -H <key> <in.json >out.json")

    assert [("curl", ()), ("https://x/y/<task-id>", ("<task-id>",)), ("-H", ()), ("<key>", ("<key>",))] == [
        (word.text, word.open) for word in command.words
    ]
    assert command.stdin is not None
    assert "< in.json" == command.stdin.text


# --- cmd --------------------------------------------------------------------------------------------------


def test_a_batch_file_is_read_with_its_carets() -> None:
    text = (
        '@echo off\r\nREM curl "x\r\n:: curl y\r\n'
        'curl ^"https://a.example/x^" ^\r\n  -H ^"a: b^" ^\r\n  --data-raw ^"^{^\\^"p^\\^":^\\^"100^%^ d^\\^"^}^"\r\n'
        'b "c ""d"" \\\\" & e %F%\r\n'
    )

    assert [
        ["echo", "off"],
        ["curl", "https://a.example/x", "-H", "a: b", "--data-raw", '{"p":"100% d"}'],
        ["b", 'c "d" \\'],
        ["e", "%F%"],
    ] == words(text)
    assert [1, 4, 7, 7] == [one.line for one in commands(text)]
    assert ("%F%",) == list(commands(text))[-1].words[1].open


def test_an_escaped_line_end_in_a_batch_file_is_part_of_the_word() -> None:
    assert [["a", "b\nc"]] == words('a ^"b^\n\nc^"')


# --- anything ---------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(
            "curl",
            " ",
            "-d",
            "'",
            '"',
            "$(",
            "<<EOF\n",
            "EOF\n",
            "\n",
            "\\\n",
            "|",
            "cat",
            "`",
            "${",
            "}",
            ")",
        ),
        *(
            "(",
            "<(",
            "^\n",
            '^"',
            "x",
            "--json",
            "@-",
            "https://x/y",
            "=",
            "<<<",
            "#",
            "$'",
            "\\",
            "%A%",
            "```\n",
        ),
    ]
)


@settings(max_examples=4 * settings.default.max_examples)
@given(text=st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=40))
def test_any_text_is_taken_apart(text: str) -> None:
    for command in commands(text):
        assert bool(command.words) != bool(command.fault)
    for request in curl_requests(text):
        assert request.line >= 1
