"""curl commands: the request each of them sends."""

from __future__ import annotations

import pytest

from validator.curl import CurlRequest, curl_requests, holds_curl


def sent(text: str) -> CurlRequest:
    (request,) = curl_requests(text)
    return request


def headers(text: str) -> dict[str, str]:
    return {name.lower(): value for name, value in sent(text).headers}


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("options", "method", "url", "body"),
    [
        ("https://x/y", "GET", "https://x/y", ""),
        ("--url https://x/y", "GET", "https://x/y", ""),
        ("-X DELETE https://x/y", "DELETE", "https://x/y", ""),
        ("-XPUT https://x/y", "PUT", "https://x/y", ""),
        ("-sSLX POST https://x/y", "POST", "https://x/y", ""),
        ("--request=POST https://x/y", "POST", "https://x/y", ""),
        ("-I https://x/y", "HEAD", "https://x/y", ""),
        ("-d a=1 https://x/y", "POST", "https://x/y", "a=1"),
        ("-da=1 https://x/y", "POST", "https://x/y", "a=1"),
        (
            "-d a=1 --data b=2 --data-binary c --data-raw @d https://x/y",
            "POST",
            "https://x/y",
            "a=1&b=2&c&@d",
        ),
        (
            "--data-urlencode 'a=x y&z' --data-urlencode 'é' https://x/y",
            "POST",
            "https://x/y",
            "a=x%20y%26z&%C3%A9",
        ),
        ("--json '{\"a\":' --json '1}' https://x/y", "POST", "https://x/y", '{"a":1}'),
        ("-X PATCH -d x https://x/y", "PATCH", "https://x/y", "x"),
        ("-G -d a=1 -d b=2 https://x/y", "GET", "https://x/y?a=1&b=2", ""),
        ("-G -d a=1 'https://x/y?z=0'", "GET", "https://x/y?z=0&a=1", ""),
        ("--url-query a=1 -d b https://x/y", "POST", "https://x/y?a=1", "b"),
        ("-d '' https://x/y", "POST", "https://x/y", ""),
        ("-o out -w '%{http_code}' --retry 3 -m 10 --proxy p https://x/y", "GET", "https://x/y", ""),
        ("-- https://x/y", "GET", "https://x/y", ""),
    ],
)
def test_options_make_the_request(options: str, method: str, url: str, body: str) -> None:
    request = sent(f"curl {options}")

    assert (method, url, body) == (request.method, request.url, request.body)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-d x", {"content-type": FORM}),
        ("-d x -H 'Content-Type: application/json'", {"content-type": "application/json"}),
        ("-d x -H 'content-type:'", {}),
        ("--json x", {"content-type": "application/json", "accept": "application/json"}),
        ("-H 'X-Empty;' -H 'X-A: b: c' -H 'nothing'", {"x-empty": "", "x-a": "b: c"}),
        ("-u me:you", {"authorization": "Basic bWU6eW91"}),
        ("--oauth2-bearer t", {"authorization": "Bearer t"}),
        ("-A agent -e ref -b a=1", {"user-agent": "agent", "referer": "ref", "cookie": "a=1"}),
        ("-F a=b", {"content-type": "multipart/form-data"}),
        ("--compressed -k", {}),
    ],
)
def test_options_make_the_headers(options: str, expected: dict[str, str]) -> None:
    assert expected == headers(f"curl https://x/y {options}")


@pytest.mark.parametrize(
    ("options", "unread"),
    [
        ("-d @body.json", "the file body.json, which is not read"),
        ("-d@body.json", "the file body.json, which is not read"),
        ("--data=@body.json", "the file body.json, which is not read"),
        ("--json @body.json", "the file body.json, which is not read"),
        ("--data-urlencode a@f", "the file f, which is not read"),
        ("-d @-", "standard input, which is not read"),
        ('-d "$BODY"', "$BODY, which the shell fills in"),
        ('-d "$(make body)"', "$(make body), which the shell fills in"),
        ("-d @- < body.json", "the file body.json, which is not read"),
        ("-T file", "the file file, which is not read"),
        ("-F a=@b", "a form of several parts"),
    ],
)
def test_a_body_from_elsewhere_is_not_read(options: str, unread: str) -> None:
    request = sent(f"curl https://x/y {options}")

    assert (None, unread) == (request.body, request.unread)


def test_a_body_from_a_here_document_is_read() -> None:
    text = "curl https://x/y {} @- <<'EOF'\n{{\n\"a\": 1}}\nEOF\n"

    assert '{\n"a": 1}\n' == sent(text.format("--data-binary")).body
    assert '{"a": 1}' == sent(text.format("-d")).body


def test_open_texts_are_gathered_from_all_of_a_command() -> None:
    request = sent('curl "$BASE/y" -H "A: $B" -d "{\\"c\\": \\"$C\\"}" -u "$U"')

    assert {"$BASE", "$B", "$C", "$U"} == set(request.open)
    assert '{"c": "$C"}' == request.body


def test_several_urls_and_next_make_several_requests() -> None:
    found = list(curl_requests("curl -d a https://x/1 https://x/2 --next https://x/3"))

    assert [("POST", "https://x/1", "a"), ("POST", "https://x/2", "a"), ("GET", "https://x/3", "")] == [
        (one.method, one.url, one.body) for one in found
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("curl", "the command has no URL"),
        ("curl -d x", "the command has no URL"),
        ("curl https://x -H", "the option -H has no argument"),
        ("curl 'https://x", "the quote ' of line 1 is not closed"),
    ],
)
def test_a_command_that_sends_nothing_is_told(text: str, fault: str) -> None:
    assert fault == sent(text).fault


def test_asking_curl_for_its_version_is_no_request() -> None:
    assert [] == list(curl_requests("curl --version\ncurl -V; which curl\necho curl"))


@pytest.mark.parametrize("option", ["-K config", "-H @headers", "--aws-sigv4 x", "--variable x"])
def test_options_that_are_passed_over_are_told(option: str) -> None:
    assert sent(f"curl https://x/y {option}").notes


@pytest.mark.parametrize(
    "text",
    [
        "$ curl https://x/y",
        "  sudo curl https://x/y",
        "A=b /usr/bin/curl https://x/y",
        "C:\\tools\\curl.exe https://x/y ^\n -s",
        "if ok; then curl https://x/y; fi",
        "id=$(curl https://x/y | jq .id)",
        "f() { curl https://x/y; }",
        "    RUN curl https://x/y",
    ],
)
def test_curl_is_found_wherever_it_stands(text: str) -> None:
    assert "https://x/y" == sent(text).url
    assert holds_curl(text)


def test_only_the_code_of_a_markdown_page_is_read() -> None:
    page = "Don't call `curl`.\n\n```bash\ncurl https://x/1\n```\n\nIt's curl https://x/2\n\n~~~\ncurl https://x/3\n~~~\n"

    assert [(4, "https://x/1"), (10, "https://x/3")] == [(one.line, one.url) for one in curl_requests(page)]


@pytest.mark.parametrize("text", ["{}", "curly braces", "libcurl is a library", "curl"])
def test_not_every_curl_is_a_command(text: str) -> None:
    assert not holds_curl(text)


def test_an_open_quote_of_prose_is_no_fault() -> None:
    page = 'curl https://x/y\nThe answer is described in "Tasks.\nNothing is closed here.\n'

    assert [(1, "")] == [(one.line, one.fault) for one in curl_requests(page)]


PAGE = """
Set it once; it's needed below:

```sh
$ BASE=https://x/v1
$ TASK=$(curl -s "$BASE/tasks" -d 'a b' | jq -r .id)
```

```yaml
note: it's not for a shell
```

```bat
curl "https://x/cmd" ^
  -H "A: \\"b\\""
```

```bash
curl "$BASE/tasks/$TASK"
curl 'https://x/open
```

```
curl https://x/last
"""


def test_each_block_of_a_page_is_read_in_its_own_shell_and_keeps_what_was_set() -> None:
    assert [
        (6, "https://x/v1/tasks", ""),
        (14, "https://x/cmd", ""),
        (19, "https://x/v1/tasks/$TASK", ""),
        (20, "", "the quote ' of line 20 is not closed"),
        (24, "https://x/last", ""),
    ] == [(one.line, one.url, one.fault) for one in curl_requests(PAGE)]


def test_what_a_command_prints_stays_under_its_name() -> None:
    found = list(
        curl_requests('A=$(curl https://x/1)\nB=`curl https://x/2`\nC="$A"\ncurl https://x/$A/$B/$C\n')
    )

    assert "https://x/$A/$B/$A" == found[-1].url
    assert {"$A", "$B"} == set(found[-1].open)
