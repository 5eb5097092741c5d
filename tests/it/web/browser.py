"""What a person does on the ops page; see browser.rs.

usage: browser.py calm|rejected|outage ADDRESS TOKEN CONTRACT CHROMIUM SCREENS
"""

import pathlib
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

# A loaded machine takes its time to show what is there.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


def look(page, name):
    """A screenshot, and no violation of accessibility."""
    page.screenshot(path=str(screens / f"{name}.png"), full_page=True)
    for found in Axe().run(page).response["violations"]:
        complaints.append((name, found["id"], [node["html"] for node in found["nodes"]]))
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wide > 0:
        complaints.append(f"{name} is {wide} pixels too wide")


def everywhere(page, name):
    """In both schemes, at a desk and on a phone."""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width, size in (("desk", DESK), ("phone", PHONE)):
            page.set_viewport_size(size)
            look(page, f"{name}-{scheme}-{width}")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESK)


def login(page):
    """By keyboard alone, from the page that somebody wanted."""
    page.goto(address + "/ad/1")
    expect(page).to_have_title("Log in · usage-sync")
    everywhere(page, "login")
    field = page.get_by_label("Token")
    expect(field).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    expect(field).to_be_focused()
    page.keyboard.type(token)
    page.keyboard.press("Enter")
    expect(page).to_have_title("Ad 1 · usage-sync")


def calm(page):
    everywhere(page, "ad")
    page.goto(address + "/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Everything is reported")
    everywhere(page, "overview")
    # The way to the content, to the search, and through it, with keys alone.
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("1:small")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ad/1")
    page.goto(address + "/contract/" + contract)
    expect(page.get_by_text("Consumed")).to_be_visible()
    everywhere(page, "contract")
    # Figures that may be old say so, whether the answer fails or does not come.
    page.goto(address + "/")
    old = page.get_by_text("this page may be old")
    page.route(address + "/", lambda route: route.abort())
    expect(old).to_be_visible()
    page.unroute(address + "/")
    expect(old).to_be_hidden()
    held = []
    page.route(address + "/", lambda route: held.append(route))
    expect(old).to_be_visible()
    for route in held:
        route.continue_()
    page.unroute(address + "/")
    expect(old).to_be_hidden()
    # What is being typed survives that the page keeps itself up to date.
    page.goto(address + "/")
    page.get_by_label("Why pause").fill("half a sentence")
    with page.expect_response(lambda answer: answer.url == address + "/"):
        pass
    expect(page.get_by_label("Why pause")).to_have_value("half a sentence")
    # The page says so by itself, too: what is looked at is not to be taken away.
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Reporting is paused")
    expect(page.get_by_text("half a sentence")).to_be_visible()
    everywhere(page, "paused")
    page.get_by_role("button", name="Resume reporting").press("Enter")
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Reporting is paused")


def rejected(page):
    page.goto(address + "/")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Everything is reported but for 3 rejected ads")
    everywhere(page, "rejected")
    page.get_by_role("link", name="3 ads").click()
    page.wait_for_url(lambda url: "/rejected?" in url)
    everywhere(page, "cause")
    page.get_by_role("link", name="2", exact=True).click()
    expect(page).to_have_title("Ad 2 · usage-sync")
    everywhere(page, "rejected-ad")
    page.get_by_role("button", name="Retry ad 2").click()
    expect(page.get_by_text("1 ad will be reported again")).to_be_visible()
    # Without a reload.
    expect(page.get_by_text("reported, ")).to_be_visible()
    page.goto(address + "/")
    page.get_by_role("button", name="Retry all of this cause").click()
    expect(heading).to_have_text("Everything is reported")


def outage(page):
    page.goto(address + "/")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Salesforce is down: changes wait, nothing is lost")
    everywhere(page, "outage")
    page.goto(address + "/contract/" + contract)
    expect(page.get_by_role("heading", level=1)).to_have_text("Not available now")
    everywhere(page, "contract-outage")


part, address, token, contract, chromium, screens = sys.argv[1:]
screens = pathlib.Path(screens)
screens.mkdir(parents=True, exist_ok=True)
complaints = []
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
    page = browser.new_page(viewport=DESK)
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: line.type == "error" and "Content Security" in line.text and complaints.append(line.text))
    login(page)
    {"calm": calm, "rejected": rejected, "outage": outage}[part](page)
    assert not complaints, complaints
    browser.close()
