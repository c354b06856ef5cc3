"""The code on the pages runs as it stands, against the sandbox, and prints what the pages say it prints."""

from __future__ import annotations

import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.doc_pages import PAGES, ROOT, Block, Shell, blocks, fits, run_pytest, run_python
from tests.valkey import Valkey, find_server
from threecommas_async import SmartTradeOrder, ThreeCommas
from threecommas_async.sandbox import PAPER_ACCOUNT, Sandbox
from threecommas_async.testing import Clock, Faults, Market

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

STORE = "redis://store:6379"
"""The store of the pages; a block that names it gets one of its own."""

STAGES: dict[str, dict[str, Any]] = {
    "README.md": {"trades": 20},
    "docs/closing.md": {"trades": 6, "statuses": ("waiting_targets", "waiting_targets", "waiting_position")},
}
"""Arguments of the sandbox that the blocks of a page run against; an empty one where none are given."""


def given(sandbox: Sandbox, client: ThreeCommas) -> dict[str, Any]:
    """The names that a page has to begin with, as docs/index.md says."""
    credentials = sandbox.credentials()
    return {
        "__name__": "page",
        "client": client,
        "sandbox": sandbox,
        "market": Market(sandbox),
        "faults": Faults(sandbox),
        "api_key": credentials["api_key"],
        "api_secret": credentials["api_secret"],
        "order": SmartTradeOrder.simple_buy(account_id=PAPER_ACCOUNT.id, pair="USDT_BTC", units="0.01"),
    }


def environment(sandbox: Sandbox) -> dict[str, str]:
    credentials = sandbox.credentials()
    names = {"api_key": "API_KEY", "api_secret": "API_SECRET", "mode": "MODE", "base_url": "BASE_URL"}
    return {f"THREECOMMAS_{name}": credentials[option] for option, name in names.items()}


class Stage:
    """What the blocks of one page run on."""

    def __init__(self, page: str, tmp_path: Path, stack: AsyncExitStack, patch: pytest.MonkeyPatch) -> None:
        self._page = page
        self._path = ROOT / page
        self._tmp_path = tmp_path
        self._stack = stack
        self._patch = patch
        self._names: dict[str, Any] | None = None
        self._clock: Clock | None = None
        self._shell: Shell | None = None
        self._store: Valkey | None = None

    async def run(self, block: Block) -> str:
        """Run a block that is no file; return what it prints."""
        if block.language == "sh" or "asyncio.run(" in block.code:
            shell = await self.shell()
            if block.language == "sh":
                return await shell.run(block)
            for name, value in shell.environment.items():
                self._patch.setenv(name, value)
        if STORE in block.code:
            block = Block(block.language, block.code.replace(STORE, self.store()), block.line)
        return await run_python(self._path, block, await self.names(), self.drive)

    async def drive(self, work: Awaitable[Any]) -> None:
        assert self._clock is not None
        await self._clock.run(work)

    async def names(self) -> dict[str, Any]:
        """The namespace of the page; a client without an address in it is one of the sandbox, too."""
        if self._names is None:
            options: dict[str, Any] = {"time_scale": 1, **STAGES.get(self._page, {})}
            sandbox = await self._stack.enter_async_context(Sandbox(**options))
            client = await self._stack.enter_async_context(ThreeCommas(**sandbox.credentials()))
            defaults: Any = ThreeCommas.__init__.__kwdefaults__
            self._patch.setitem(defaults, "base_url", sandbox.base_url)
            self._clock = Clock(sandbox)
            self._names = given(sandbox, client)
        return self._names

    async def shell(self) -> Shell:
        """The shell of the page, with a sandbox for programs of their own, which no clock can move."""
        if self._shell is None:
            sandbox = await self._stack.enter_async_context(Sandbox(trades=3, time_scale=200))
            self._shell = Shell(environment(sandbox))
            self._stack.push_async_callback(self._shell.close)
        return self._shell

    def store(self) -> str:
        if find_server() is None:
            pytest.skip("no Valkey or Redis server is installed")
        if self._store is None:
            self._store = Valkey(str(find_server()), self._tmp_path).start()
            self._stack.callback(self._store.kill)
        return self._store.url


@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in PAGES])
async def test_the_code_of_a_page_runs_as_it_stands(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--uvloop"):
        pytest.skip("the clock of a uvloop event loop cannot be moved")
    files: dict[str, str] = {}
    printed: str | None = None
    async with AsyncExitStack() as stack:
        stage = Stage(page, tmp_path, stack, monkeypatch)
        for block in blocks(ROOT / page):
            where = f"{page}:{block.line}"
            if block.language == "text":
                assert printed is not None, f"{where}: nothing before it prints"
                assert fits(printed, block.code), f"{where}: printed was\n{printed}"
                printed = None
            elif block.file is not None and block.language in {"python", "ini"}:
                files[block.file] = block.code
            else:
                assert block.language in {"python", "sh"}, f"{where}: not known how to check {block.language}"
                printed = await stage.run(block)
    if files:
        for name, content in files.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        tests = len(re.findall(r"^ *(?:async )?def test_", "".join(files.values()), re.MULTILINE))
        assert (await run_pytest(tmp_path)).startswith(f"{tests} passed")


@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in PAGES])
def test_a_page_that_makes_clients_of_a_key_says_before_whose_it_is(page: str) -> None:
    before, found, _ = (ROOT / page).read_text(encoding="utf-8").partition("ThreeCommas(api_key")
    if found and page != "docs/index.md":  # That is where it is explained.
        assert "`api_key` and `api_secret` are those of a sandbox" in before


LINK = re.compile(r"\]\((?!https?://|mailto:)([^)#]*)(?:#([^)]*))?\)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of the headings of a page, as GitHub and MyST make them."""
    headings = HEADING.findall(CODE.sub("", text))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def leads_somewhere(page: Path, target: str, anchor: str) -> bool:
    path = page.parent / target if target else page
    return path.exists() and (not anchor or anchor in anchors(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in PAGES])
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    links = LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not leads_somewhere(ROOT / page, *link)] == []
