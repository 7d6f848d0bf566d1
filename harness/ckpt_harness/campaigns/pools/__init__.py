"""Pools: where the work of a campaign is done. In this process, in processes of this machine, or on the workers of a Dask cluster."""
