from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from otel_agent_events.errors import UsageError
from otel_agent_events.plugins import Plugins

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install two packages that bring plug-ins of the group `test.plugins`."""
    for package, entries in {
        "alpha": "good = alpha_code:Good\nboth = alpha_code:Good\nbroken = alpha_code:Broken\nmissing = nowhere:X",
        "beta": "both = alpha_code:Other",
    }.items():
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[test.plugins]\n{entries}\n", encoding="utf-8")
    code = "class Good: name = 'good'\nclass Other: pass\ndef Broken(): raise RuntimeError('out of order')\n"
    (tmp_path / "alpha_code.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "alpha_code", raising=False)
    return tmp_path


@pytest.mark.usefixtures("installed")
def test_a_plug_in_is_found_by_its_name_and_made() -> None:
    plugins: Plugins[object] = Plugins("test.plugins", "thing")

    assert plugins.names() == ["both", "broken", "good", "missing"]
    assert type(plugins.get("good")).__name__ == "Good"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("odd", "there is no thing 'odd'; installed: both, broken, good, missing"),
        ("both", "the thing 'both' is brought by (alpha and beta|beta and alpha): uninstall one of them"),
        ("broken", "the thing 'broken' of alpha cannot be loaded: RuntimeError"),
        ("missing", "the thing 'missing' of alpha cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_a_plug_in_that_cannot_be_had_is_a_sentence(name: str, said: str) -> None:
    plugins: Plugins[object] = Plugins("test.plugins", "thing")

    with pytest.raises(UsageError, match=said):
        plugins.get(name)


def test_a_group_that_nobody_brings_anything_for_says_so() -> None:
    with pytest.raises(UsageError, match="there is no thing 'x'; installed: none"):
        Plugins("test.nobody", "thing").get("x")
