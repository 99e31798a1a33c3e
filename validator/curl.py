"""curl commands as the requests they send.  Nothing is sent and no file is read.

Sources: curl's manual page, version 8.17; the lists below are of its options that take an argument.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from validator.shell import Command, Word, commands


@dataclass(frozen=True, slots=True, kw_only=True)
class CurlRequest:
    """One request of a curl command.

    `line` is where the command begins; `body` what it sends, None together with `unread`, which says
    where the body comes from; `open` the texts that a shell fills in; `notes` what was passed over.
    `fault` says why the command sends nothing that could be looked at.
    """

    line: int
    method: str = "GET"
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = ""
    unread: str = ""
    open: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fault: str = ""


def curl_requests(text: str) -> Iterator[CurlRequest]:
    """Yield the requests of every curl command in a shell or batch file, or in the code of a Markdown page."""
    values: dict[str, Word] = {}
    for command in (one for code in _code(text) for one in commands(code, values)):
        if command.fault:
            # An apostrophe in prose is nobody's fault.
            if holds_curl(command.passed):
                yield CurlRequest(line=command.line, fault=command.fault)
            continue
        words = _arguments(command)
        if words is not None:
            yield from _requests(command, words)


def holds_curl(text: str) -> bool:
    """Tell whether a text has a curl command somewhere."""
    return _CURL.search(text) is not None


_CURL: Final = re.compile(r"(?:^|[\s;|&(`$])(?:[\w./\\:-]*[/\\])?curl(?:\.exe)?[ \t]+\S", re.MULTILINE)
_FENCE: Final = re.compile(r"^[ \t]*(```|~~~)")
_SETTING: Final = re.compile(r"^[ \t]*(?:\$ )?(?:export )?[A-Za-z_]\w*=", re.MULTILINE)
_PROGRAM: Final = re.compile(r"(?:.*[/\\])?curl(?:\.exe)?", re.IGNORECASE)
_BEFORE: Final = frozenset(
    (
        *("$", "%", ">", "{", "!", "if", "then", "else", "elif", "while", "until", "do", "time", "sudo"),
        *("exec", "command", "nohup", "env", "eval", "call", "RUN", "-", "run:"),
    )
)
"""Words that stand before a command without being part of it: prompts, keywords of shells, and the like."""


def _code(text: str) -> Iterator[str]:
    """Yield a text, or each block of code of a Markdown page, with the lines before it blank.

    Each block may be for another shell, and what is open in one ends there; but a block may set what the
    next ones use.
    """
    if not _FENCE.search(text) and "\n```" not in text and "\n~~~" not in text:
        yield text
        return
    fence, begin, block = "", 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        found = _FENCE.match(line)
        if found and not fence:
            fence, begin, block = found[1], number, []
        elif found and found[1] == fence:
            fence = ""
            yield from _block("\n".join(block) + "\n", begin)
        else:
            block.append(line)
    if fence:
        yield from _block("\n".join(block) + "\n", begin)


def _block(code: str, begin: int) -> Iterator[str]:
    if holds_curl(code) or _SETTING.search(code):
        yield "\n" * begin + code


def _arguments(command: Command) -> list[Word] | None:
    """Return the words behind `curl`, or None where something else is run."""
    words = list(command.words)
    while words and (words[0].text in _BEFORE or re.match(r"[A-Za-z_]\w*=", words[0].text)):
        words.pop(0)
    if not words or not _PROGRAM.fullmatch(words[0].text):
        return None
    return words[1:]


# --- options ----------------------------------------------------------------------------------------------

_LETTERS: Final = """
A user-agent b cookie c cookie-jar C continue-at d data D dump-header e referer E cert F form G get H header
I head K config m max-time o output P ftp-port Q quote r range t telnet-option T upload-file u user U
proxy-user w write-out x proxy X request y speed-time Y speed-limit z time-cond : next
"""
_SHORT: Final[Mapping[str, str]] = dict(zip(_LETTERS.split()[::2], _LETTERS.split()[1::2], strict=True))
"""Letters of options that have an argument or a meaning here; all others are switches that change no request."""

_NAMES: Final = """
abstract-unix-socket alt-svc aws-sigv4 cacert capath cert cert-type ciphers config connect-timeout
connect-to continue-at cookie cookie-jar create-file-mode crlfile curves data data-ascii data-binary
data-raw data-urlencode delegation dns-interface dns-ipv4-addr dns-ipv6-addr dns-servers doh-url dump-header
ech egd-file engine etag-compare etag-save expand-data expand-header expand-url expect100-timeout form
form-string ftp-account ftp-alternative-to-user ftp-method ftp-port ftp-ssl-ccc-mode
happy-eyeballs-timeout-ms haproxy-clientip header hostpubmd5 hostpubsha256 hsts interface ip-tos
ipfs-gateway json keepalive-cnt keepalive-time key key-type krb libcurl limit-rate local-port login-options
mail-auth mail-from mail-rcpt max-filesize max-redirs max-time netrc-file noproxy oauth2-bearer output
output-dir parallel-host parallel-max pass pinnedpubkey preproxy proto proto-default proto-redir proxy
proxy-cacert proxy-capath proxy-cert proxy-cert-type proxy-ciphers proxy-crlfile proxy-header proxy-key
proxy-key-type proxy-pass proxy-pinnedpubkey proxy-service-name proxy-tls13-ciphers proxy-tlsauthtype
proxy-tlspassword proxy-tlsuser proxy-user proxy1.0 pubkey quote random-file range rate referer request
request-target resolve retry retry-delay retry-max-time sasl-authzid service-name sigalgs socks4 socks4a
socks5 socks5-gssapi-service socks5-hostname speed-limit speed-time stderr telnet-option tftp-blksize
time-cond tls-max tls13-ciphers tlsauthtype tlspassword tlsuser trace trace-ascii trace-config unix-socket
upload-file upload-flags url url-query user user-agent variable vlan-priority write-out
"""
_WITH_ARGUMENT: Final = frozenset(_NAMES.split())


@dataclass(slots=True)
class _Call:
    """What the options of one command, up to --next, add up to."""

    urls: list[Word] = field(default_factory=list)
    method: str = ""
    headers: list[Word] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    query: list[Word] = field(default_factory=list)
    body_open: list[str] = field(default_factory=list)
    is_json: bool = False
    is_form: bool = False
    is_get: bool = False
    is_head: bool = False
    upload: str = ""
    unread: list[str] = field(default_factory=list)
    implied: dict[str, Word] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def _requests(command: Command, words: Sequence[Word]) -> Iterator[CurlRequest]:
    """Yield what a command sends: one request per URL, the parts divided by --next on their own."""
    call = _Call()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        text = word.text
        if text == "--" or text == "-":
            continue
        if text.startswith("--"):
            name, equals, value = text[2:].partition("=")
            given: Word | None = Word(value, word.open) if equals else None
        elif text.startswith("-") and len(text) > 1:
            letter, behind = text[1], text[2:]
            name, given = _SHORT.get(letter, letter), None
            if name in _WITH_ARGUMENT:
                given = Word(behind, word.open) if behind else None
            elif behind:
                # Switches may share a dash: -sSX POST.
                rest.insert(0, Word("-" + behind, word.open))
        else:
            call.urls.append(word)
            continue
        if name == "next" or name == ":":
            yield from _sent(command, call)
            call = _Call()
            continue
        if name in _WITH_ARGUMENT and given is None:
            if not rest:
                yield CurlRequest(line=command.line, fault=f"the option {text} has no argument")
                return
            given = rest.pop(0)
        _take(call, name, given or Word(""), command)
    yield from _sent(command, call)


def _take(call: _Call, name: str, value: Word, command: Command) -> None:
    """Add what one option says."""
    text = value.text
    match name:
        case "url":
            call.urls.append(value)
        case "request":
            call.method = text
        case "header":
            if text.startswith("@"):
                call.notes.append(f"the headers in {text[1:] or 'a file'}, which is not read")
            else:
                call.headers.append(value)
        case "data" | "data-ascii" | "data-binary" | "data-raw" | "json" | "data-urlencode":
            call.is_json = call.is_json or name == "json"
            _take_data(call, name, value, command)
        case "form" | "form-string":
            call.is_form = True
        case "get":
            call.is_get = True
        case "head":
            call.is_head = True
        case "url-query":
            call.query.append(value)
        case "upload-file":
            call.upload = text
        case "user":
            credential = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
            call.implied["authorization"] = Word(f"Basic {credential}", value.open)
        case "oauth2-bearer":
            call.implied["authorization"] = Word(f"Bearer {text}", value.open)
        case "user-agent" | "referer":
            call.implied[name] = value
        case "cookie":
            call.implied["cookie"] = value
        case "config":
            call.notes.append(f"the options in {text}, which is not read")
        case "aws-sigv4" | "variable" | "expand-data" | "expand-header" | "expand-url":
            call.notes.append(f"the option --{name}")


def _take_data(call: _Call, name: str, value: Word, command: Command) -> None:
    text, opened = value.text, value.open
    if name == "data-urlencode":
        key, sign, content = _urlencoded_parts(text)
        if sign == "@":
            call.unread.append(f"the file {content}, which is not read")
        else:
            call.parts.append((f"{key}=" if key else "") + quote(content, safe="", errors="replace"))
            call.body_open += opened
        return
    if name != "data-raw" and text.startswith("@"):
        stdin = command.stdin if text == "@-" else None
        if stdin is None or stdin.text.startswith("< "):
            name = text[1:] if stdin is None else stdin.text[2:]
            what = "standard input" if name == "-" else f"the file {name}"
            call.unread.append(f"{what}, which is not read")
            return
        text, opened = stdin.text, stdin.open
        if name in ("data", "data-ascii"):
            text = re.sub(r"[\r\n\0]", "", text)
    if text.strip() in opened:
        call.unread.append(f"{opened[0]}, which the shell fills in")
        return
    call.parts.append(text)
    call.body_open += opened


def _urlencoded_parts(text: str) -> tuple[str, str, str]:
    """Return (name, '=' or '@' or '', content) of the argument of --data-urlencode."""
    found = re.search(r"[=@]", text)
    if found is None:
        return "", "", text
    return text[: found.start()], found[0], text[found.end() :]


# --- the request ------------------------------------------------------------------------------------------


def _sent(command: Command, call: _Call) -> Iterator[CurlRequest]:
    """Yield the requests of one set of options."""
    if not call.urls:
        if call.parts or call.headers or call.method or call.unread or not command.words[1:]:
            yield CurlRequest(line=command.line, fault="the command has no URL")
        return
    has_data = bool(call.parts or call.unread)
    joined = ("" if call.is_json else "&").join(call.parts)
    query = [one.text.removeprefix("+") for one in call.query]
    if call.is_get and has_data:
        query += [joined] if joined else []
        call.notes += [f"in the query: {one}" for one in call.unread]
    sends = has_data and not call.is_get
    method = call.method or (
        "HEAD" if call.is_head else "PUT" if call.upload else "POST" if sends or call.is_form else "GET"
    )
    unread = "; ".join(call.unread) if sends else ""
    if call.upload:
        unread = f"the file {call.upload}, which is not read"
    elif call.is_form:
        unread = "a form of several parts"
    headers = _headers(call, sends=sends)
    opened = [*call.body_open, *(one for header in call.headers for one in header.open)]
    for url in call.urls:
        text = url.text
        if query:
            text += ("&" if "?" in text else "?") + "&".join(query)
        yield CurlRequest(
            line=command.line,
            method=method,
            url=text,
            headers=headers,
            body=None if unread else joined if sends else "",
            unread=unread,
            open=tuple(dict.fromkeys([*opened, *url.open, *_implied_open(call)])),
            notes=tuple(call.notes),
        )


def _implied_open(call: _Call) -> Iterator[str]:
    for word in call.implied.values():
        yield from word.open


def _headers(call: _Call, *, sends: bool) -> tuple[tuple[str, str], ...]:
    """Return the headers as they are sent: those given, and those that other options imply.

    `Name:` takes an implied header away, `Name;` sends it empty.
    """
    implied = {name: word.text for name, word in call.implied.items()}
    if call.is_form:
        implied["content-type"] = "multipart/form-data"
    elif sends:
        # What curl says of any data unless told otherwise, and few JSON APIs take.
        implied["content-type"] = "application/json" if call.is_json else "application/x-www-form-urlencoded"
    if call.is_json:
        implied.setdefault("accept", "application/json")
    out: dict[str, tuple[str, str]] = {name: (name, value) for name, value in implied.items() if value}
    for word in call.headers:
        name, colon, value = word.text.partition(":")
        if not colon:
            if word.text.endswith(";"):
                out[word.text[:-1].lower()] = (word.text[:-1], "")
            continue
        if value.strip():
            out[name.strip().lower()] = (name.strip(), value.strip())
        else:
            out.pop(name.strip().lower(), None)
    return tuple(out.values())
