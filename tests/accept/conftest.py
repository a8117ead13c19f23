"""Parts that every test of accepting may ask for."""

from pathlib import Path

import pytest

from tests.parts.certs import Authority, Certified


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def certified(authority: Authority) -> Certified:
    return authority.certificate("localhost")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path
