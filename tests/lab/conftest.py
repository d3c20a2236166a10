"""The gateways of this tier, which its tests share: a LiteLLM takes many seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.lab.gateways import Gateway, fleet, together
from tests.lab.sites import SECRETS, SITES


@pytest.fixture(scope="package")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Gateway]]:
    """One gateway for each of SITES, by its routing strategy; they end before other tests need the processors."""
    with fleet(tmp_path_factory.mktemp("gateways"), SITES, SECRETS) as started:
        together([partial(gateway.chat, "warm") for gateway in started.values()])
        yield started


@pytest.fixture
def shuffle(gateways: dict[str, Gateway]) -> Gateway:
    gateways["simple-shuffle"].reset()
    return gateways["simple-shuffle"]


@pytest.fixture
def busy(gateways: dict[str, Gateway]) -> Gateway:
    gateways["least-busy"].reset()
    return gateways["least-busy"]
