"""The page among hostile neighbours: every point of the checklist, over a real connection."""

from __future__ import annotations

import hmac
import io
import socket
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from pydantic import SecretStr, ValidationError
from sqlalchemy import Connection

from review_ui import security, sessions
from review_ui.errors import AccessError, StoreBusyError, WrongTokenError
from review_ui.loop import KINDS
from review_ui.security import IMPORT_PATH, MAX_BODY, POLICY, host_name
from review_ui.serve import check_access, known_hosts
from review_ui.sessions import COOKIE, Tries, csrf_of
from review_ui.settings import ReviewConfig
from tests.review_ui.feeds import Item, blurred, feed, item_id
from tests.review_ui.site import Client, Site, opened

TOKEN = "reviewers-may-come-in"
ADMIN = "admins-may-publish-too"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A page with tokens."""
    config = ReviewConfig(port=0, token=SecretStr(TOKEN), admin_token=SecretStr(ADMIN))
    items = [blurred(n, 0.4, title=HOSTILE, page="javascript:alert(1)") for n in range(5)]
    with opened(tmp_path, f"sqlite:///{tmp_path}/review.sqlite", items, config) as site:
        yield site


def decision(name: object = 0, **more: Any) -> dict[str, Any]:
    return {"uuid": str(uuid.uuid4()), "item": item_id(name), "verdict": "rejected", **more}


def decide(client: Client, *decisions: dict[str, Any], **how: Any) -> Any:
    return client.ask("POST", "/api/decisions", {"decisions": list(decisions)}, **how)


# ---- Who may come in. ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api/session",
        "/api/queues",
        "/api/facets",
        f"/api/items/{item_id(0)}",
        f"/images/{item_id(0)}/thumb",
        f"/images/{item_id(0)}/original",
        "/api/history",
        "/api/tags",
        "/api/statistics",
        "/api/decisions.csv",
        "/api/loop",
        "/api/loop/runs/v1-tiny",
        "/runs/v1-tiny/grids/reals",
        "/api/jobs/publish",
        "/report",
        "/versions/1/report",
        "/models/compare",
    ],
)
def test_nothing_is_shown_to_who_has_not_logged_in(site: Site, path: str) -> None:
    answer = site.client().get(path)
    assert (answer.status, answer.json["error"]) == (401, "login_needed")
    stranger = Client(site.address, cookie=f"{COOKIE}=made-up")
    assert stranger.get(path).status == 401


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(site: Site) -> None:
    answer = site.client().log_in("ann", TOKEN)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= attributes
    assert TOKEN not in cookie
    assert answer.json["role"] == "reviewer"


def test_the_store_keeps_no_secret(site: Site) -> None:
    client = site.client("ann", TOKEN)
    secret = client.cookie.partition("=")[2]
    assert site.desk.database.path is not None
    folder = site.desk.database.path.parent
    stored = b"".join(file.read_bytes() for file in folder.glob("review.sqlite*"))
    for hidden in (secret, TOKEN, ADMIN, client.csrf):
        assert hidden.encode() not in stored


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN[:-1], TOKEN + "x", "\u00fc" * 20])
def test_a_wrong_token_opens_nothing(site: Site, token: str | None) -> None:
    answer = site.client().log_in("ann", token)
    assert (answer.status, answer.json["error"]) == (401, "wrong_token")
    assert "set-cookie" not in answer.headers


def test_a_wrong_token_is_told_from_a_wrong_name_by_its_kind(site: Site) -> None:
    with pytest.raises(WrongTokenError):
        site.desk.sessions.open("ann", "wrong")
    with pytest.raises(AccessError) as caught:
        site.desk.sessions.open("<token>", TOKEN)
    assert not isinstance(caught.value, WrongTokenError)


def test_tokens_are_compared_in_constant_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[str, str]] = []

    def compare(first: str, second: str) -> bool:
        compared.append((first, second))
        return hmac.compare_digest(first, second)

    monkeypatch.setattr(sessions.hmac, "compare_digest", compare)
    for token in ("x", TOKEN, ADMIN):
        compared.clear()
        site.client().log_in("ann", token)
        # Both tokens each time, whichever fits, and digests of one length.
        mine = [pair for pair in compared if all(len(side) == 64 for side in pair)]
        assert len(mine) >= 2


def test_tries_are_limited_and_others_are_not_kept_out(site: Site) -> None:
    client = site.client()
    answers = [client.log_in("ann", "wrong") for _ in range(7)]
    assert [answer.status for answer in answers] == [401] * 5 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 0
    # Also the right token has to wait: otherwise the answer would tell.
    assert client.log_in("ann", TOKEN).status == 429


def test_tries_are_forgotten_after_a_while_and_do_not_fill_the_memory() -> None:
    tries = Tries(most=2, seconds=0.05)
    tries.fail("a")
    tries.fail("a")
    assert tries.wait("a") > 0
    assert tries.wait("b") == 0
    time.sleep(0.06)
    assert tries.wait("a") == 0
    for n in range(3_000):
        tries.fail(str(n))
    assert len(tries._failed) <= 1_000


def test_logging_out_ends_the_session(site: Site) -> None:
    client = site.client("ann", TOKEN)
    assert client.get("/api/queues").status == 200
    assert client.ask("DELETE", "/api/session").status == 204
    assert client.get("/api/queues").status == 401


def test_who_is_looked_up_while_logging_out_is_out(site: Site) -> None:
    client = site.client("ann", TOKEN)
    secret = client.cookie.partition("=")[2]
    writing, may_go_on = threading.Event(), threading.Event()

    def wait(_connection: Connection) -> None:
        writing.set()
        assert may_go_on.wait(20)

    site.desk.writer.write(wait)
    assert writing.wait(20)
    leaving = threading.Thread(target=site.desk.sessions.close, args=(secret,))
    leaving.start()
    while secret and site.desk.sessions.known(secret) is not None:
        time.sleep(0.01)
    # The row is still there, for a moment.
    assert site.desk.sessions.find(secret) is None
    may_go_on.set()
    leaving.join(20)
    assert site.desk.sessions.find(secret) is None


def test_a_changed_token_ends_the_sessions_it_opened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/review.sqlite"
    cookies = {}
    for name, token in (("first", TOKEN), ("second", "another-token-of-today")):
        config = ReviewConfig(port=0, token=SecretStr(token), admin_token=SecretStr(ADMIN))
        with opened(tmp_path / name, url, [], config) as site:
            for kind, cookie in cookies.items():
                old = Client(site.address, cookie=cookie)
                assert old.get("/api/session").status == (200 if kind == "admin" else 401)
            cookies = {
                "reviewer": site.client("ann", token).cookie,
                "admin": site.client("eve", ADMIN).cookie,
            }


@pytest.mark.parametrize("name", ["", " ", "-x", "<b>", "a" * 41, "a\x00b", "\ud800"])
def test_names_are_names(site: Site, name: str) -> None:
    assert site.client().log_in(name, TOKEN).status == 422


# ---- Roles. --------------------------------------------------------------------------------------


def test_a_reviewer_may_decide_and_not_publish_or_import(site: Site) -> None:
    client = site.client("ann", TOKEN)
    assert decide(client, decision()).status == 200
    for path, body in (
        *((f"/api/jobs/{kind}", {}) for kind in KINDS),
        ("/api/decisions/import", {"format": "jsonl", "text": ""}),
    ):
        answer = client.post(path, body)
        assert (answer.status, answer.json["error"]) == (403, "admins_only")
    assert {job["state"] for job in client.get("/api/loop").json["jobs"]} == {"idle"}


def test_an_admin_may(site: Site) -> None:
    client = site.client("eve", ADMIN)
    assert client.post("/api/decisions/import", {"format": "jsonl", "text": ""}).status == 200
    assert client.post("/api/jobs/publish", {}).status == 202


def unsent(client: Client, path: str, length: int) -> bytes:
    """Give what is answered to a request whose body never comes."""
    parts = urlsplit(client.address)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Origin: {client.address.rstrip('/')}\r\nCookie: {client.cookie}\r\n"
        f"X-CSRF-Token: {client.csrf}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    with closing(socket.create_connection((parts.hostname, parts.port), timeout=20)) as plain:
        plain.sendall(head.encode())
        answer = b""
        while piece := plain.recv(4096):
            answer += piece
    return answer


@pytest.mark.parametrize("path", ["/api/decisions", IMPORT_PATH, "/api/jobs/publish", "/nowhere"])
def test_a_stranger_is_refused_before_the_body_is_read(site: Site, path: str) -> None:
    # Whoever makes up a secret can make its CSRF token too.
    stranger = Client(site.address, f"{COOKIE}=made-up", csrf_of("made-up"))
    answer = unsent(stranger, path, 100_000)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"login_needed" in answer


def test_a_reviewers_file_is_refused_before_it_is_read(site: Site) -> None:
    answer = unsent(site.client("ann", TOKEN), IMPORT_PATH, 10_000_000)
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"admins_only" in answer


def test_a_store_that_cannot_be_asked_who_it_is_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_secret: str) -> None:
        raise StoreBusyError("the review database is locked")

    client = site.client("ann", TOKEN)
    monkeypatch.setattr(site.desk.sessions, "known", busy)
    answer = decide(client, decision())
    assert (answer.status, answer.json["error"]) == (503, "store_busy")


# ---- Other sites. --------------------------------------------------------------------------------


def test_another_site_can_change_nothing(site: Site) -> None:
    client = site.client("ann", TOKEN)
    refused: list[dict[str, str | None]] = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": None},
        {"Origin": client.address.rstrip("/") + ".evil.example"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"X-CSRF-Token": None},
        {"X-CSRF-Token": "0" * 64},
        {"X-CSRF-Token": "\u00fc".encode().decode("latin-1")},
        {"Cookie": None},
    ]
    for headers in refused:
        answer = decide(client, decision(), headers=headers)
        assert answer.status == 403, headers
        assert answer.json["error"] in ("cross_site", "csrf")
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
        assert decide(client, decision(), headers={"Content-Type": kind}).status == 415
    assert client.get("/api/history").json["events"] == []
    assert decide(client, decision(), headers={"Sec-Fetch-Site": "same-origin"}).status == 200


def test_another_site_cannot_log_in_for_somebody(site: Site) -> None:
    client = site.client()
    body = {"name": "ann", "token": TOKEN}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert client.ask("POST", "/api/session", body, headers=headers).status == 403


def test_the_csrf_token_is_of_one_session(site: Site) -> None:
    ann, bob = site.client("ann", TOKEN), site.client("bob", TOKEN)
    assert ann.csrf != bob.csrf
    assert decide(ann, decision(), headers={"X-CSRF-Token": bob.csrf}).status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8484", "", "127.0.0.1.evil.example", "localhost@evil"]
)
def test_a_name_that_points_here_is_not_enough(site: Site, host: str) -> None:
    client = site.client("ann", TOKEN)
    answer = client.ask("GET", "/api/queues", headers={"Host": host})
    assert answer.status == 400
    assert "host" in answer.body.decode().lower()


def test_our_own_names_are_known() -> None:
    names = known_hosts(ReviewConfig(host="0.0.0.0", allowed_hosts=("Review.Example",)))
    for host in ("localhost:8484", "127.0.0.1", "[::1]:8484", "review.example:8484", "LOCALHOST."):
        assert host_name(host) in names, host
    assert "0.0.0.0" not in names


@pytest.mark.parametrize("host", ["2001:db8::5", "2001:0DB8:0::5"])
def test_an_ipv6_address_is_known_however_it_is_written(host: str) -> None:
    names = known_hosts(ReviewConfig(host=host, allowed_hosts=("[2001:db8::6]", "b.example:80")))
    for known in ("[2001:db8::5]", "[2001:DB8::5]:8484", "[2001:db8::6]:1", "b.example"):
        assert host_name(known) in names, known
    for other in ("2001:db8::5", "[2001:db8::5", "[2001:db8::5]evil", "[2001:db8::7]", "[]", ":80"):
        assert host_name(other) not in names, other


def test_two_host_headers_are_refused(site: Site) -> None:
    parts = urlsplit(site.address)
    with closing(socket.create_connection((parts.hostname, parts.port))) as plain:
        plain.sendall(
            f"GET /api/health HTTP/1.1\r\nHost: {parts.netloc}\r\nHost: evil\r\n\r\n".encode()
        )
        assert b" 400 " in plain.recv(200)


# ---- What every answer carries. ------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/login", "/api", "/api/health", "/api/session", "/static/style.css", "/nowhere"]
)
def test_every_answer_is_guarded(site: Site, path: str) -> None:
    headers = site.client().get(path).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in headers
    assert not any(name.startswith("access-control") for name in headers)


def test_what_nobody_foresaw_is_answered_guarded_and_in_our_form(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("never shown to anybody")

    client = site.client("ann", TOKEN)
    monkeypatch.setattr(site.desk.jobs, "state", fail)
    within_the_app = client.get("/api/jobs/publish")
    monkeypatch.setattr(site.desk.sessions, "known", fail)
    within_the_guard = decide(client, decision())
    for answer in (within_the_app, within_the_guard):
        assert (answer.status, answer.json["error"]) == (500, "internal")
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert b"never shown" not in answer.body


def test_the_policy_allows_no_script_or_style_in_the_page() -> None:
    directives = dict(part.strip().split(" ", 1) for part in POLICY.split(";"))
    assert directives["default-src"] == "'self'"
    assert "unsafe" not in POLICY
    assert "script-src" not in directives
    assert "style-src" not in directives
    for name in ("object-src", "base-uri", "frame-ancestors"):
        assert directives[name] == "'none'"
    assert directives["form-action"] == "'self'"


def test_no_page_holds_a_script_or_style_of_its_own(site: Site) -> None:
    for client, path in (
        (site.client(), "/login"),
        (site.client("ann", TOKEN), "/"),
        (site.client(), "/api"),
    ):
        page = client.get(path).body.decode().lower()
        for tag in page.split("<script")[1:]:
            assert "src=" in tag.partition(">")[0]
        for forbidden in (
            "<style",
            " style=",
            " onclick",
            " onload",
            "javascript:",
            "http://",
            "//cdn",
        ):
            assert forbidden not in page, (path, forbidden)


def test_a_report_runs_no_script(site: Site) -> None:
    site.desk.catalog.root.write_bytes("report.html", b"<script>alert(1)</script>")
    for path in ("/report", "/models/compare"):
        answer = site.client("ann", TOKEN).get(path)
        assert answer.status == 200
        policy = answer.headers["content-security-policy"]
        assert "sandbox" in policy
        assert "default-src 'none'" in policy
        assert "script-src" not in policy


# ---- Pictures. -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [
        "..%2f..%2fetc%2fhostname",
        "%2e%2e/%2e%2e/etc/hostname",
        "/etc/hostname",
        "review.sqlite",
        item_id(0) + "%00.jpg",
        item_id(0) + "/../thumb",
        item_id("unknown"),
        item_id(0).upper(),
        item_id(0) + "%23..,1,1,1",
    ],
)
@pytest.mark.parametrize("kind", ["thumb", "standard", "original"])
def test_pictures_are_found_by_id_and_nothing_else(site: Site, item: str, kind: str) -> None:
    answer = site.client("ann", TOKEN).get(f"/images/{item}/{kind}")
    assert answer.status in (404, 422)
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("kind", ["thumb", "standard", "original"])
def test_pictures_may_be_kept_by_the_viewer_alone(site: Site, kind: str) -> None:
    answer = site.client("ann", TOKEN).get(f"/images/{item_id(0)}/{kind}?v=1")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    shown = Image.open(io.BytesIO(answer.body))
    shown.load()
    assert answer.headers["content-type"] == f"image/{(shown.format or '').lower()}"
    unversioned = site.client("ann", TOKEN).get(f"/images/{item_id(0)}/{kind}")
    assert unversioned.headers["cache-control"] == "private, no-cache"


def test_an_original_is_encoded_anew(site: Site) -> None:
    store = site.desk.catalog.raw
    with store.writer() as writer:
        png = io.BytesIO()
        Image.new("RGB", (40, 30), (200, 10, 10)).save(png, "PNG")
        ref = writer.add("hostile", png.getvalue() + HOSTILE.encode())
    name = item_id("hostile")
    columns = {"raw_pack": ref.pack, "raw_offset": ref.offset, "raw_length": ref.length}
    from review_ui.store import projection

    projection.replace(site.desk.database, feed([Item("hostile", (), columns)], "2"))
    site.desk.builds.forget()
    answer = site.client("ann", TOKEN).get(f"/images/{name}/original")
    assert answer.status == 200
    assert answer.body[:3] == b"\xff\xd8\xff"
    assert b"script" not in answer.body


# ---- Words from the web. -------------------------------------------------------------------------


def test_hostile_words_come_as_data_and_never_as_a_page(site: Site) -> None:
    client = site.client("ann", TOKEN)
    answer = client.post("/api/queues/blurred/page", {})
    assert answer.headers["content-type"] == "application/json"
    [first, *_] = answer.json["items"]
    assert first["title"] == HOSTILE
    # What is no page on the web is not given as one to follow.
    assert first["page"] is None
    for path in ("/", "/login", "/api"):
        assert "alert(1)" not in client.get(path).body.decode()


@pytest.mark.parametrize("text", [HOSTILE, "'; DROP TABLE decision_event; --", "\u202eevil"])
def test_hostile_notes_and_tags_are_text(site: Site, text: str) -> None:
    client = site.client("ann", TOKEN)
    answer = decide(client, decision(note=text, tags=[text]))
    assert answer.json["outcomes"][0]["state"]["note"] == text
    assert client.get("/api/history").json["events"][0]["tags"] == [text.strip()]


def test_errors_repeat_no_more_than_a_little_of_what_was_sent(site: Site) -> None:
    client = site.client("ann", TOKEN)
    answer = decide(client, decision() | {"verdict": HOSTILE * 1_000})
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.body) < 1_000


# ---- Limits. -------------------------------------------------------------------------------------


def test_a_body_has_a_limit(site: Site) -> None:
    client = site.client("ann", TOKEN)
    answer = client.ask("POST", "/api/decisions", raw=b" " * (MAX_BODY + 1))
    assert (answer.status, answer.json["error"]) == (413, "too_large")


def test_who_is_not_logged_in_can_send_next_to_nothing(site: Site) -> None:
    answer = site.client().ask("POST", "/api/session", raw=b" " * 5_000)
    assert (answer.status, answer.json["error"]) == (413, "too_large")


def test_a_body_that_does_not_tell_its_length_has_one_too(site: Site) -> None:
    client = site.client("ann", TOKEN)
    parts = urlsplit(site.address)
    head = (
        f"POST /api/decisions HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Origin: {site.address.rstrip('/')}\r\nCookie: {client.cookie}\r\n"
        f"X-CSRF-Token: {client.csrf}\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = b""
    with closing(socket.create_connection((parts.hostname, parts.port), timeout=20)) as plain:
        plain.sendall(head.encode())
        try:
            for _ in range(200):
                plain.sendall(piece)
        except OSError:
            pass
        try:
            answer = plain.recv(200)
        except ConnectionResetError:
            answer = b" 413 "
    assert b" 413 " in answer


def test_what_no_keyboard_makes_is_refused_in_addresses_too(
    tmp_path: Path, database_url: str
) -> None:
    with opened(tmp_path, database_url, [blurred(1, 0.4)]) as site:
        client = site.client("ann")
        assert client.get("/api/tags?prefix=a").status == 200
        assert client.get("/api/tags?prefix=%00").status == 422
        assert client.get("/api/history?reviewer=%00").status == 422


def test_a_batch_has_a_limit(site: Site) -> None:
    client = site.client("ann", TOKEN)
    assert decide(client, *(decision() for _ in range(501))).status == 422
    assert client.post("/api/decisions", {"decisions": []}).status == 422
    assert client.post("/api/queues/blurred/page", {"limit": 101}).status == 422
    assert client.post("/api/queues/blurred/page", {"skip": ["x"]}).status == 422


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"decisions": [{}]}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"decisions": 1e999}',
        b'{"unknown": true}',
    ],
)
def test_what_is_no_sense_is_refused_with_a_reason(site: Site, body: bytes) -> None:
    answer = site.client("ann", TOKEN).ask("POST", "/api/decisions", raw=body)
    assert 400 <= answer.status < 500
    assert answer.json["message"]


# ---- Opening the page. ---------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "review.example"])
def test_a_public_bind_without_a_token_is_refused(host: str) -> None:
    with pytest.raises(AccessError, match=r"review\.admin_token"):
        check_access(ReviewConfig(host=host))
    check_access(ReviewConfig(host=host, admin_token=SecretStr(ADMIN)))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.7", "::1", "localhost"])
def test_this_machine_alone_needs_none(host: str) -> None:
    check_access(ReviewConfig(host=host))


@pytest.mark.parametrize(
    "keys", [{"allowed_hosts": ("review.example.org",)}, {"behind_proxy": True}]
)
def test_a_proxy_before_it_without_a_token_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(AccessError, match=r"review\.admin_token"):
        check_access(ReviewConfig.model_validate(keys))
    check_access(ReviewConfig.model_validate({**keys, "admin_token": ADMIN}))
    check_access(ReviewConfig(allowed_hosts=("localhost", "127.0.0.1", "::1", "[::1]")))


# ---- Behind a proxy. -----------------------------------------------------------------------------


def log_in_through_a_proxy(client: Client, token: str, forwarded: str) -> Any:
    headers: dict[str, str | None] = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
    return client.ask("POST", "/api/session", {"name": "ann", "token": token}, headers=headers)


def test_behind_a_proxy_cookies_are_secure_and_tries_are_of_its_clients(tmp_path: Path) -> None:
    config = ReviewConfig(port=0, admin_token=SecretStr(ADMIN), behind_proxy=True)
    with opened(tmp_path, f"sqlite:///{tmp_path}/review.sqlite", [], config) as site:
        client = site.client()
        # What stands before the proxy's own word is made up.
        for n in range(5):
            tried = log_in_through_a_proxy(client, "wrong", f"198.51.100.{n}, 203.0.113.5")
            assert tried.status == 401
        assert log_in_through_a_proxy(client, ADMIN, "192.0.2.1, 203.0.113.5").status == 429
        answer = log_in_through_a_proxy(client, ADMIN, "203.0.113.6")
        assert answer.status == 200
        assert "; secure" in answer.headers["set-cookie"].lower()
        # Not by the proxy, and so not by TLS.
        assert "secure" not in client.log_in("eve", ADMIN).headers["set-cookie"].lower()


def test_without_one_nobody_is_believed_about_where_they_are(site: Site) -> None:
    client = site.client()
    answer = log_in_through_a_proxy(client, TOKEN, "203.0.113.6")
    assert "secure" not in answer.headers["set-cookie"].lower()
    tries = [log_in_through_a_proxy(client, "wrong", f"203.0.113.{n}").status for n in range(6)]
    assert tries == [401] * 5 + [429]


@pytest.mark.parametrize(
    ("client", "believed"),
    [
        (("127.0.0.1", 1), True),
        (("172.17.0.1", 1), True),
        (("::1", 1), True),
        (("::ffff:10.0.0.1", 1), True),
        (("8.8.8.8", 1), False),
        (("::ffff:8.8.8.8", 1), False),
        (("2606:4700::1", 1), False),
        (("nonsense", 1), False),
        (None, False),
    ],
)
def test_only_a_proxy_that_is_near_is_believed(
    client: tuple[str, int] | None, believed: bool
) -> None:
    scope = {"client": client, "scheme": "http"}
    headers = security.Headers({"x-forwarded-for": "203.0.113.6", "x-forwarded-proto": "https"})
    said = security._as_forwarded(scope, headers)
    assert (said["scheme"] == "https") == (said["client"] == ("203.0.113.6", 0)) == believed


# ---- Tokens. -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"token": "short", "admin_token": ADMIN}, "at least 16"),
        ({"token": TOKEN}, "nobody could publish"),
        ({"token": TOKEN, "admin_token": TOKEN}, "must differ"),
    ],
)
def test_tokens_are_long_and_differ(keys: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ReviewConfig.model_validate(keys)


def test_tokens_are_not_shown_where_a_configuration_is_printed() -> None:
    config = ReviewConfig(token=SecretStr(TOKEN), admin_token=SecretStr(ADMIN))
    for text in (str(config), repr(config), config.model_dump_json()):
        assert TOKEN not in text
        assert ADMIN not in text


def test_a_databases_password_is_not_shown_either() -> None:
    config = ReviewConfig(database=SecretStr("postgresql://ann:hidden-word@db.example/review"))
    for text in (str(config), repr(config), config.model_dump_json(), str(config.model_dump())):
        assert "hidden-word" not in text


def test_a_session_is_found_as_fast_for_wrong_cookies_as_for_right_ones(site: Site) -> None:
    """No test of time: it says that a look-up is by digest, so that no prefix can be guessed."""
    client = site.client("ann", TOKEN)
    secret = client.cookie.partition("=")[2]
    near = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    assert site.desk.sessions.find(secret) is not None
    assert site.desk.sessions.find(near) is None
    assert secret not in site.desk.sessions._cache
    assert statistics.mean(len(key) for key in site.desk.sessions._cache) == 64
