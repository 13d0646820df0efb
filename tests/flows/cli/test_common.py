"""How errors of commands end."""

from __future__ import annotations

import httpx
import pytest
import typer

from flows.cli.common import attempt


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("All connection attempts failed"),
        RuntimeError("Failed to reach API at http://127.0.0.1:4200/api/"),
    ],
)
def test_a_server_that_goes_away_is_named_with_the_remedy(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    with pytest.raises(typer.Exit) as ended:
        attempt(work)
    assert ended.value.exit_code == 1
    told = capsys.readouterr().err
    assert "the Prefect server at http://127.0.0.1:4200 went away" in told
    assert "the same command goes on from here" in told


def test_what_nobody_expects_is_not_hidden() -> None:
    def work() -> None:
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        attempt(work)
