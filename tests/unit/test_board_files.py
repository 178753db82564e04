"""What the page carries of others is what the lock says, and nothing beside it."""

import shutil
from pathlib import Path

from sinks.board import login, vendor
from sinks.board.pages import STATIC
from sinks.board.queries import PANELS, as_sql


def test_the_vendored_files_are_as_they_are_locked() -> None:
    assert vendor.problems() == []


def test_one_changed_byte_of_a_vendored_file_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    shutil.copytree(vendor.STATIC, folder)
    script = folder / "uplot/uPlot.esm.js"
    content = bytearray(script.read_bytes())
    content[1_000] ^= 1
    script.write_bytes(content)
    (folder / "uplot/extra.js").write_text("//")
    (folder / "uplot/LICENSE.txt").unlink()
    assert vendor.problems(folder) == [
        "uplot/LICENSE.txt: missing",
        "uplot/extra.js: not in the lock",
        "uplot/uPlot.esm.js: changed",
    ]


def test_no_file_of_the_page_has_inline_script_or_style() -> None:
    page = (STATIC / "index.html").read_text()
    assert " style=" not in page
    assert "<style" not in page
    assert "<script>" not in page
    assert " onclick" not in page
    for script in (STATIC / "js").glob("*.js"):
        text = script.read_text()
        assert "innerHTML" not in text
        assert "insertAdjacentHTML" not in text


def test_the_statement_beside_a_panel_holds_no_open_value_and_quotes_texts() -> None:
    values = {
        "at": "2025-11-21 07:40:00.000000", "since": "2025-11-21 06:40:00.000000", "step": "2",
        "usd": "0.0", "asset": "B'T\\C", "episode": "x",
    }  # fmt: skip
    for panel in PANELS.values():
        assert "{" not in as_sql(panel.sql, values)
    assert r"'B\'T\\C'" in as_sql(PANELS["chart"].sql, values)


def test_a_cookie_holds_for_its_token_alone_and_for_its_time() -> None:
    good = {login.COOKIE: login.cookie("secret")}
    assert login.may_read("secret", {}, good)
    assert not login.may_read("another", {}, good)
    old = {login.COOKIE: login.cookie("secret", now=1.0)}
    assert not login.may_read("secret", {}, old)
    later = {login.COOKIE: "9" + good[login.COOKIE]}
    assert not login.may_read("secret", {}, later)
    assert not login.may_read("secret", {}, {})
    assert not login.may_read("secret", {}, {login.COOKIE: "é.ü"})
    assert login.may_read("", {}, {})
