"""What the commands keep from one run to the next."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from threecommas_async.commands import last_minute
from threecommas_async.limits import WindowState

if TYPE_CHECKING:
    from pathlib import Path

KEY = "a key that nobody may read"
NAME = "limit-a2e583d961a75037.json"
NOTHING = WindowState()
NOW = 1_800_000_000.0


class WallClock:
    """Stands for the module ``time``."""

    def __init__(self) -> None:
        self.now = NOW

    def time(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock()
    monkeypatch.setattr(last_minute, "time", clock)
    return clock


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the state of the key is kept."""
    monkeypatch.setenv("THREECOMMAS_API_KEY", KEY)
    monkeypatch.setenv("LOCALAPPDATA" if sys.platform == "win32" else "XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "threecommas_async" / NAME


def command(*, requests: int = 0, fails_with: BaseException | None = None) -> WindowState:
    """Run a command that sends so many requests; return what it knows at its beginning."""

    async def main() -> WindowState:
        limiter = last_minute.limiter()
        began = limiter.state()
        with last_minute.kept(limiter):
            for _ in range(requests):
                await limiter.acquire(is_exit=True)
                limiter.release()
            if fails_with is not None:
                raise fails_with
        return began

    return virtual_time.run(main())


def write(file: Path, *, ago: float = 0.0, **state: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"at": NOW - ago, "spent": [], "paused": None} | state))


def test_a_command_begins_with_what_the_last_one_has_sent(file: Path, clock: WallClock) -> None:
    assert command(requests=3) == NOTHING
    clock.now += 7.5
    assert command() == WindowState(spent=[52.5] * 3)
    assert file.is_file()


def test_it_is_kept_however_the_command_ends(file: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        command(requests=3, fails_with=KeyboardInterrupt())
    assert len(command().spent) == 3
    assert file.is_file()


def test_the_file_is_its_owners_and_holds_no_key(file: Path) -> None:
    command(requests=1)
    assert [path.name for path in file.parent.iterdir()] == [NAME]
    assert KEY not in file.read_text()
    assert json.loads(file.read_text()).keys() == {"at", "spent", "paused"}
    if sys.platform != "win32":
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_time_between_two_commands_counts(file: Path) -> None:
    write(file, ago=30, spent=[10, 29, 50], paused=100)
    assert command() == WindowState(spent=[20], paused=70)


def test_a_clock_that_was_set_back_neither_forgets_nor_makes_a_wait_longer(file: Path) -> None:
    write(file, ago=-86400, spent=[50], paused=100)
    assert command() == WindowState(spent=[50], paused=100)


def test_each_key_has_a_file_of_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command(requests=1)
    monkeypatch.setenv("THREECOMMAS_API_KEY", "another one")
    assert command(requests=1) == NOTHING
    assert len([*file.parent.iterdir()]) == 2


def test_without_a_key_nothing_is_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THREECOMMAS_API_KEY")
    assert command(requests=1) == NOTHING
    assert not file.parent.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nonsense",
        "\xff",
        "[]",
        "{}",
        '{"at": "now", "spent": [], "paused": null}',
        '{"at": 0, "spent": 5, "paused": null}',
        '{"at": 1e999, "spent": [], "paused": null}',
        '{"at": 9e9, "spent": [66], "paused": null}',
        '{"at": 9e9, "spent": [-1], "paused": null}',
        '{"at": 9e9, "spent": [NaN], "paused": null}',
        '{"at": 9e9, "spent": [], "paused": 86401}',
    ],
)
def test_a_file_that_cannot_be_is_a_warning(
    file: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    write(file)
    file.write_text(content, encoding="latin-1")
    assert command(requests=1) == NOTHING
    assert "the limit may be exceeded" in capsys.readouterr().err
    assert len(command().spent) == 1


def test_a_file_that_can_be_neither_read_nor_written_is_a_warning(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.mkdir(parents=True)
    assert command(requests=1) == NOTHING
    told = capsys.readouterr().err
    assert "the limit may be exceeded" in told
    assert "let a minute pass" in told
    assert [*file.parent.iterdir()] == [file]


def test_a_folder_that_cannot_be_made_is_a_warning(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.parent.write_text("in the way")
    assert command(requests=1) == NOTHING
    assert "let a minute pass" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="XDG is not for Windows")
def test_a_relative_folder_is_ignored(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    command(requests=1)
    assert (tmp_path / "home/.local/state/threecommas_async" / file.name).is_file()
    assert not (tmp_path / "here").exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"spent": [50.0] * 95}, "Earlier commands have used 95 of 100 requests: what does not fit waits, "),
        ({"spent": [], "paused": 200}, "Nothing is sent for 200 s: an earlier command was locked out (429)."),
        ({"spent": [50.0] * 89}, ""),
    ],
)
def test_a_wait_to_begin_with_is_told(
    file: Path, capsys: pytest.CaptureFixture[str], state: dict[str, Any], said: str
) -> None:
    write(file, ago=-1, **state)
    command()
    told = capsys.readouterr().err
    assert told.startswith(said)
    assert bool(told) == bool(said)
