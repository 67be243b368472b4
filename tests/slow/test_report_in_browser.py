"""The report in a real browser: it renders, complains of nothing, and fits on a phone."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> str:
    if BROWSER is None:
        pytest.skip("no chromium or google-chrome here to look at the report with")
    return BROWSER


def dumped(browser: str, page: Path, width: int) -> tuple[str, str]:
    """The page's elements after rendering, and what the browser said."""
    command = [
        browser, "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},2000",
        "--enable-logging=stderr", "--v=0", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


def test_the_report_renders_without_a_complaint(browser: str, toy_run: Path) -> None:
    elements, said = dumped(browser, toy_run / "evaluate" / "report.html", 1100)
    assert "CONSOLE" not in said
    assert 'class="badge' in elements
    assert elements.count("<svg") == 6


def test_the_report_is_no_wider_than_a_phone(browser: str, toy_run: Path, tmp_path: Path) -> None:
    inner = tmp_path / "report.html"
    measure = "<script>document.title = 'width ' + document.documentElement.scrollWidth</script></body>"
    inner.write_text((toy_run / "evaluate" / "report.html").read_text().replace("</body>", measure))
    # A window cannot be that narrow, a frame can.
    outer = tmp_path / "phone.html"
    outer.write_text(
        f"<iframe src='{inner.name}' style='width:390px;height:2000px;border:0' "
        "onload='document.title = this.contentDocument.title'></iframe>"
    )
    command_line_flag = "--allow-file-access-from-files"
    done = subprocess.run(
        [browser, "--headless=new", "--no-sandbox", "--disable-gpu", command_line_flag, "--dump-dom", outer.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r"<title>width (\d+)</title>", done.stdout)
    assert found, done.stdout
    assert int(found.group(1)) <= 390
