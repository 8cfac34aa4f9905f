"""A campaign by somebody else's executor, on workers that are found over the network: Dask's, where it is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from guest_driver.scenarios.campaign import Journal, run_campaign
from support.campaigns import InTurn, Watched, small_plan


@pytest.mark.filterwarnings("default")
def test_the_same_comes_of_a_campaign_by_dask(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="Dask's distributed is not installed: tox -e dask")
    plan, watched = small_plan(tmp_path), Watched()
    serial = run_campaign(plan, InTurn())
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1") as cluster,
        distributed.Client(cluster) as client, client.get_executor() as executor, Journal(tmp_path / "journal", plan) as journal,
    ):  # fmt: skip
        campaign = run_campaign(plan, executor, journal=journal, progress=watched)
    assert campaign == serial
    assert sorted(watched.seen) == sorted(serial.results)
    with Journal(tmp_path / "journal", plan) as journal:
        assert {result.unit: result for result in serial.results} == journal.results
