"""Lists, search and imports in a browser: a cell changed in place, the palette, and a file of 5,000 rows taken back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from billing.models import Plan
from crm import accounts, imports
from crm.models import Account, ImportJob
from gtm.shared import db
from gtm.shared.models import User
from tests.crm import makers

pytestmark = pytest.mark.browser
ROWS, BAD = 5000, 40


def sheet(folder: Path) -> Path:
    """As a spreadsheet in Germany saves it: Latin-1, semicolons; every 125th row has a number that is none."""
    lines = ["Firma;Website;Mitarbeiter"]
    for n in range(ROWS):
        employees = "many" if n % (ROWS // BAD) == 7 else n % 90
        lines.append(f"Müller {n} GmbH;https://www.mueller{n}.example/;{employees}")
    path = folder / "accounts.csv"
    path.write_bytes("\r\n".join(lines).encode("cp1252"))
    return path


def test_a_file_of_5000_rows_is_loaded_explained_and_taken_back(
    page: Page, pro: Plan, sign_in: Callable[[Page, User], None], tmp_path: Path, axe: Callable[[Page], None]
) -> None:
    sign_in(page, User.objects.get(email="max@vendor.example"))
    page.goto("/crm/accounts/")
    page.get_by_role("link", name="Import", exact=True).click()
    page.get_by_label("CSV file").set_input_files(sheet(tmp_path))
    page.get_by_role("button", name="Look at the file").click()
    main = page.get_by_role("main")
    expect(main).to_contain_text("5,000 rows. Read as Latin-1 (Windows-1252), with a semicolon between the cells.")
    page.get_by_label("Mitarbeiter").select_option("Employees")
    page.get_by_role("button", name="Look again").click()
    expect(main).to_contain_text("“many” is no number of employees")
    axe(page)
    page.get_by_role("button", name="Import 5,000 rows").click()
    expect(main).to_contain_text("0 of 5,000 rows")

    job = ImportJob.objects.get()
    imports.work(job=job, batches=1)  # as a worker does, and is killed
    expect(main).to_contain_text("500 of 5,000 rows")
    page.reload()
    expect(main).to_contain_text("500 of 5,000 rows")
    imports.work(job=job)
    expect(main).to_contain_text("5,000 of 5,000 rows")
    facts = page.locator("dl.facts")
    expect(facts).to_contain_text("Created4,960")
    expect(facts).to_contain_text("Refused40")
    expect(page.locator("[data-refused] li")).to_have_count(BAD)
    expect(page.locator("[data-refused] li").first).to_contain_text("Line 9: Employees: “many” is no number")
    assert Account.objects.filter(first_source="import").count() == ROWS - BAD
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the refused rows").click()
    assert len(Path(download.value.path()).read_text("utf-8-sig").splitlines()) == BAD + 1

    page.get_by_role("button", name="Undo this import").click()
    imports.work(job=job)
    expect(main).to_contain_text("4,960 rows are taken back, 0 left as they are.")
    assert not Account.objects.exists()


def test_a_cell_is_changed_a_view_kept_and_everything_found(
    page: Page, pro: Plan, sign_in: Callable[[Page, User], None], axe: Callable[[Page], None]
) -> None:
    ann = User.objects.get(email="ann@vendor.example")
    account = accounts.give(account=makers.account(at=db.now()), owner=ann, at=db.now())
    sign_in(page, ann)
    page.goto("/crm/accounts/?column=country&column=employee_count")
    axe(page)
    row = page.locator(f"#{account.public_id}")
    row.hover()
    row.get_by_role("link", name="Change: Country").click()
    row.get_by_label("Country").select_option("DE")
    Account.objects.filter(pk=account.pk).update(version=99)
    row.get_by_role("button", name="Save").click()
    expect(row.get_by_role("alert")).to_contain_text("It was changed meanwhile.")
    row.get_by_role("button", name="Save").click()
    expect(row.get_by_role("button", name="Save")).to_have_count(0)
    expect(row).to_contain_text("DE")

    page.get_by_label("Tick all rows of this page").check()
    expect(page.locator("[data-bulk-count]")).to_have_text("1 ticked")
    page.locator("summary", has_text="Views").click()
    page.get_by_label("Save this list as").fill("By country")
    page.get_by_role("button", name="Save view").click()
    expect(page.get_by_role("navigation", name="Views").locator("[aria-current]")).to_have_text("By country")

    page.keyboard.press("Control+k")
    page.keyboard.type("cora")
    expect(page.locator("#palette [role=option]").first).to_contain_text("Contacts")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Cora")
    page.keyboard.press("/")
    page.keyboard.type("acme")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Search")
    expect(page.get_by_role("link", name="acme.com").first).to_be_visible()
    axe(page)

    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/crm/accounts/", "/crm/opportunities/", "/crm/imports/", "/crm/search/?q=acme"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= 360"), path
